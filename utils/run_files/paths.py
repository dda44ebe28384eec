"""Every file name under ``checkpoint/``, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..config.options import Config


def before(path: Path) -> Path:
    """Where the last version but one of a file is kept."""
    return path.with_name(f"{path.stem}_before{path.suffix}")


@dataclass(frozen=True)
class SeedPaths:
    """The files of one seed of a run."""

    folder: Path

    @property
    def best(self) -> Path:
        """Weights of the best validation AUC and what is needed to rebuild the model."""
        return self.folder / "best.pt"

    @property
    def last(self) -> Path:
        """The state at the end of the last finished epoch."""
        return self.folder / "last.pt"

    @property
    def last_before(self) -> Path:
        """The state an epoch earlier, in case that ``last`` is damaged."""
        return before(self.last)

    @property
    def history(self) -> Path:
        """One JSON record an epoch."""
        return self.folder / "history.jsonl"

    @property
    def done(self) -> Path:
        """There when the seed is trained and evaluated."""
        return self.folder / "done"

    @property
    def failed(self) -> Path:
        """There when the seed was given up; holds the message."""
        return self.folder / "failed"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the seed."""
        return self.folder / ".lock"

    def scores(self, part: str) -> Path:
        """Scores of ``validation`` or ``test``."""
        return self.folder / f"{part}.csv"


@dataclass(frozen=True)
class RunPaths:
    """The files of one run: ``<root>/<subfolder_name>/<model_name>``."""

    root: Path
    subfolder_name: str
    model_name: str

    @classmethod
    def of(cls, config: Config) -> RunPaths:
        """The files of the run that ``config`` names."""
        assert config.model_name is not None
        return cls(Path(config.checkpoint_root), config.subfolder_name, config.model_name)

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.root / self.subfolder_name / self.model_name

    @property
    def config(self) -> Path:
        """Every resolved value with its origin, the command, the data, the versions."""
        return self.folder / "config.yaml"

    @property
    def results(self) -> Path:
        """The numbers of the seeds, their mean and SD, and the ensemble."""
        return self.folder / "results.json"

    @property
    def roc(self) -> Path:
        """The picture of the ROC."""
        return self.folder / "roc.png"

    @property
    def lock(self) -> Path:
        """Held while results.json and ensemble/ are rebuilt."""
        return self.folder / ".lock"

    @property
    def ensemble(self) -> Path:
        """Scores averaged over the seeds."""
        return self.folder / "ensemble"

    def seed(self, seed: int) -> SeedPaths:
        """The files of one seed."""
        return SeedPaths(self.folder / f"seed{seed}")

    def seeds_with(self, name: str) -> list[int]:
        """The seeds whose folder holds a file ``name``, ascending."""
        found = [path.parent.name.removeprefix("seed") for path in self.folder.glob(f"seed*/{name}")]
        return sorted(int(number) for number in found if re.fullmatch("0|[1-9][0-9]{0,17}", number))


@dataclass(frozen=True)
class SweepPaths:
    """The files of a sweep, beside its runs in ``<root>/<name>``."""

    root: Path
    name: str

    @property
    def table(self) -> Path:
        """The rows that were asked for last, and the folder of each."""
        return self.root / self.name / "table.json"

    @property
    def folder(self) -> Path:
        """What a sweep keeps for itself."""
        return self.root / self.name / ".sweep"

    @property
    def search(self) -> Path:
        """The settings that the search has proposed."""
        return self.folder / "search.json"

    @property
    def search_lock(self) -> Path:
        """Held while search.json is in use."""
        return self.folder / "search.lock"

    @property
    def slurm(self) -> Path:
        """What submitit keeps of its jobs."""
        return self.folder / "slurm"

    def claim(self, model_name: str, seed: int) -> Path:
        """Held by the sweep that starts the job, and by the job's process."""
        return self.folder / f"{model_name}.seed{seed}.claim"

    def log(self, model_name: str, seed: int) -> Path:
        """What the job printed."""
        return self.folder / f"{model_name}.seed{seed}.log"

    def queued(self, model_name: str, seed: int) -> Path:
        """The number under which SLURM knows the job."""
        return self.folder / f"{model_name}.seed{seed}.slurm"
