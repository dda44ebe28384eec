"""What the thresholds of a row promise, and what they give on the test set.

All thresholds are those of the row's ensemble, chosen by the functions that results.json is written with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.guarantees import compared, promises
from ..config.options import Config
from ..metrics.decisions import UNITS
from ..metrics.promised_thresholds import Promise, samples_needed
from ..metrics.roc import Rates, rates_at
from ..metrics.summary import EvaluationOptions, promised, rate_intervals, units
from ..run_files.results_json import MOST_COMPARED
from .analysis import Row
from .labels import asked

PLUG_IN, DEFAULT, NP, CRC = "plug-in", "default", "NP", "CRC"
EVALUATED = ("tpr", "fpr", "promise", "cost_ratio", "num_epochs", "continue_train", "continue_train_epochs")


@dataclass(frozen=True)
class Decision:
    """A threshold, or the promise for which there are too few positives.

    Args:
        rule: how the threshold was chosen.
        tpr: that it is meant to reach; None of the default threshold.
        risk: allowed probability of missing that TPR; None where nothing is said of a single calibration.
        on: the set it was chosen on, "" of the default.
        n: the positives of that set; 0 of the default.
        needed: the positives that the rule needs.
        threshold: None if there are fewer.
        rates: what it gives on the test set.
        intervals: of the TPR and of the FPR there (``metrics.intervals.rate_interval``); none without a threshold.
    """

    rule: str
    tpr: float | None
    risk: float | None
    on: str
    n: int
    needed: int
    threshold: float | None
    rates: Rates | None
    intervals: Sequence[list[float]]

    @property
    def short(self) -> str:
        """Its name in a list."""
        return self.rule if self.tpr is None else f"{self.rule}, TPR {self.tpr * 100:.13g} %"

    @property
    def says(self) -> str:
        """What is promised about new samples."""
        if self.risk is not None:
            return f"missed with probability \N{LESS-THAN OR EQUAL TO} {self.risk:g}"
        return {CRC: "on average over calibration sets", PLUG_IN: "no promise", DEFAULT: "no promise"}[self.rule]


@dataclass(frozen=True)
class Pair:
    """Rule out below ``low``, rule in at or above ``high``, refer the rest; both thresholds None of too few samples."""

    tpr: float
    fpr: float
    risk: float
    needed: tuple[int, int]  # positives and negatives
    there: tuple[int, int]
    low: float | None = None
    high: float | None = None
    at_low: Rates | None = None
    at_high: Rates | None = None


@dataclass(frozen=True)
class Evidence:
    """The thresholds of a row.

    Args:
        on: "calibration" or "validation", where the promised thresholds were chosen.
        positives: of that set; groups with positives where samples belong to groups.
        negatives: likewise.
        compared: among how many models that set chose the one that is evaluated.
        cost_ratio: of the run: cost of a false negative in units of a false positive.
        unit: ``sample``, or ``group`` where samples belong to groups: what n, positives and negatives count.
    """

    decisions: tuple[Decision, ...]
    pairs: tuple[Pair, ...]
    promises: tuple[Promise, ...]
    on: str
    positives: int
    negatives: int
    compared: float
    cost_ratio: float
    unit: str

    @property
    def given(self) -> tuple[Decision, ...]:
        """Those with a threshold."""
        return tuple(each for each in self.decisions if each.threshold is not None)


def evidence(row: Row) -> Evidence:
    """The default threshold, one for each TPR by the plug-in rule, and what is promised."""
    config = Config(**{name: asked(row.run.record.options, name) for name in (*EVALUATED, "resnet_type")})
    models = min(compared(config) ** len(row.run.seeds), MOST_COMPARED)
    counts = row.run.record.class_counts["train"]
    options = EvaluationOptions(
        tprs=row.tprs,
        alpha=config.alpha,
        default_threshold=row.run.default_threshold,
        fprs=config.fpr,
        cost_ratio=config.cost_ratio,
        class_counts=(counts["negative"], counts["positive"]),
        promises=promises(config),
        compared=models,
    )
    found = promised(row.validation, row.test, calibration=row.calibration, options=options)
    chosen_on = row.validation if row.calibration is None else row.calibration
    positives, negatives = (len(units(chosen_on, side)) for side in (1, 0))
    kept = {(pair["tpr"], pair["fpr"], pair["risk"]): pair for pair in found["two_thresholds"]}
    corrected = row.calibration is None and models > 1  # two thresholds need a set of their own
    pairs = [
        _pair(promise, fpr, (positives, negatives), kept.get((promise.tpr, fpr, promise.risk)))
        for promise in options.promises
        for fpr in (() if corrected else config.fpr)
    ]
    return Evidence(
        (*_without_promise(row), *_promised(found["promises"])),
        tuple(pairs),
        options.promises,
        "validation" if row.calibration is None else "calibration",
        positives,
        negatives,
        1 if row.calibration is not None else models,
        config.cost_ratio,
        UNITS[0] if chosen_on.groups is None else UNITS[1],
    )


def _without_promise(row: Row) -> list[Decision]:
    default, there = row.run.default_threshold, int(row.validation.label.sum())
    rates = rates_at(row.test.label, row.test.score, default)
    return [
        Decision(DEFAULT, None, None, "", 0, 0, default, rates, _intervals(default, row)),
        *(
            Decision(
                *(PLUG_IN, point.target, None, "validation", there, 1, point.threshold, point.rates),
                _intervals(point.threshold, row),
            )
            for point in row.points
        ),
    ]


def _intervals(threshold: float, row: Row) -> list[list[float]]:
    return list(rate_intervals(threshold, row.test).values())


def _promised(points: Sequence[Mapping[str, Any]]) -> list[Decision]:
    names = ("rule", "tpr", "risk", "on", "n_positive", "needed", "threshold")
    return [
        Decision(
            **{("n" if name == "n_positive" else name): point[name] for name in names},
            rates=_rates(point["test"]) if "test" in point else None,
            intervals=[point["test"][f"{rate}_interval"] for rate in ("tpr", "fpr")] if "test" in point else (),
        )
        for point in points
    ]


def _pair(promise: Promise, fpr: float, there: tuple[int, int], found: Mapping[str, Any] | None) -> Pair:
    half = promise.risk / 2
    needed = (samples_needed(1 - promise.tpr, half), samples_needed(fpr, half))
    pair = Pair(promise.tpr, fpr, promise.risk, needed, there)
    if found is None:
        return pair
    at = {name: _rates(found[name]) for name in ("at_low", "at_high")}
    return Pair(promise.tpr, fpr, promise.risk, needed, there, found["low"], found["high"], **at)


def _rates(counts: Mapping[str, int]) -> Rates:
    return Rates(tp=counts["tp"], fp=counts["fp"], tn=counts["tn"], fn=counts["fn"])
