"""The jobs of a sweep and their states."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..data import check_raw
from ..errors import UserError
from ..run_files.done import read_done
from ..run_files.paths import RunPaths, SeedPaths, SweepPaths
from ..run_files.table_json import Plan, PlannedRow, write_plan
from ..system.files import make_folder
from ..system.links import check_inside
from ..system.resources import Shares, cuda_number
from .blocks import Block, Stage
from .job_state import Look, State, look
from .jobs import Job, JobMaker, Key, naming
from .rank_layout import RankLayout
from .table_file import Row, Table, check_shared, shown


@dataclass(frozen=True)
class Board:
    """Each job with its state, a description of the jobs to come ('' if none), and the choices made."""

    entries: tuple[tuple[Job, Look], ...]
    later: str = ""
    notes: tuple[str, ...] = ()

    def having(self, *states: State) -> list[tuple[Job, Look]]:
        """The jobs that are in one of these states."""
        return [(job, found) for job, found in self.entries if found.state in states]


@dataclass
class Sweep:
    """The jobs of a table.

    Args:
        maker: makes the jobs of a row.
        block: decides which rows to run.
        only: a pattern of row names, such as ``*ALM``; '' selects all.
        is_queued: returns a job's number in the scheduler's queue, or ''.
        committed: a folder with ``<table>/<row>/seed<k>/done`` of seeds that other machines have finished.
    """

    maker: JobMaker
    block: Block
    only: str = ""
    is_queued: Callable[[Job], str] = lambda job: ""
    committed: Path | None = None
    verdicts: dict[Key, Look] = field(default_factory=dict)  # of jobs whose folder could not be written
    _jobs: dict[str, tuple[Row, list[Job]]] = field(default_factory=dict)
    _done: dict[Key, Look] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """The content of the table file, with the changes from the command line."""
        return self.maker.table

    @property
    def paths(self) -> SweepPaths:
        """The files of the sweep itself."""
        return SweepPaths(self.table.checkpoint_root, self.table.name)

    def check(self) -> None:
        """Check the settings of every row, and that none of its folders is a link elsewhere."""
        rows = self.block.examples()
        for row in rows:
            device = self.maker.settings(row).config.device
            with naming(row):
                cuda_number(device)
        check_shared(rows)
        folder = self.table.checkpoint_root / self.table.name
        check_inside(folder, root=self.table.checkpoint_root)
        if self.only and not any(map(self._wanted, rows)):
            names = ", ".join(dict.fromkeys(row.name for row in rows))
            raise UserError(f"--only {self.only!r} matches no row of {self.table.path}; rows: {names[:600]}")

    def check_ranks(self, layout: RankLayout) -> None:
        """Refuse a row that several ranks cannot train together."""
        for row in self.block.examples() if layout.ranks > 1 else ():
            what = self.maker.settings(row).config.for_one_process
            if self._wanted(row) and what:
                raise UserError(
                    f"row {row.name!r}: {what} is for one process, got {layout.ranks} ranks for each job; use --ranks 1"
                    " or leave it out with --only"
                )

    def check_start(self, board: Board, *wanted: State, shares: Shares | None) -> None:
        """Fail once where a row that has jobs to start (``wanted``), now or after a choice, lacks its data.

        With the ``shares`` of this machine, the same for a GPU that it lacks.
        """
        settled = {job.row for job, _ in board.entries} - {job.row for job, _ in board.having(*wanted)}
        checked = set()
        for row in self.block.examples():
            config = self.maker.settings(row).config
            needs = (config.dataset_name, config.data_root, config.download, config.device)
            if self._wanted(row) and row.name not in settled and needs not in checked:
                checked.add(needs)
                with naming(row):
                    if shares:
                        _check_gpu(config.device, shares)
                    check_raw(config.dataset_name, data_root=config.data_root, download=bool(config.download))

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
        if job.key in self._done:
            return self._done[job.key]
        found = self._elsewhere(job) or look(job, is_queued=self.is_queued)
        if found.state == State.DONE:
            self._done[job.key] = found
        return self.verdicts.get(job.key, found) if found.state == State.TODO else found

    def _elsewhere(self, job: Job) -> Look | None:
        """The job as another machine has finished it and committed its scores, or None."""
        if self.committed is None:
            return None
        files = SeedPaths(self.committed / self.table.name / job.paths.model_name / f"seed{job.seed}")
        return Look(State.DONE, int(read_done(files)["epochs"])) if files.done.exists() else None

    def stage(self, *, advance: bool) -> Stage:
        """The rows so far."""
        return self._staged({}, advance=advance)

    def board(self, *, advance: bool) -> Board:
        """All jobs, the first seed of every row first, so that half a sweep is a whole table with fewer seeds.

        Each job is looked at once: a job that another process ends between two looks would be running for the choice
        of the rows and done for the list, as if nothing were left to wait for.
        """
        looks: dict[Key, Look] = {}
        stage = self._staged(looks, advance=advance)
        jobs = [job for row in stage.rows if self._wanted(row) for job in self.jobs(row)]
        seeds = list(dict.fromkeys(job.seed for job in jobs))
        jobs.sort(key=lambda job: seeds.index(job.seed))
        return Board(tuple((job, self._once(job, looks)) for job in jobs), stage.later, stage.notes)

    def _staged(self, looks: dict[Key, Look], *, advance: bool) -> Stage:
        return self.block.stage(lambda row: [(job, self._once(job, looks)) for job in self.jobs(row)], advance=advance)

    def _once(self, job: Job, looks: dict[Key, Look]) -> Look:
        if job.key not in looks:
            looks[job.key] = self.look(job)
        return looks[job.key]

    def is_ready(self, job: Job) -> bool:
        """Whether the baseline that it continues, if any, is done."""
        if not job.after:
            return True
        before = RunPaths(job.paths.root, job.paths.subfolder_name, job.after).seed(job.seed)
        return before.done.exists() and before.best.exists()

    def write_table(self) -> None:
        """Write table.json, which tells reports the rows and their folders. A full disk does not stop the sweep."""
        rows = []
        for row in self.stage(advance=False).rows:
            options = {name: shown(value) for name, value in row.options.items()}
            rows.append(PlannedRow(self.jobs(row)[0].paths.model_name, row.seeds, row.name, options, row.trial))
        with contextlib.suppress(UserError):
            make_folder(self.paths.folder)
            write_plan(self.paths.table, Plan(self.table.title, tuple(rows)), source=str(self.table.path))

    def _wanted(self, row: Row) -> bool:
        return not self.only or fnmatch.fnmatchcase(row.name, self.only)


def _check_gpu(device: str, shares: Shares) -> None:
    number = cuda_number(device)
    if number and shares.gpus:
        raise UserError(f"device {device}: a job sees one GPU; use --device cuda and CUDA_VISIBLE_DEVICES={number}")
    if number is not None:
        from ..system.devices import choose_device  # imports torch

        choose_device(device)
