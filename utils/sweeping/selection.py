"""Which of several settings is best on validation. Only the validation blocks of results.json are read."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..run_files.results_json import read_results
from .job_state import OPEN, Look, State
from .jobs import Job
from .table_file import Row, Table

_FORM = re.compile(r"validation\s+(?:(auc)|fpr\s+at\s+tpr\s+([0-9.]+))", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    """Highest mean validation AUC, or lowest mean validation FPR at a TPR; the mean is over the seeds."""

    tpr: float | None = None

    @classmethod
    def parse(cls, text: Any, origin: str) -> Rule:
        """From ``validation AUC`` or ``validation FPR at TPR 0.95``.

        Raises:
            UserError: it is neither.
        """
        found = _FORM.fullmatch(str(text).strip())
        try:
            tpr = float(found[2]) if found and found[2] else None
        except ValueError:
            found, tpr = None, None
        if found is None or not (tpr is None or 0 < tpr <= 1):
            raise UserError(
                f"select must be 'validation AUC' or 'validation FPR at TPR 0.95', got {text!r} (from {origin})"
            )
        return cls(tpr)

    def check(self, row: Row) -> None:
        """Check that the runs of a row will report what the rule asks for.

        Raises:
            UserError: its TPR is not among theirs.
        """
        tprs = row.options.get("tpr", (0.98, 0.95, 0.90))
        if self.tpr is not None and self.tpr not in tprs:
            raise UserError(f"select asks for the FPR at TPR {self.tpr:g}; add it to the runs, in common: tpr: {tprs}")

    def value(self, block: Mapping[str, Any]) -> float:
        """The number of a validation block that the rule compares."""
        if self.tpr is None:
            return float(block["auc"])
        return float(next(value for key, value in block["fpr_at_tpr"].items() if float(key) == self.tpr))

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is."""
        return 1 if self.tpr is None else -1

    def __str__(self) -> str:
        return "validation AUC" if self.tpr is None else f"validation FPR at TPR {self.tpr:g}"


@dataclass(frozen=True)
class Candidate:
    """A setting and its score: the mean over the seeds, None if a seed failed; pending while a seed is open."""

    row: Row
    pending: bool
    score: float | None


def candidate(row: Row, jobs: Sequence[tuple[Job, Look]], rule: Rule) -> Candidate:
    """The score of a setting.

    Raises:
        UserError: results.json is damaged.
    """
    states = {look.state for _, look in jobs}
    if states.intersection(OPEN):
        return Candidate(row, pending=True, score=None)
    if State.FAILED in states:
        return Candidate(row, pending=False, score=None)
    return Candidate(row, pending=False, score=statistics.fmean(rule.value(validation_block(job)) for job, _ in jobs))


def validation_block(job: Job) -> dict[str, Any]:
    """The validation numbers of one seed, from results.json.

    Raises:
        UserError: they cannot be read.
    """
    try:
        block: dict[str, Any] = read_results(job.paths.results)["seeds"][str(job.seed)]["validation"]
        float(block["auc"]), dict(block["fpr_at_tpr"])
    except (ValueError, OverflowError, KeyError, TypeError):
        raise UserError(f"cannot read {job.paths.results}; main.py --train 0 writes it anew") from None
    return block


def best(candidates: Sequence[Candidate], rule: Rule) -> Candidate | None:
    """The best candidate with a score, the first of ties; None without one."""
    scored = [item for item in candidates if item.score is not None]
    return max(scored, key=lambda item: rule.sign * (item.score or 0.0), default=None)


def said(chosen: Candidate | None, candidates: Sequence[Candidate], rule: Rule, *, of: str) -> str:
    """The choice as text."""
    out = sum(item.score is None for item in candidates)
    failed = f", {out} failed and cannot be chosen" if out else ""
    if chosen is None:
        return f"{of}: nothing to choose from: all {len(candidates)} failed"
    return f"{of}: {chosen.row.name} has the best {rule}, {chosen.score:.4f}, of {len(candidates)}{failed}"


def followers(table: Table, options: Mapping[str, Any], *, suffix: str = "") -> tuple[Row, ...]:
    """The rows that the table lists, each with the options that were chosen."""
    return tuple(
        table.row(line["name"] + suffix, {**options, **line["options"]}, line["seeds"]) for line in table.lines
    )
