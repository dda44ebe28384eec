"""What the rows of a prediction say, and in which columns. All digits of a number are written, to be read exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data.image_pixels import BrokenImageError
from ..errors import UserError, one_line
from ..metrics.decisions import Decisions, Pair, Threshold, chosen_for_each, shares
from ..metrics.roc import Array
from ..metrics.scores import mean_of_seeds
from ..run_files.class_scores_csv import OUTPUT, SCORE
from .class_model import ClassModel
from .seed_models import SeedModels
from .trained_model import TrainedModel

PROBABILITY, THRESHOLD, RULE = "probability_", "threshold_", "rule_"


@dataclass
class Told:
    """What the rows of a prediction say together: images of each decision, referrals, and images without a score."""

    decisions: Counter[str] = field(default_factory=Counter)
    referrals: list[str] = field(default_factory=list)
    broken: int = 0

    def count(self, rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
        """Count ``rows`` in, whose last column is the error."""
        decision, referral = columns.index("decision"), columns.index("referral")
        for row in rows:
            if row[-1]:
                self.broken += 1
                continue
            self.decisions[row[decision]] += 1
            if row[referral]:
                self.referrals.append(row[referral])


class Rows:
    """Base of both kinds of rows. The first column is the path, the last the error; what does not apply is empty."""

    model: SeedModels
    pair: Pair | None

    @property
    def columns(self) -> list[str]:
        """The header."""
        raise NotImplementedError  # pragma: no cover

    @property
    def identity(self) -> list[str]:
        """What tells these rows from those by other thresholds."""
        raise NotImplementedError  # pragma: no cover

    def scored(self, names: Sequence[str], numbers: Array) -> list[list[str]]:
        """The rows of images, from the ``numbers`` (seeds, B, *columns) of each seed's model."""
        raise NotImplementedError  # pragma: no cover

    def lines(self, told: Told) -> list[str]:
        """What to print at the end."""
        raise NotImplementedError  # pragma: no cover

    def batch(self, names: Sequence[str], found: Sequence[Array | BrokenImageError]) -> list[list[str]]:
        """The rows of a batch, from what ``predictions.batch_scores`` gave."""
        good = [(name, each) for name, each in zip(names, found, strict=True) if isinstance(each, np.ndarray)]
        numbers = np.stack([each for _, each in good], axis=1) if good else None
        rows = iter([] if numbers is None else self.scored([name for name, _ in good], numbers))
        broken = [""] * (len(self.columns) - 2)
        return [
            [name, *broken, str(each)] if isinstance(each, BrokenImageError) else next(rows)
            for name, each in zip(names, found, strict=True)
        ]

    def referral_lines(self, told: Told) -> list[str]:
        """The share of each referral, if there are any."""
        if not self.pair or not told.referrals:
            return []
        said = ", ".join(f"{word} {share:.1%}" for word, share in sorted(shares(told.referrals).items()))
        return [f"referral   {said}  ({self.pair.meaning})"]


@dataclass(frozen=True)
class SideRows(Rows):
    """Rows of two sides.

    Columns: path, score, score_seed<k> of each seed, probability, decision, threshold, rule, referral, error.
    """

    model: TrainedModel
    threshold: Threshold
    pair: Pair | None

    @classmethod
    def chosen(cls, model: TrainedModel, *, rule: str | None, target: float | None, pair: Sequence[float]) -> SideRows:
        """See ``predictions.rows_of``."""
        threshold = model.decisions.chosen(rule=rule, target=target)
        if pair:
            return cls(model, threshold, _pair(model.decisions, pair))
        return cls(model, threshold, model.decisions.pair(tpr=threshold.target if threshold.rule == "NP" else None))

    @property
    def columns(self) -> list[str]:
        seeds = [f"score_seed{seed}" for seed in self.model.seeds]
        return ["path", "score", *seeds, "probability", "decision", "threshold", "rule", "referral", "error"]

    @property
    def identity(self) -> list[str]:
        return [repr(self.threshold), repr(self.pair)]

    def scored(self, names: Sequence[str], numbers: Array) -> list[list[str]]:
        assert self.threshold.value is not None
        mean = mean_of_seeds(numbers)
        chances = self.model.decisions.probabilities(mean)
        rule = [repr(self.threshold.value), self.threshold.meaning]
        referrals = self.pair.referral(mean) if self.pair else [""] * len(mean)
        rows = []
        for row, name in enumerate(names):
            chance = "" if chances is None else _digits(chances[row])
            decision = "positive" if mean[row] >= self.threshold.value else "negative"
            seeds = map(_digits, numbers[:, row])
            rows.append([name, _digits(mean[row]), *seeds, chance, decision, *rule, referrals[row], ""])
        return rows

    def lines(self, told: Told) -> list[str]:
        count, positive = told.decisions.total(), told.decisions["positive"]
        return [
            f"{count:,} images scored, {positive:,} called positive, {told.broken:,} could not be read",
            f"threshold  score >= {self.threshold.value!r}  ({self.threshold.meaning})",
            *self.referral_lines(told),
        ]


@dataclass(frozen=True)
class ClassRows(Rows):
    """Rows of K classes.

    Columns: path, decision (the name of a class), share (of that class in the softmax of the outputs); score_<name>,
    probability_<name>, threshold_<name> and rule_<name> of each critical class; output_<name> of each class;
    score_<name>_seed<k> of each critical class and seed; referral, error.
    """

    model: ClassModel
    thresholds: Mapping[str, Threshold]
    pair: Pair | None

    @classmethod
    def chosen(cls, model: ClassModel, *, rule: str | None, target: float | None, pair: Sequence[float]) -> ClassRows:
        """See ``predictions.rows_of``.

        Raises:
            UserError: also where two thresholds are asked for and there are several critical classes.
        """
        thresholds = chosen_for_each(model.decisions, rule=rule, target=target)
        if not pair:
            return cls(model, thresholds, model.pair(thresholds))
        if len(thresholds) > 1:
            names = ", ".join(map(one_line, thresholds))
            raise UserError(
                f"--two_thresholds rules one critical class in or out, but the run has {len(thresholds)} ({names});"
                " leave it out"
            )
        (decisions,) = model.decisions.values()
        return cls(model, thresholds, _pair(decisions, pair))

    @property
    def columns(self) -> list[str]:
        kinds = (SCORE, PROBABILITY, THRESHOLD, RULE)
        critical = [kind + name for name in self.thresholds for kind in kinds]
        outputs = [OUTPUT + name for name in self.model.names]
        seeds = [f"{SCORE}{name}_seed{seed}" for name in self.thresholds for seed in self.model.seeds]
        return ["path", "decision", "share", *critical, *outputs, *seeds, "referral", "error"]

    @property
    def identity(self) -> list[str]:
        return [*(repr(threshold) for threshold in self.thresholds.values()), repr(self.pair)]

    def scored(self, names: Sequence[str], numbers: Array) -> list[list[str]]:
        found = self.model.decided(mean_of_seeds(numbers), self.thresholds, self.pair)
        of_seeds = self.model.parts(numbers)[0]
        rows = []
        for row, name in enumerate(names):
            critical: list[str] = []
            for column, (own, threshold) in enumerate(self.thresholds.items()):
                chances = found.probability[own]
                chance = "" if chances is None else _digits(chances[row])
                critical += [_digits(found.score[row, column]), chance, repr(threshold.value), threshold.meaning]
            outputs = map(_digits, found.outputs[row])
            seeds = map(_digits, of_seeds[:, row].T.ravel())
            referral = found.referral[row] if found.referral else ""
            decision = [found.names[found.label[row]], _digits(found.share[row])]
            rows.append([name, *decision, *critical, *outputs, *seeds, referral, ""])
        return rows

    def lines(self, told: Told) -> list[str]:
        others = [name for name in self.model.names if told.decisions[name] and name not in self.thresholds]
        known = ", ".join(f"{one_line(name)}: {told.decisions[name]:,}" for name in (*self.thresholds, *others))
        lines = [f"{told.decisions.total():,} images scored, {told.broken:,} could not be read", f"decided    {known}"]
        lines += [
            f"threshold  score_{one_line(name)} >= {threshold.value!r}  ({threshold.meaning})"
            for name, threshold in self.thresholds.items()
        ]
        return [*lines, *self.referral_lines(told)]


def _pair(decisions: Decisions, pair: Sequence[float]) -> Pair:
    """The two thresholds for a TPR and an FPR.

    Raises:
        UserError: there are none.
    """
    found = decisions.pair(tpr=pair[0], fpr=pair[1])
    if found is None:
        there = ", ".join(f"{p.tpr} {p.fpr}" for p in decisions.pairs) or "none (too few samples for a promise)"
        raise UserError(f"--two_thresholds {pair[0]} {pair[1]}: the run has no such two; it has {there}")
    return found


def _digits(value: float) -> str:
    """All digits of a number.

    >>> _digits(np.float64(0.1))
    '0.1'
    """
    return repr(float(value))
