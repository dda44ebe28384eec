"""Which of several settings is best on validation. Only the validation blocks of results.json are read."""

from __future__ import annotations

import contextlib
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..config.kinds import RATE, read
from ..config.options import Config
from ..data import TASKS
from ..errors import UserError
from ..metrics import SELECTIONS
from ..run_files.results_json import read_results
from ..system.installation import called
from .blocks import Block
from .job_state import OPEN, Look, State
from .jobs import Job
from .table_file import Row, Table, options_of, seeds_of

_NAMES = {name: "AUC" if name == "auc" else name.replace("_", " ").replace("auc", "AUC") for name in SELECTIONS}
_FORM = re.compile(rf"validation\s+(?:({'|'.join(_NAMES.values())})|fpr\s+at\s+tpr\s+(\S+))", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    """Highest mean validation AUC, or lowest mean validation FPR at a TPR; the mean is over the seeds.

    Of K classes the AUC is the mean over the classes, each against the rest, the FPR that over the critical ones; they
    have the other numbers of ``metrics.SELECTIONS`` too.
    """

    tpr: float | None = None
    name: str = SELECTIONS[0]

    @classmethod
    def parse(cls, text: Any, origin: str) -> Rule:
        """From ``validation AUC``, ``validation balanced accuracy`` and so on, or ``validation FPR at TPR 0.95``."""
        found = _FORM.fullmatch(" ".join(str(text).split()))
        with contextlib.suppress(ValueError):
            if found and found[2]:
                return cls(read(RATE, found[2]))
            if found:
                return cls(name=found[1].lower().replace(" ", "_"))
        others = ", ".join(f"'validation {name}'" for name in [*_NAMES.values()][1:])
        raise UserError(
            f"select must be 'validation AUC' or 'validation FPR at TPR 0.95', or with task classes {others}; "
            f"got {text!r} (from {origin})"
        )

    def check(self, row: Row) -> None:
        """Check that the runs of a row will report what the rule asks for."""
        tprs = row.options.get("tpr", Config().tpr)
        if self.tpr is not None and self.tpr not in tprs:
            raise UserError(f"select asks for the FPR at TPR {self.tpr:g}; add it to the runs, in common: tpr: {tprs}")
        if self.name != SELECTIONS[0] and row.options.get("task") != TASKS[1]:
            raise UserError(f"select asks for the {self}, which only runs with task: classes have; add it in common")

    def value(self, job: Job) -> float:
        """The number of one seed that the rule compares."""
        path = job.paths.results
        try:
            block: dict[str, Any] = read_results(path)["seeds"][str(job.seed)]["validation"]
            critical = list(block["critical"].values()) if "critical" in block else [block]
            if self.tpr is not None:
                return statistics.fmean(_fpr(each, self.tpr) for each in critical)
            if self.name == "critical_auc":
                return statistics.fmean(float(each["auc"]) for each in critical)
            return float(block[self.name])
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError, StopIteration):
            raise UserError(f"cannot read {path}; {called('train')} --train 0 writes it anew") from None

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is."""
        return 1 if self.tpr is None else -1

    def __str__(self) -> str:
        return f"validation {_NAMES[self.name]}" if self.tpr is None else f"validation FPR at TPR {self.tpr:g}"


def _fpr(block: Mapping[str, Any], tpr: float) -> float:
    return next(float(value) for key, value in block["fpr_at_tpr"].items() if float(key) == tpr)


@dataclass(frozen=True)
class Candidate:
    """A setting and its score: the mean over the seeds, None if a seed failed; pending while a seed is open."""

    row: Row
    pending: bool
    score: float | None = None


class Selection(Block):
    """What grid and search have in common: the options of their runs, and the rule that chooses among them."""

    def __init__(self, table: Table, content: Mapping[str, Any], origin: str) -> None:
        super().__init__(table, content, origin)
        self.rule = Rule.parse(content.get("select"), origin)
        self.common = options_of(content.get("set", {}), origin, extra=("checkpoint_root",))
        self.seeds = seeds_of(content, origin)

    def run(self, name: str, point: Mapping[str, Any]) -> Row:
        """The run with the settings ``point``."""
        return replace(self.table.row(name, {}, self.seeds, chosen={**self.common, **point}), trial=True)

    def candidate(self, row: Row, jobs: Sequence[tuple[Job, Look]]) -> Candidate:
        """The score of a setting."""
        states = {look.state for _, look in jobs}
        if states.intersection(OPEN) or State.FAILED in states:
            return Candidate(row, pending=bool(states.intersection(OPEN)))
        return Candidate(row, pending=False, score=statistics.fmean(self.rule.value(job) for job, _ in jobs))

    def best(self, candidates: Sequence[Candidate], *, of: str) -> tuple[Candidate | None, str]:
        """The best candidate with a score, the first of ties, None without one; and the choice as text."""
        scored = [(item.score, item) for item in candidates if item.score is not None]
        if not scored:
            return None, f"{of}: nothing to choose from: all {len(candidates)} failed"
        score, chosen = max(scored, key=lambda pair: self.rule.sign * pair[0])
        out = len(candidates) - len(scored)
        failed = f", {out} failed and cannot be chosen" if out else ""
        return chosen, f"{of}: {chosen.row.name} has the best {self.rule}, {score:.4f}, of {len(candidates)}{failed}"
