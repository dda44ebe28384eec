"""A row and a seed make a job: one command of main.py and one folder.

The folder of a row has its name. If that folder holds a run with other settings, because the row was changed since,
the row gets a new folder ``<name>-<8 digits of the hash of its settings>``: a changed row is a new job, and old results
are neither lost nor taken for new ones. A row that is changed back finds its old folder. More epochs are not a change:
the job resumes where it ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config.options import FREE, spelled
from ..config.readers import unread
from ..config.settings import Settings, is_given, resolve
from ..errors import UserError
from ..run_files.config_yaml import read_config
from ..run_files.paths import RunPaths, SeedPaths, SweepPaths
from .table_file import Row, Table, arguments

Key = tuple[str, int]


@dataclass(frozen=True)
class Job:
    """One seed of one row.

    ``row`` is its name in the table; ``argv`` are the arguments of main.py; ``after`` is the folder name of the run
    that it continues, in which the same seed must be finished first, or ''.
    """

    row: str
    seed: int
    paths: RunPaths
    argv: tuple[str, ...]
    num_epochs: int
    after: str = ""

    @property
    def key(self) -> Key:
        """Tells it from the other jobs of its sweep."""
        return self.paths.model_name, self.seed

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
        return self.sweep.claim(*self.key)

    @property
    def queued(self) -> Path:
        """Holds its SLURM job number."""
        return self.sweep.queued(*self.key)

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.sweep.log(*self.key)

    def __str__(self) -> str:
        return f"{self.row} seed {self.seed}"


@dataclass(frozen=True)
class JobMaker:
    """Makes the jobs of a table.

    Args:
        table: the table.
        threads, small_threads: CPU threads of a job unless its row sets them, for a large and a small model; 0: torch's
            own number.
        small: the models that do not gain from a second thread.
    """

    table: Table
    threads: int = 0
    small_threads: int = 0
    small: Collection[str] = ()

    def jobs(self, row: Row) -> list[Job]:
        """The jobs of a row, one per seed."""
        settings = self.settings(row)
        paths = self.folder(row, settings)
        options, after = dict(row.options), ""
        if settings.config.continue_train:
            after = self._baseline(row, settings)
            options["baseline_cont_train"] = after
        threads = self.small_threads if settings.config.resnet_type in self.small else self.threads
        if threads and not settings.config.threads:
            options["threads"] = threads
        names = {"subfolder_name": self.table.name, "model_name": paths.model_name, "resume": 1}
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
        """The settings of a row, as main.py will see them."""
        with naming(row):
            return resolve(arguments(row.options))

    def folder(self, row: Row, settings: Settings) -> RunPaths:
        """The folder that holds this row, or that it will be made in."""
        plain = RunPaths(self.table.checkpoint_root, self.table.name, row.name)
        try:
            if not differences(read_config(plain.config)["options"], settings):
                return plain
        except UserError:  # there is none, or it is damaged, which main.py will say
            return plain
        text = json.dumps(_settled(settings), sort_keys=True)
        return replace(plain, model_name=f"{row.name[:119]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")

    def _baseline(self, row: Row, settings: Settings) -> str:
        name = settings.config.baseline_cont_train
        if name is None or name == row.name or not settings.is_given("baseline_cont_train"):
            raise UserError(f"row {row.name!r}: continue_train needs baseline_cont_train, the name of another row")
        other = next((other for other in self.table.rows() if other.name == name), None)
        return self.folder(other, self.settings(other)).model_name if other else name


@contextlib.contextmanager
def naming(row: Row) -> Iterator[None]:
    """Messages name the row."""
    try:
        yield
    except UserError as error:
        raise UserError(f"row {row.name!r}: {error}") from None


def differences(theirs: Mapping[str, Any], settings: Settings) -> list[str]:
    """The options in which config.yaml and the settings differ; what follows from the data is equal in both.

    Those that are not given, and that nothing in the run would read, do not count.
    """
    result, ignored = [], FREE | {name for name in unread(settings.config) if not settings.is_given(name)}
    for name, item in settings.as_yaml_ready().items():
        there, ours = theirs.get(name, {}), item["value"]
        if name in ignored or spelled(name, there.get("value")) == spelled(name, ours):
            continue
        if ours is None and not is_given(str(there.get("origin", ""))):
            continue
        result.append(name)
    if settings.config.num_epochs < int(theirs.get("num_epochs", {}).get("value", 0)):
        result.append("num_epochs")
    return result


def _settled(settings: Settings) -> dict[str, Any]:
    """What makes a run this run and no other; defaults that follow from the data set's name go without saying."""
    return {
        name: None if item["origin"].startswith("default of ") else spelled(name, item["value"])
        for name, item in settings.as_yaml_ready().items()
        if name not in FREE or name == "num_epochs"
    }
