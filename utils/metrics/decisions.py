"""From the numbers of results.json to the threshold that classifies new samples, and what it promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, one_line
from .roc import Array

PROMISES = ("NP", "CRC")
UNITS = ("sample", "group")
RULES = (*PROMISES, "plug-in", "fpr", "cost", "prior", "default")


@dataclass(frozen=True)
class Threshold:
    """Samples with at least the score ``value`` are classified as positive.

    Args:
        rule: one of ``RULES``: how the threshold was chosen.
        target: the TPR of a promise or of plug-in; the FPR, cost ratio or prior; None of the default.
        value: the threshold; None where there were too few samples to keep the promise.
        risk: probability with which the promise of NP may be missed, else None.
        on: the set that it was chosen on; "" of the default.
        n: positives of that set; 0 of the default.
        needed: positives that the promise needs, else 0.
        unit: ``sample``, or ``group`` where n and needed count groups with positives.
    """

    rule: str
    target: float | None
    value: float | None
    risk: float | None = None
    on: str = ""
    n: int = 0
    needed: int = 0
    unit: str = "sample"

    @property
    def meaning(self) -> str:
        """The rule, its level and what it was chosen from, in words.

        >>> Threshold("NP", 0.98, 1.5, risk=0.05, on="calibration", n=300, needed=149).meaning
        'NP: TPR >= 0.98 with probability >= 0.95, from 300 calibration positives'
        """
        counted = "groups of " if self.unit == "group" else ""
        chosen = f", from {self.n} {counted}{self.on} positives" if self.n else ""
        words = {
            "NP": f"TPR >= {self.target} with probability >= {1 - (self.risk or 0):.10g}",
            "CRC": f"TPR >= {self.target} on average over calibration sets",
            "plug-in": f"TPR {self.target} on the {self.on} set, no promise",
            "fpr": f"FPR at most {self.target} on the {self.on} set, no promise",
            "cost": f"least cost on the {self.on} set where a miss costs {self.target} false alarms, no promise",
            "prior": f"even odds after a shift to the training prior {self.target}, no promise",
            "default": "the objective's own threshold, no promise",
        }
        return f"{self.rule}: {words[self.rule]}{chosen}"


@dataclass(frozen=True)
class Pair:
    """Rule out below ``low``, rule in from ``high`` up, refer between the two.

    With a probability of at least 1 - risk, the TPR of ``low`` reaches ``tpr`` and the FPR of ``high`` stays within
    ``fpr`` (see ``promised_thresholds.two_thresholds``).
    """

    tpr: float
    fpr: float
    risk: float
    low: float
    high: float

    @property
    def meaning(self) -> str:
        """The two promises in words."""
        return (
            f"ruled out: TPR >= {self.tpr} of the rest; ruled in: FPR <= {self.fpr}; "
            f"both with probability >= {1 - self.risk:.10g}"
        )

    def referral(self, scores: Array) -> list[str]:
        """``rule out``, ``refer`` or ``rule in`` for each score.

        >>> Pair(0.98, 0.05, 0.05, low=0.0, high=2.0).referral(np.array([-1.0, 0.0, 2.0]))
        ['rule out', 'refer', 'rule in']
        """
        words = np.where(scores >= self.high, "rule in", np.where(scores < self.low, "rule out", "refer"))
        return [str(word) for word in words]


@dataclass(frozen=True)
class Decisions:
    """All thresholds of a model, and the temperature that turns its scores into probabilities.

    ``temperature`` is None where none could be fitted; the probabilities hold for the class mix of the validation set.
    """

    thresholds: tuple[Threshold, ...]
    pairs: tuple[Pair, ...]
    temperature: float | None

    @property
    def count_groups(self) -> bool:
        """Whether promises were chosen from groups, such as patients: the samples of the run belong to some."""
        return any(item.unit == "group" for item in self.thresholds)

    def as_dict(self) -> dict[str, Any]:
        """As best.pt and model.pt hold it."""
        return {
            "thresholds": [asdict(item) for item in self.thresholds],
            "pairs": [asdict(item) for item in self.pairs],
            "temperature": self.temperature,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Decisions:
        """What ``as_dict`` gave.

        Raises:
            TypeError, ValueError, KeyError: it is not that.
        """
        thresholds = tuple(Threshold(**item) for item in content["thresholds"])
        pairs = tuple(Pair(**item) for item in content["pairs"])
        temperature = content["temperature"]
        for item in thresholds:
            if item.rule not in RULES or not isinstance(item.on, str) or item.unit not in UNITS:
                raise ValueError(item.rule)
            _check_numbers(item.n, item.needed)
            _check_numbers(*(value for value in (item.target, item.value, item.risk) if value is not None))
        for pair in pairs:
            _check_numbers(*asdict(pair).values())
        if temperature is not None:
            _check_numbers(temperature)
            if temperature <= 0:
                raise ValueError(temperature)
        return cls(thresholds, pairs, temperature)

    def chosen(self, *, rule: str | None = None, target: float | None = None) -> Threshold:
        """The threshold to use.

        Args:
            rule: one of ``RULES``; None: NP for the highest TPR that it can promise, or else plug-in for the highest.
            target: its TPR, FPR, cost ratio or prior; None if there is one only, or the first.

        Raises:
            UserError: there is no such threshold, or the samples were too few for it.
        """
        if rule is None and target is None:
            promised = [item for item in self.thresholds if item.rule == "NP" and item.value is not None]
            plain = [item for item in self.thresholds if item.rule == "plug-in"]
            if not (promised or plain):
                return self.chosen(rule="default")
            return max(promised or plain, key=lambda item: item.target or 0)
        named = [item for item in self.thresholds if item.rule == (rule or "NP")]
        found = [item for item in named if target is None or item.target == target]
        if not found:
            wanted = f"{rule or 'NP'}{'' if target is None else f' for {target}'}"
            known = ", ".join(
                f"{item.rule} {'' if item.target is None else item.target}".strip()
                for item in self.thresholds
                if item.value is not None
            )
            is_promise = target is not None and (rule or "NP") in PROMISES
            remedy = f"; the run's command with --train 0 --promise {target} 0.05 chooses it" if is_promise else ""
            remedy += ", if its positives are enough" if is_promise else ""
            raise UserError(f"no threshold by {wanted}; there are {known}{remedy}")
        if found[0].value is None:
            unit = "groups " if found[0].unit == "group" else ""
            raise UserError(
                f"a TPR of {found[0].target} cannot be promised: {found[0].rule} needs {found[0].needed} positives, "
                f"got {found[0].n} {unit}on the {found[0].on} set; --rule plug-in {found[0].target} promises nothing"
            )
        return found[0]

    def pair(self, *, tpr: float | None = None, fpr: float | None = None) -> Pair | None:
        """The two thresholds for a TPR and an FPR, the first that fit; None if there are none."""
        return next((p for p in self.pairs if tpr in (None, p.tpr) and fpr in (None, p.fpr)), None)

    def probabilities(self, scores: Array) -> Array | None:
        """1 / (1 + exp(-score / temperature)); None without a temperature."""
        if self.temperature is None:
            return None
        from scipy.special import expit

        result: NDArray[np.float64] = expit(scores / self.temperature)
        return result


def chosen_for_each(
    decisions: Mapping[str, Decisions], *, rule: str | None = None, target: float | None = None
) -> dict[str, Threshold]:
    """The threshold of each critical class, all by one rule and for one target (but ``prior``, which has their own).

    Args:
        decisions: of each critical class, by its name.
        rule: one of ``RULES``; None: NP for the highest TPR that can be promised of every class, or else plug-in for
            the highest.
        target: as of ``Decisions.chosen``.

    Raises:
        UserError: a class has no such threshold, or too few samples for it; the text names it.
    """
    if rule is None and target is None:
        rule, target = _highest(decisions)
    found = {}
    for name, own in decisions.items():
        try:
            found[name] = own.chosen(rule=rule, target=target)
        except UserError as error:
            raise UserError(f"class {one_line(name)}: {error}") from None
    return found


def _highest(decisions: Mapping[str, Decisions]) -> tuple[str, float | None]:
    """The rule and target that ``chosen_for_each`` takes unasked."""
    for rule in ("NP", "plug-in"):
        # of several thresholds for one target ``Decisions.chosen`` takes the first
        first = [
            {item.target: item.value for item in reversed(own.thresholds) if item.rule == rule}
            for own in decisions.values()
        ]
        kept = [{target for target, value in each.items() if value is not None} for each in first]
        if common := set.intersection(*kept):
            return rule, max(target or 0 for target in common)
    return "default", None


def decisions_of(test: Mapping[str, Any], *, validation: Mapping[str, Any]) -> Decisions:
    """All thresholds of a block of results.json.

    Args:
        test: its block of the test set, where the thresholds stand.
        validation: its block of the validation set, on which all but the promises were chosen.
    """
    positives = int(validation["n_positive"])
    thresholds = [
        Threshold(
            rule=p["rule"],
            target=p["tpr"],
            value=p["threshold"],
            risk=p["risk"],
            on=p["on"],
            n=p["n_positive"],
            needed=p["needed"],
            unit=p.get("unit", UNITS[0]),
        )
        for p in test["promises"]
    ]
    chosen = [("plug-in", p["target_tpr"], p["threshold"]) for p in test["operating_points"]]
    chosen += [(p["rule"], p["target"], p["threshold"]) for p in test["thresholds"]]
    thresholds += [Threshold(*item, on="validation", n=positives) for item in chosen]
    thresholds.append(Threshold("default", None, test["at_default_threshold"]["threshold"]))
    pairs = [Pair(p["tpr"], p["fpr"], p["risk"], p["low"], p["high"]) for p in test["two_thresholds"]]
    fitted = test["calibration"]
    return Decisions(tuple(thresholds), tuple(pairs), None if fitted["at_bound"] else fitted["temperature"])


def _check_numbers(*values: object) -> None:
    """Raise ValueError unless each is a finite number."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise ValueError(value)


def shares(words: Sequence[str]) -> dict[str, float]:
    """The share of each word.

    >>> shares(["refer", "rule in", "refer", "refer"])
    {'refer': 0.75, 'rule in': 0.25}
    """
    return {word: words.count(word) / len(words) for word in dict.fromkeys(words)}
