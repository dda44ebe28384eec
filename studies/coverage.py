"""Do promised thresholds, intervals and tests keep their level on new samples? Simulated, where the truth is known.

Tables: how often a threshold misses its TPR; the same with the epoch chosen among 50; how often an interval holds the
true value, and its mean width; how often a test of two equal ways of training rejects. A run that was cut short goes on
where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from studies.populations import POPULATIONS, Array, Population, population
from studies.published_runs import QUICK_RESULTS, markdown, record, write
from utils.metrics.bootstrap import Bootstrap, bootstrap, bootstraps, interval
from utils.metrics.intervals import auc_interval, clopper_pearson, fpr_at_tpr_interval
from utils.metrics.promised_thresholds import allowed_misses
from utils.metrics.seed_tests import SeedTest, seed_test
from utils.system.files import write_text

NAME, SOURCES = "coverage", ("coverage.py", "populations.py")
RISK, EPOCHS = 0.05, 50
PAGES, MOST_TAIL = (4, 40), 1.6  # comparisons on a page; rejection at .05 through them, over .05 through them
TPRS, AUCS = (0.90, 0.95, 0.98), (0.7, 0.9, 0.98)
CALIBRATED, COUNTED = (30, 60, 150, 200, 500, 1000), (20, 50, 100, 1000)
NEGATIVES = 1000
DRAWS = (
    500  # of ``auc_interval``, half of what it takes by itself: its ends scatter a little more, about the same place
)
BOOTSTRAPPED = 10  # the bootstrap is compared on one simulation of as many, with 500 resamples
Rows = list[dict[str, Any]]


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each cell of the first three tables")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="folder of coverage.json and coverage.md")
    options = parser.parse_args(argv)
    count = options.simulations
    tables: dict[str, tuple[Callable[..., Rows], list[tuple[Any, ...]]]] = {
        "intervals": (partial(intervals, count), list(product(POPULATIONS, AUCS, COUNTED))),
        "thresholds": (partial(thresholds, count), list(product(POPULATIONS, CALIBRATED))),
        "chosen": (partial(chosen, count), [(n,) for n in CALIBRATED]),
        "tests": (partial(tests, 50 * count), list(product((2, 3, 5, 10), (0.0, 0.1, 0.2, 0.5, 1.0)))),
        "ensembles": (partial(ensembles, max(2, count // 2)), [(n,) for n in COUNTED]),
        "tests of scores": (partial(tests_of_scores, max(2, count // 2)), [(3,), (5,), (10,)]),
    }
    load, begun, folder = os.getloadavg()[0], time.monotonic(), QUICK_RESULTS / f"{NAME}-{_sources()}-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    before, cpu_seconds = len(list(folder.iterdir())), 0.0
    with ProcessPoolExecutor(options.processes) as pool:
        started = {
            name: [pool.submit(_kept, folder / f"{name} {cell}.json", simulate, cell) for cell in cells]
            for name, (simulate, cells) in tables.items()
        }
        found: dict[str, Rows] = {}
        for name, futures in started.items():
            parts = [future.result() for future in futures]
            found[name] = [row for part in parts for row in part["rows"]]
            cpu_seconds += sum(part["cpu_seconds"] for part in parts)
            print(f"{name}: {len(found[name])} rows, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    cost = {
        "wall_seconds": round(time.monotonic() - begun),
        "cpu_seconds": round(cpu_seconds),
        "cells_of_earlier_runs": before,
        "load_before_and_after": [round(load, 1), round(os.getloadavg()[0], 1)],
    }
    broken = failures(found, count)
    content = record(NAME, argv, quick=count < 2000) | {"simulations": count} | cost
    content |= {"processes": options.processes, "failures": broken, "tables": found}
    write(content, text(content), options.out)
    return 0


def _kept(path: Path, simulate: Callable[..., Rows], cell: tuple[Any, ...]) -> dict[str, Any]:
    """The rows of a cell and the CPU seconds they took; read from ``path`` if an earlier run, cut short, wrote it."""
    if path.exists():
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    begun = time.process_time()
    rows = simulate(cell)
    content = {"rows": rows, "cpu_seconds": time.process_time() - begun}
    write_text(path, json.dumps(content))
    return content


def _sources() -> str:
    """Checksum of the code that makes the numbers: what other code made is not read again."""
    files = [*sorted(Path("utils/metrics").glob("*.py")), *(Path("studies") / name for name in SOURCES)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


def thresholds(count: int, cell: tuple[str, int]) -> Rows:
    """How often thresholds from n positives miss each TPR."""
    name, n = cell
    which = population(name, 0.9)
    scores = np.sort(which.draw((count, n), positive=True, generator=_stream(cell)), axis=1)
    return [{"scores": name, "positives": n, "TPR": tpr} | _reached(which, scores, tpr) for tpr in TPRS]


def _reached(which: Population, scores: Array, tpr: float) -> dict[str, Any]:
    """Of sorted scores (simulations, n): how often the plug-in rule and NP miss, and the mean TPR of CRC.

    The order statistics of ``roc.threshold_at_tpr``, ``np_threshold`` and ``crc_threshold``, for all rows at once.
    """
    n = scores.shape[1]
    plug_in, crc = n - math.ceil(n * tpr - 1e-9), math.floor((1 - tpr) * (n + 1) + 1e-9) - 1
    on_average = which.above(scores[:, crc], positive=True) if crc >= 0 else None
    return {
        "plug-in misses": _misses(which, scores, plug_in, tpr),
        "NP misses": _misses(which, scores, allowed_misses(n, 1 - tpr, RISK), tpr),
        "mean TPR, CRC": None if on_average is None else float(on_average.mean()),
        "its SE": None if on_average is None else float(on_average.std() / math.sqrt(len(scores))),
    }


def _misses(which: Population, scores: Array, order: int | None, tpr: float) -> float | None:
    """Share of the rows whose (order + 1)-th score, as a threshold, has a true TPR below ``tpr``."""
    if order is None:
        return None
    return float((which.above(scores[:, order], positive=True) < tpr - 1e-9).mean())


def chosen(count: int, cell: tuple[int]) -> Rows:
    """The epoch of the best AUC among 50 is calibrated on the same n positives, and on n of its own; normal scores."""
    (n,) = cell
    which, generator = population("normal", 0.9), _stream(cell)
    half = math.sqrt(0.5)  # the scores of two epochs have a correlation of 1/2
    same = np.empty((count, n))
    for row in range(count):
        positives = which.shift + half * (generator.normal(size=n) + generator.normal(size=(EPOCHS, n)))
        negatives = np.sort(half * (generator.normal(size=200) + generator.normal(size=(EPOCHS, 200))), axis=1)
        below = [np.searchsorted(negatives[epoch], positives[epoch]).sum() for epoch in range(EPOCHS)]
        same[row] = np.sort(positives[int(np.argmax(below))])
    own = np.sort(which.draw((count, n), positive=True, generator=generator), axis=1)
    rows = []
    for tpr in TPRS:
        alone, together = (allowed_misses(n, 1 - tpr, risk) for risk in (RISK, RISK / EPOCHS))
        reached = _reached(which, same, tpr)
        rows.append(
            {
                "positives": n,
                "TPR": tpr,
                "plug-in misses": reached["plug-in misses"],
                "mean TPR, CRC": reached["mean TPR, CRC"],
                "NP misses, d": reached["NP misses"],
                "NP misses, d / 50": _misses(which, same, together, tpr),
                "NP misses, d, positives of its own": _misses(which, own, alone, tpr),
            }
        )
    return rows


def intervals(count: int, cell: tuple[str, float, int]) -> Rows:
    """Coverage and mean width of the intervals, and of the percentile bootstrap on a tenth of the simulations."""
    name, auc, n = cell
    which, generator = population(name, auc), _stream(cell)
    labels = np.repeat([1, 0], [n, NEGATIVES])
    middle = which.shift / 2
    truths = {"AUC": which.auc()} | {f"FPR at {tpr:g}": which.fpr_at(tpr) for tpr in TPRS[::-1]}
    truths |= {f"{rate} at a threshold": float(which.above(middle, positive=rate == "TPR")) for rate in ("TPR", "FPR")}
    held: dict[str, list[tuple[bool, float]]] = {key: [] for key in truths}
    before: dict[str, list[tuple[bool, float]]] = {key: [] for key in truths}
    for number in range(count):
        positives = which.draw(n, positive=True, generator=generator)
        negatives = which.draw(NEGATIVES, positive=False, generator=generator)
        scores = np.concatenate([positives, negatives])
        ends = {"AUC": auc_interval(labels, scores, generator=generator, draws=DRAWS)}
        ends |= {f"FPR at {tpr:g}": fpr_at_tpr_interval(labels, scores, tpr) for tpr in TPRS}
        for rate, values in (("TPR", positives), ("FPR", negatives)):
            ends[f"{rate} at a threshold"] = clopper_pearson(int((values >= middle).sum()), len(values))
        _hold(held, ends, truths)
        if number % BOOTSTRAPPED == 0:
            drawn = bootstrap(labels, scores, tprs=TPRS, thresholds=(middle,), generator=generator, resamples=500)
            _hold(before, _percentiles(drawn), truths)
    row: dict[str, Any] = {"scores": name, "asked AUC": auc, "positives": n}
    for key in truths:
        names = ("covers", "width", "bootstrap covers", "bootstrap width")
        numbers = [*np.mean(held[key], axis=0).tolist(), *np.mean(before[key], axis=0).tolist()]
        row[key] = dict(zip(names, numbers, strict=True))
    return [row]


def tests(count: int, cell: tuple[int, float]) -> Rows:
    """Rejection by ``SeedTest`` of normal differences with mean 0; the images' variance is known.

    At .05, and at what Holm's method asks of the smallest p on a page of 4 and of 40 comparisons.
    """
    seeds, ratio = cell
    generator = _stream(cell)
    drawn = ratio * generator.normal(size=(count, 1)) + generator.normal(size=(count, seeds))
    means, variances = drawn.mean(axis=1).tolist(), (drawn.var(axis=1, ddof=1) / seeds).tolist()
    p = np.array([SeedTest(*each, ratio**2).p for each in zip(means, [seeds] * count, variances, strict=True)])
    tails = {f"rejects at .05/{many}, over it": float(np.mean(p < 0.05 / many)) * many / 0.05 for many in PAGES}
    return [{"seeds": seeds, "image SD / seed SD": ratio, "rejects": float(np.mean(p < 0.05)), **tails}]


def tests_of_scores(count: int, cell: tuple[int]) -> Rows:
    """Rejection of ``seed_test`` at .05 of AUCs of scores: two rows that differ by what each makes of the images."""
    (seeds,) = cell
    generator = _stream(cell)
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
    return [{"seeds": seeds, "image SD / seed SD": "of 260 scores", "rejects": rejected / count}]


def ensembles(count: int, cell: tuple[int]) -> Rows:
    """Coverage of the percentile bootstrap of the difference of two models on the same images, AUC .9 and .98."""
    (n,) = cell
    generator = _stream(("ensembles", *cell))
    both = [population("normal", auc) for auc in (0.9, 0.98)]
    labels = np.repeat([1, 0], [n, NEGATIVES])
    truths = {"AUC": both[1].auc() - both[0].auc()}
    truths |= {f"FPR at {tpr:g}": both[1].fpr_at(tpr) - both[0].fpr_at(tpr) for tpr in TPRS[::-1]}
    held: dict[str, list[tuple[bool, float]]] = {key: [] for key in truths}
    for _ in range(count):
        shared = math.sqrt(0.5) * generator.normal(size=len(labels))  # half of what the images do, both models do
        own = math.sqrt(0.5) * generator.normal(size=(2, len(labels)))
        scores = [each.shift * labels + shared + of_model for each, of_model in zip(both, own, strict=True)]
        first, second = bootstraps(labels, scores, tprs=TPRS, thresholds=(), generator=generator, resamples=500)
        ends = {"AUC": interval(second.auc - first.auc)}
        changes = second.fpr_at_tpr - first.fpr_at_tpr
        ends |= {f"FPR at {tpr:g}": interval(changes[:, column]) for column, tpr in enumerate(TPRS)}
        _hold(held, ends, truths)
    return [{"positives": n} | {key: float(np.mean([inside for inside, _ in held[key]])) for key in truths}]


def failures(found: Mapping[str, Rows], count: int) -> list[str]:
    """The cells that break what they promise by more than two standard errors, in words."""
    limits = {key: 2 * math.sqrt(p * (1 - p) / count) for key, p in (("miss", RISK), ("cover", 0.94))}
    broken = []
    for name, rows in found.items():
        for row in rows:
            where = ", ".join(f"{value}" for value in row.values() if isinstance(value, (str, int)))
            for key, value in row.items():
                promised = name == "thresholds" or (name == "chosen" and key != "NP misses, d")
                if promised and key.startswith("NP") and value is not None and value > RISK + limits["miss"]:
                    broken.append(f"{name}: {where}, TPR {row['TPR']:g}: {key} {value:.3f}")
                if key == "its SE" and value is not None and row["mean TPR, CRC"] < row["TPR"] - 2 * value:
                    broken.append(f"{name}: {where}: mean TPR of CRC {row['mean TPR, CRC']:.4f} for {row['TPR']:g}")
                if isinstance(value, dict) and value["covers"] < 0.94 - limits["cover"]:
                    broken.append(f"{name}: {where}, AUC {row['asked AUC']:g}: {key} covers {value['covers']:.3f}")
                if key == "rejects" and not 0.03 <= value <= 0.07 and row["seeds"] > 2:
                    broken.append(f"{name}: {where}, {row['image SD / seed SD']}: rejects {value:.3f}")
                if key.startswith("rejects at") and value > MOST_TAIL:
                    broken.append(f"{name}: {where}, {row['image SD / seed SD']}: {key}: {value:.2f}")
    return broken


def _stream(cell: tuple[Any, ...]) -> np.random.Generator:
    """A stream from the cell's own values, the same on every machine."""
    return np.random.default_rng(list(repr(cell).encode()))


def _percentiles(drawn: Bootstrap) -> dict[str, list[float]]:
    ends = {"AUC": interval(drawn.auc)}
    ends |= {f"FPR at {tpr:g}": interval(drawn.fpr_at_tpr[:, column]) for column, tpr in enumerate(TPRS)}
    ends["TPR at a threshold"] = interval(drawn.tpr_at_threshold[:, 0])
    ends["FPR at a threshold"] = interval(drawn.fpr_at_threshold[:, 0])
    return ends


def _hold(
    held: Mapping[str, list[tuple[bool, float]]], ends: Mapping[str, list[float]], truths: Mapping[str, float]
) -> None:
    for key, (low, high) in ends.items():
        held[key].append((low - 1e-9 <= truths[key] <= high + 1e-9, high - low))


_INTRODUCTION = """{simulations} simulations a cell (tests: fifty times as many, of scores half); {processes} processes,
{wall_seconds} s wall, {cpu_seconds} s CPU, load {load_before_and_after[0]} before, {load_before_and_after[1]} after.
The true values are known; intervals with 1000 negatives, those of the AUC from 500 draws. A promise may be missed in at
most .05 of calibrations, CRC keeps its TPR on average; an interval is to cover .95; a test is to reject .05. "-": too
few positives for such a threshold. "Over it": the share that is rejected, divided by the level."""

_TITLES = {
    "thresholds": "Thresholds with a split of their own",
    "chosen": "The epoch chosen among 50 on the same positives",
    "intervals": "Intervals: coverage (mean width) \\| of the percentile bootstrap, on a tenth of the simulations",
    "ensembles": "Difference of two models on the same images: coverage of the percentile bootstrap, not asked for",
    "tests": "Tests of two rows that are equal: known variances",
    "tests of scores": "Tests of two rows that are equal: from scores",
}


def text(content: Mapping[str, Any]) -> str:
    """What coverage.md holds below its command."""
    bounds = (
        "Asked: a promise is missed in at most .05 (+ 2 SE), CRC's mean is at least the TPR (- 2 SE), intervals cover "
        "at least .94 (- 2 SE), tests reject in .03 ... .07 from three seeds on, and at .05/4 and .05/40, the level of "
        f"a page of 4 and 40 comparisons, at most {MOST_TAIL:g} times as often as that."
    )
    broken = content["failures"]
    kept = "\n".join(["Not kept in:", "", *(f"- {line}" for line in broken)]) if broken else "Kept in every cell."
    sections = [_section(_TITLES[name], content["tables"][name]) for name in _TITLES]
    return "\n\n".join([_INTRODUCTION.format(**content), f"{bounds} {kept}", *sections])


def _section(title: str, rows: Rows) -> str:
    header = list(rows[0])
    return f"## {title}\n\n" + markdown(header, [[_cell(row[key]) for key in header] for row in rows])


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
