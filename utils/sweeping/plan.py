"""The jobs of a sweep and their states."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..run_files.done import read_done
from ..run_files.paths import RunPaths, SeedPaths, SweepPaths
from ..run_files.table_json import Plan, PlannedRow, write_plan
from ..system.files import make_folder
from ..system.links import check_inside
from .blocks import Block, Stage
from .job_state import Look, State, look
from .jobs import Job, JobMaker
from .table_file import Row, Table, shown


@dataclass(frozen=True)
class Board:
    """Each job with its state, a description of the jobs to come ('' if none), and the choices made."""

    entries: tuple[tuple[Job, Look], ...]
    later: str = ""
    notes: tuple[str, ...] = ()

    def having(self, *states: State) -> list[tuple[Job, Look]]:
        """The jobs that are in one of these states."""
        return [(job, found) for job, found in self.entries if found.state in states]

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state."""
        return {state: len(self.having(state)) for state in State}


@dataclass
class Sweep:
    """A table, its block, and the jobs that follow from them.

    Args:
        table: the content of the table file, with the changes from the command line.
        block: decides which rows to run.
        maker: makes the jobs of a row.
        only: a pattern of row names, such as ``*ALM``; '' selects all.
        is_queued: returns a job's number in the scheduler's queue, or ''.
        committed: a folder with ``<table>/<row>/seed<k>/done`` of seeds that other machines have finished.
    """

    table: Table
    block: Block
    maker: JobMaker
    only: str = ""
    is_queued: Callable[[Job], str] = lambda job: ""
    committed: Path | None = None
    verdicts: dict[tuple[str, int], Look] = field(default_factory=dict)
    _jobs: dict[str, tuple[Row, list[Job]]] = field(default_factory=dict)
    _done: dict[tuple[str, int], Look] = field(default_factory=dict)

    def check(self) -> None:
        """Check the settings of every row.

        Raises:
            UserError: a row is invalid, or the pattern matches none.
        """
        rows = self.block.examples()
        for row in rows:
            self.maker.settings(row)
        folder = self.maker.root / self.maker.table
        check_inside(folder, root=self.maker.root)
        if self.only and not any(map(self._wanted, rows)):
            names = ", ".join(dict.fromkeys(row.name for row in rows))
            raise UserError(f"--only {self.only!r} matches no row of {self.table.path}; rows: {names[:600]}")

    def jobs(self, row: Row) -> list[Job]:
        """The jobs of a row; their folder stays the same until ``forget`` is called."""
        known = self._jobs.get(row.name)
        if known is None or known[0] != row:
            known = self._jobs[row.name] = (row, self.maker.jobs(row))
        return known[1]

    def forget(self, job: Job) -> bool:
        """Determine the folder of a job's row again; returns whether it has changed."""
        self._jobs.pop(job.row, None)
        row = next(row for row in self.stage(advance=False).rows if row.name == job.row)
        return self.jobs(row)[0].paths != job.paths

    def look(self, job: Job) -> Look:
        """The state of a job; a job that was done once is not checked again."""
        key = job.paths.model_name, job.seed
        if key in self._done:
            return self._done[key]
        found = self._elsewhere(job) or look(job, is_queued=self.is_queued)
        if found.state == State.DONE:
            self._done[key] = found
        if found.state == State.TODO and key in self.verdicts:
            return self.verdicts[key]  # it failed just now, and that could not be written to its folder
        return found

    def _elsewhere(self, job: Job) -> Look | None:
        """The job as another machine has finished it and committed its scores, or None."""
        if self.committed is None:
            return None
        files = SeedPaths(self.committed / self.maker.table / job.paths.model_name / f"seed{job.seed}")
        return Look(State.DONE, int(read_done(files)["epochs"])) if files.done.exists() else None

    def stage(self, *, advance: bool) -> Stage:
        """The rows so far."""
        return self.block.stage(lambda row: [(job, self.look(job)) for job in self.jobs(row)], advance=advance)

    def board(self, *, advance: bool) -> Board:
        """All jobs, the first seed of every row first, so that half a sweep is a whole table with fewer seeds."""
        stage = self.stage(advance=advance)
        jobs = [job for row in stage.rows if self._wanted(row) for job in self.jobs(row)]
        order: dict[int, int] = {}
        for job in jobs:
            order.setdefault(job.seed, len(order))
        jobs.sort(key=lambda job: order[job.seed])
        return Board(tuple((job, self.look(job)) for job in jobs), stage.later, stage.notes)

    def is_ready(self, job: Job) -> bool:
        """Whether the baseline that it continues, if any, is done."""
        if not job.after:
            return True
        before = RunPaths(job.paths.root, job.paths.subfolder_name, job.after).seed(job.seed)
        return before.done.exists() and before.best.exists()

    def write_table(self) -> None:
        """Write table.json, which tells reports the rows and their folders. A full disk does not stop the sweep."""
        rows = self.stage(advance=False).rows
        plan = Plan(self.table.title, tuple(map(self._described, rows)))
        paths = SweepPaths(self.maker.root, self.table.name)
        with contextlib.suppress(UserError):
            make_folder(paths.folder)
            write_plan(paths.table, plan, source=str(self.table.path))

    def _described(self, row: Row) -> PlannedRow:
        options = {name: shown(value) for name, value in row.options.items()}
        return PlannedRow(self.jobs(row)[0].paths.model_name, row.seeds, row.name, options)

    def _wanted(self, row: Row) -> bool:
        return not self.only or fnmatch.fnmatchcase(row.name, self.only)
