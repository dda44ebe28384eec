"""Every file name under ``checkpoint/``; no other module has one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..config.options import Config

PARTS = ("validation", "test")  # the sets that every seed is scored on
CALIBRATION = "calibration"  # and one that only a run with a calibration_fraction has


def before(path: Path) -> Path:
    """Where the previous version of a file is kept."""
    return path.with_name(f"{path.stem}_before{path.suffix}")


class _In:
    """A path in the folder of its owner."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, paths: SeedPaths | RunPaths | SweepPaths, owner: type) -> Path:
        return paths.folder / self.name


@dataclass(frozen=True)
class SeedPaths:
    """The files of one seed of a run."""

    folder: Path

    best = _In("best.pt")  # weights of the best validation AUC and what is needed to rebuild the model
    last = _In("last.pt")  # the state at the end of the last finished epoch
    last_before = _In("last_before.pt")  # the state an epoch earlier, in case `last` is damaged
    last_test = _In("last_test.csv")  # of K classes: scores of the test set at the end of training
    history = _In("history.jsonl")  # one JSON record for each epoch
    done = _In("done")  # exists once the seed is trained and evaluated
    failed = _In("failed")  # exists if the seed was given up; holds the message
    lock = _In(".lock")  # held by the process that works on the seed

    def scores(self, part: str) -> Path:
        """Scores of ``validation``, ``test`` or ``calibration``."""
        return self.folder / f"{part}.csv"

    @property
    def scored(self) -> tuple[str, ...]:
        """The sets that the seed has scores of."""
        return (*PARTS, CALIBRATION) if self.scores(CALIBRATION).exists() else PARTS


@dataclass(frozen=True)
class RunPaths:
    """The files of one run: ``<root>/<subfolder_name>/<model_name>``."""

    root: Path
    subfolder_name: str
    model_name: str

    config = _In("config.yaml")  # every resolved value with its origin, the command, the data, the versions
    model = _In("model.pt")  # what scores new images: the models of all seeds, preprocessing and thresholds
    external = _In("external")  # evaluations on other data, a folder each
    results = _In("results.json")  # the numbers of the seeds, their mean and SD, and the ensemble
    roc_name, confusion_name = "roc.png", "confusion.png"
    roc = _In(roc_name)  # the plot of the ROC
    confusion = _In(confusion_name)  # of K classes: the confusion matrix of the test set
    ensemble = _In("ensemble")  # scores averaged over the seeds
    lock = _In(".lock")  # held while config.yaml, or results.json and ensemble/, are written

    @classmethod
    def of(cls, config: Config) -> RunPaths:
        """The files of the run that ``config`` names."""
        assert config.model_name is not None
        return cls(Path(config.checkpoint_root), config.subfolder_name, config.model_name)

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.root / self.subfolder_name / self.model_name

    def seed(self, seed: int) -> SeedPaths:
        """The files of one seed."""
        return SeedPaths(self.folder / f"seed{seed}")

    def seeds_with(self, name: str = "") -> list[int]:
        """The seeds whose folder has a file ``name``, or all that have a folder; ascending."""
        folders = [path for path in self.folder.glob("seed*") if path.is_dir() and (path / name).exists()]
        found = [path.name.removeprefix("seed") for path in folders]
        return sorted(int(number) for number in found if re.fullmatch("0|[1-9][0-9]{0,17}", number))


@dataclass(frozen=True)
class SweepPaths:
    """The files of a sweep, beside its runs in ``<root>/<name>``."""

    root: Path
    name: str

    search = _In("search.json")  # the settings that the search has proposed
    search_lock = _In("search.lock")  # held while search.json is in use
    slurm = _In("slurm")  # what submitit keeps of its jobs

    @property
    def table(self) -> Path:
        """The rows that were asked for last, and the folder of each."""
        return self.root / self.name / "table.json"

    @property
    def folder(self) -> Path:
        """What a sweep keeps for itself."""
        return self.root / self.name / ".sweep"

    def claim(self, model_name: str, seed: int) -> Path:
        """Held by the sweep that starts the job, and by the job's process."""
        return self.folder / f"{model_name}.seed{seed}.claim"

    def log(self, model_name: str, seed: int) -> Path:
        """What the job printed."""
        return self.folder / f"{model_name}.seed{seed}.log"

    def queued(self, model_name: str, seed: int) -> Path:
        """The number under which SLURM knows the job."""
        return self.folder / f"{model_name}.seed{seed}.slurm"
