"""A row and a seed make a job: one command of main.py and one folder.

The folder of a row has its name. If that folder holds a run with other settings, because the row was changed since,
the row gets a new folder ``<name>-<8 digits of the hash of its settings>``: a changed row is a new job, and old results
are neither lost nor taken for new ones. A row that is changed back finds its old folder. More epochs are not a change:
the job resumes where it ended.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..config.options import FREE
from ..config.settings import Settings, is_given, resolve
from ..errors import UserError
from ..run_files.config_yaml import read_config
from ..run_files.paths import RunPaths, SeedPaths, SweepPaths
from .table_file import Row, arguments

MAIN = Path(__file__).resolve().parents[2] / "main.py"
SMALL = ("lenet5", "linear", "dense")  # models that do not gain from a second thread


@dataclass(frozen=True)
class Job:
    """One seed of one row.

    Args:
        row: its name in the table.
        paths: where it is.
        argv: the arguments of main.py.
        num_epochs: the maximum number of epochs.
        after: folder name of the run in which the same seed must be finished first, or ''.
    """

    row: str
    seed: int
    paths: RunPaths
    argv: tuple[str, ...]
    num_epochs: int
    after: str = ""

    @property
    def files(self) -> SeedPaths:
        """The files of its seed."""
        return self.paths.seed(self.seed)

    @property
    def sweep(self) -> SweepPaths:
        """The files of the sweep that it belongs to."""
        return SweepPaths(self.paths.root, self.paths.subfolder_name)

    @property
    def claim(self) -> Path:
        """Locked by the process that works on it."""
        return self.sweep.claim(self.paths.model_name, self.seed)

    @property
    def queued(self) -> Path:
        """Holds its SLURM job number."""
        return self.sweep.queued(self.paths.model_name, self.seed)

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.sweep.log(self.paths.model_name, self.seed)

    @property
    def command(self) -> str:
        """The command to type in a shell."""
        main = MAIN.name if Path.cwd() == MAIN.parent else str(MAIN)
        return shlex.join(["python", main, *self.argv])

    def __str__(self) -> str:
        return f"{self.row} seed {self.seed}"


def own_command() -> tuple[str, ...]:
    """What starts main.py in this environment."""
    return (sys.executable, str(MAIN))


@dataclass(frozen=True)
class JobMaker:
    """Makes the jobs of a table.

    Args:
        root, table: ``<checkpoint_root>`` and the table's name.
        rows: the rows that others may continue from.
        threads, small_threads: CPU threads of a job unless its row sets them, for a large and a small model; 0: torch's
            own number.
    """

    root: Path
    table: str
    rows: Mapping[str, Row] = field(default_factory=dict)
    threads: int = 0
    small_threads: int = 0

    def jobs(self, row: Row) -> list[Job]:
        """The jobs of a row, one per seed.

        Raises:
            UserError: the row's options contradict each other or contain an unknown name.
        """
        settings = self.settings(row)
        paths = self.folder(row, settings)
        options = {**row.options, "checkpoint_root": str(self.root)}
        if str(self.root) == "checkpoint":
            del options["checkpoint_root"]
        after = ""
        if settings.config.continue_train:
            after = self._baseline(row, settings)
            options["baseline_cont_train"] = after
        if not settings.config.threads and (threads := self._threads(settings)):
            options["threads"] = threads
        names = {"subfolder_name": self.table, "model_name": paths.model_name, "resume": 1}
        return [
            Job(
                row=row.name,
                seed=seed,
                paths=paths,
                argv=tuple(arguments({**options, **names, "seeds": seed})),
                num_epochs=settings.config.num_epochs,
                after=after,
            )
            for seed in row.seeds
        ]

    def settings(self, row: Row) -> Settings:
        """The settings of a row, as main.py will see them.

        Raises:
            UserError: see ``jobs``.
        """
        try:
            return resolve(arguments(row.options))
        except UserError as error:
            raise UserError(f"row {row.name!r}: {error}") from None

    def folder(self, row: Row, settings: Settings) -> RunPaths:
        """The folder that holds this row, or that it will be made in."""
        plain = RunPaths(self.root, self.table, row.name)
        if agrees(plain, settings):
            return plain
        text = json.dumps(_settled(settings), sort_keys=True)
        return replace(plain, model_name=f"{row.name[:119]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")

    def _threads(self, settings: Settings) -> int:
        return self.small_threads if settings.config.resnet_type in SMALL else self.threads

    def _baseline(self, row: Row, settings: Settings) -> str:
        name = settings.config.baseline_cont_train
        if name is None or name == row.name or not settings.is_given("baseline_cont_train"):
            raise UserError(f"row {row.name!r}: continue_train needs baseline_cont_train, the name of another row")
        other = self.rows.get(name)
        return self.folder(other, self.settings(other)).model_name if other else name


def agrees(paths: RunPaths, settings: Settings) -> bool:
    """Whether the folder holds no run, or one with these settings and at most as many epochs."""
    try:
        status = paths.config.stat()
    except OSError:
        return True
    theirs = _recorded(paths.config, status.st_mtime_ns, status.st_size)
    return theirs is None or not differences(theirs, settings)


def differences(theirs: Mapping[str, Any], settings: Settings) -> list[str]:
    """The options in which config.yaml and the settings differ; what follows from the data is equal in both."""
    result = []
    for name, item in settings.as_yaml_ready().items():
        there, ours = theirs.get(name, {}), item["value"]
        if name in FREE or there.get("value") == ours:
            continue
        if ours is None and not is_given(str(there.get("origin", ""))):
            continue
        result.append(name)
    if settings.config.num_epochs < int(theirs.get("num_epochs", {}).get("value", 0)):
        result.append("num_epochs")
    return result


@functools.lru_cache(maxsize=1024)
def _recorded(path: Path, changed_ns: int, size: int) -> Mapping[str, Any] | None:
    """The options in config.yaml; None where it cannot be read, which main.py will say."""
    try:
        options: Mapping[str, Any] = read_config(path)["options"]
    except UserError:
        return None
    return options


def _settled(settings: Settings) -> dict[str, Any]:
    """What makes a run this run and no other; defaults that follow from the data set's name go without saying."""
    return {
        name: None if item["origin"].startswith("default of ") else item["value"]
        for name, item in settings.as_yaml_ready().items()
        if name not in FREE or name == "num_epochs"
    }
