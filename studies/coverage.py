"""Do promised thresholds, intervals and tests keep their level on new samples? Simulated, where the truth is known.

Four tables: how often a threshold misses its TPR; the same with the epoch chosen among 50 on the calibration positives;
how often an interval holds the true value, and its mean width; how often a test of two equal ways of training rejects.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import expon, norm, rankdata

from studies.published_runs import markdown, record, write
from utils.metrics.bootstrap import bootstrap, bootstraps, interval
from utils.metrics.intervals import auc_interval, clopper_pearson, fpr_at_tpr_interval
from utils.metrics.promised_thresholds import allowed_misses, crc_threshold
from utils.metrics.roc import Array
from utils.metrics.seed_tests import seed_test

NAME = "coverage"
RISK, EPOCHS, STEP = 0.05, 50, 0.5
TPRS, AUCS = (0.90, 0.95, 0.98), (0.7, 0.9, 0.98)
CALIBRATED, COUNTED = (30, 60, 150, 200, 500, 1000), (20, 50, 100, 1000)
NEGATIVES = 1000


@dataclass(frozen=True)
class Population:
    """Negatives ~ F, positives ~ F moved or stretched by ``shift``; ``step`` > 0 rounds scores to multiples of it."""

    name: str
    shift: float

    def draw(self, n: int, *, positive: bool, generator: np.random.Generator) -> Array:
        """(n,) scores."""
        if self.name == "exponential":
            return generator.exponential(self.shift if positive else 1.0, n)
        scores = generator.normal(self.shift if positive else 0.0, 1.0, n)
        return np.round(scores / STEP) * STEP if self.name == "ties" else scores

    def above(self, threshold: float, *, positive: bool) -> float:
        """P(score >= threshold)."""
        if self.name == "exponential":
            return float(expon.sf(threshold, scale=self.shift if positive else 1.0))
        edge = (math.ceil(threshold / STEP - 1e-9) - 0.5) * STEP if self.name == "ties" else threshold
        return float(norm.sf(edge - (self.shift if positive else 0.0)))

    def fpr_at(self, tpr: float) -> float:
        """FPR at the highest threshold whose TPR is at least ``tpr``."""
        if self.name == "ties":
            grid = np.arange(-12, 12 + STEP, STEP)
            return self.above(max(t for t in grid if self.above(t, positive=True) >= tpr), positive=False)
        threshold = brentq(lambda t: self.above(t, positive=True) - tpr, -20, 50)
        return self.above(threshold, positive=False)

    def auc(self) -> float:
        """P(positive > negative) + P(equal) / 2."""
        if self.name == "exponential":
            return self.shift / (1 + self.shift)
        if self.name == "normal":
            return float(norm.cdf(self.shift / math.sqrt(2)))
        grid = np.arange(-15, 15 + STEP, STEP)
        own, other = (
            -np.diff([self.above(t, positive=side) for t in [*grid, grid[-1] + STEP]]) for side in (True, False)
        )
        return float(own @ (np.cumsum(other) - other / 2))


def population(name: str, auc: float) -> Population:
    """The population of that AUC; with ties, that of the scores before rounding."""
    return Population(name, auc / (1 - auc) if name == "exponential" else norm.ppf(auc) * math.sqrt(2))


POPULATIONS = ("normal", "exponential", "ties")


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each cell of the first three tables")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="folder of coverage.json and coverage.md")
    options = parser.parse_args(argv)
    count = options.simulations
    tables: list[tuple[str, Callable[..., dict[str, Any]], list[tuple[Any, ...]]]] = [
        ("thresholds", partial(thresholds, count), list(product(POPULATIONS, CALIBRATED, TPRS))),
        ("chosen", partial(chosen, count), list(product(CALIBRATED, TPRS))),
        ("intervals", partial(intervals, count), list(product(POPULATIONS, AUCS, COUNTED))),
        ("tests", partial(tests, 10 * count), list(product((3, 5, 10), (0.0, 0.2, 0.5, 1.0)))),
        ("tests of scores", partial(tests_of_scores, max(2, count // 2)), [(3,), (5,), (10,)]),
    ]
    found: dict[str, list[dict[str, Any]]] = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for name, simulate, cells in tables:
            found[name] = list(pool.map(simulate, cells))
            print(f"{name}: {len(cells)} cells", file=sys.stderr, flush=True)
    text = "\n\n".join(_section(name, rows) for name, rows in found.items())
    content = record(NAME, argv, quick=count < 2000) | {"simulations": count, "tables": found}
    write(content, f"{_INTRODUCTION.format(count=count)}\n\n{text}", options.out)
    return 0


def thresholds(count: int, cell: tuple[str, int, float]) -> dict[str, Any]:
    """How often thresholds from n positives miss the TPR."""
    name, n, tpr = cell
    which, generator = population(name, 0.9), np.random.default_rng(_seed(cell))
    k = allowed_misses(n, 1 - tpr, RISK)
    plug_in, kept, on_average = [], [], []
    for _ in range(count):
        scores = np.sort(which.draw(n, positive=True, generator=generator))
        plug_in.append(which.above(scores[n - math.ceil(n * tpr - 1e-9)], positive=True))
        if k is not None:
            kept.append(which.above(scores[k], positive=True))
        crc = crc_threshold(scores, tpr)
        if crc is not None:
            on_average.append(which.above(crc, positive=True))
    return {
        "scores": name,
        "positives": n,
        "TPR": tpr,
        "plug-in misses": _share_below(plug_in, tpr),
        "NP misses": _share_below(kept, tpr),
        "mean TPR, CRC": float(np.mean(on_average)) if on_average else None,
    }


def chosen(count: int, cell: tuple[int, float]) -> dict[str, Any]:
    """NP where the best of 50 epochs was chosen on the same positives, and the same with d / 50; normal scores."""
    n, tpr = cell
    which, generator = population("normal", 0.9), np.random.default_rng(_seed(cell))
    ranks = {name: allowed_misses(n, 1 - tpr, risk) for name, risk in (("d", RISK), ("d / 50", RISK / EPOCHS))}
    reached: dict[str, list[float]] = {name: [] for name in ranks}
    for _ in range(count):
        half = math.sqrt(0.5)  # the scores of two epochs have a correlation of 1/2
        positives = which.shift + half * (generator.normal(size=n) + generator.normal(size=(EPOCHS, n)))
        negatives = half * (generator.normal(size=200) + generator.normal(size=(EPOCHS, 200)))
        best = int(np.argmax(rankdata(np.concatenate([positives, negatives], axis=1), axis=1)[:, :n].sum(axis=1)))
        scores = np.sort(positives[best])
        for label, k in ranks.items():
            if k is not None:
                reached[label].append(which.above(scores[k], positive=True))
    return {"positives": n, "TPR": tpr} | {
        f"NP misses, {label}": _share_below(values, tpr) for label, values in reached.items()
    }


def intervals(count: int, cell: tuple[str, float, int]) -> dict[str, Any]:
    """Coverage and mean width of the intervals, and of the percentile bootstrap on a tenth of the simulations."""
    name, auc, n = cell
    which, generator = population(name, auc), np.random.default_rng(_seed(cell))
    labels = np.repeat([1, 0], [n, NEGATIVES])
    truths = {"AUC": which.auc()} | {f"FPR at {tpr:g}": which.fpr_at(tpr) for tpr in TPRS[::-1]}
    middle = which.shift / 2
    truths |= {f"{rate} at a threshold": which.above(middle, positive=rate == "TPR") for rate in ("TPR", "FPR")}
    held: dict[str, list[tuple[bool, float]]] = {key: [] for key in truths}
    before: dict[str, list[tuple[bool, float]]] = {key: [] for key in truths}
    for number in range(count):
        positives = which.draw(n, positive=True, generator=generator)
        negatives = which.draw(NEGATIVES, positive=False, generator=generator)
        scores = np.concatenate([positives, negatives])
        ends = {"AUC": auc_interval(labels, scores, generator=generator)}
        ends |= {f"FPR at {tpr:g}": fpr_at_tpr_interval(labels, scores, tpr) for tpr in TPRS}
        for rate, values in (("TPR", positives), ("FPR", negatives)):
            ends[f"{rate} at a threshold"] = clopper_pearson(int((values >= middle).sum()), len(values))
        _hold(held, ends, truths)
        if number % 10 == 0:
            drawn = bootstrap(labels, scores, tprs=TPRS, thresholds=(middle,), generator=generator, resamples=500)
            _hold(before, _percentiles(drawn), truths)
    return {"scores": name, "asked AUC": auc, "positives": n} | {
        key: {"covers": _mean(held[key], 0), "width": _mean(held[key], 1)}
        | {"bootstrap covers": _mean(before[key], 0), "bootstrap width": _mean(before[key], 1)}
        for key in truths
    }


def tests(count: int, cell: tuple[int, float]) -> dict[str, Any]:
    """Rejection of ``seed_test`` at .05 of normal differences with mean 0; the images' variance is known."""
    seeds, ratio = cell
    generator = np.random.default_rng(_seed(cell))
    images = np.repeat(np.array([[1.0], [-1.0]]) * ratio, seeds, axis=1)  # of variance ratio^2, the same for all seeds
    rejected = 0
    for _ in range(count):
        p = seed_test(ratio * generator.normal() + generator.normal(size=seeds), resampled=images).p
        rejected += p is not None and p < 0.05
    return {"seeds": seeds, "image SD / seed SD": ratio, "rejects": rejected / count}


def tests_of_scores(count: int, cell: tuple[int]) -> dict[str, Any]:
    """Rejection of ``seed_test`` at .05 of AUCs of scores: two rows that differ by what each makes of the images."""
    (seeds,) = cell
    generator = np.random.default_rng(_seed(cell))
    labels = np.repeat([1, 0], [60, 200])
    rejected = 0
    for _ in range(count):
        rows = []
        for _row in range(2):
            of_row = generator.normal(size=len(labels)) * 0.7
            quality = 1.5 + 0.15 * generator.normal(size=(seeds, 1))
            rows += list(quality * labels + of_row + 0.7 * generator.normal(size=(seeds, len(labels))))
        drawn = bootstraps(labels, rows, tprs=(), thresholds=(), generator=generator, resamples=100)
        resampled = np.stack([drawn[seeds + s].auc - drawn[s].auc for s in range(seeds)], axis=1)
        ranks = rankdata(np.stack(rows), axis=1)[:, :60].sum(axis=1) / (60 * 200)
        p = seed_test(ranks[seeds:] - ranks[:seeds], resampled=resampled).p
        rejected += p is not None and p < 0.05
    return {"seeds": seeds, "image SD / seed SD": "of 260 scores", "rejects": rejected / count}


def _seed(cell: tuple[Any, ...]) -> int:
    """A seed from the cell's own values, the same on every machine."""
    return sum((position + 1) * byte for position, byte in enumerate(repr(cell).encode()))


def _percentiles(drawn: Any) -> dict[str, list[float]]:
    ends = {"AUC": interval(drawn.auc)}
    ends |= {f"FPR at {tpr:g}": interval(drawn.fpr_at_tpr[:, column]) for column, tpr in enumerate(TPRS)}
    ends["TPR at a threshold"] = interval(drawn.tpr_at_threshold[:, 0])
    ends["FPR at a threshold"] = interval(drawn.fpr_at_threshold[:, 0])
    return ends


def _hold(
    held: Mapping[str, list[tuple[bool, float]]], ends: dict[str, list[float]], truths: dict[str, float]
) -> None:
    for key, (low, high) in ends.items():
        held[key].append((low - 1e-9 <= truths[key] <= high + 1e-9, high - low))


def _mean(values: list[tuple[bool, float]], position: int) -> float:
    return float(np.mean([value[position] for value in values]))


def _share_below(values: list[float], target: float) -> float | None:
    return float(np.mean([value < target - 1e-9 for value in values])) if values else None


_INTRODUCTION = """{count} simulations a cell; intervals with 1000 negatives. A promise may be missed in at most .05
of calibrations; an interval is to cover .95; a test is to reject .05. Two standard errors of .05 are .010 with 2,000
simulations. "-": too few positives for such a threshold."""

_TITLES = {
    "thresholds": "Thresholds with a split of their own",
    "chosen": "NP with the epoch chosen among 50 on the same positives",
    "intervals": "Intervals: coverage (mean width) \\| of the percentile bootstrap, on a tenth of the simulations",
    "tests": "Tests of two rows that are equal: known variances",
    "tests of scores": "Tests of two rows that are equal: from scores",
}


def _section(name: str, rows: list[dict[str, Any]]) -> str:
    header = list(rows[0])
    return f"## {_TITLES[name]}\n\n" + markdown(header, [[_cell(row[key]) for key in header] for row in rows])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return (
            f"{value['covers']:.3f} ({value['width']:.3f}) \\| "
            f"{value['bootstrap covers']:.2f} ({value['bootstrap width']:.3f})"
        )
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
