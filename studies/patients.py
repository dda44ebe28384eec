"""Do intervals and promised thresholds keep their level where patients have several images? Simulated.

The score of an image is the sum of a part of its patient and one of its own, both normal; ``likeness`` is the share of
the patient's part in the variance. Each interval is computed by groups, and as if every image were a patient.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from studies.populations import Array
from studies.published_runs import markdown, record, write
from utils.metrics.groups import Groups, one_of_each
from utils.metrics.intervals import auc_interval, fpr_at_tpr_interval, rate_interval
from utils.metrics.promised_thresholds import Promise, np_threshold

NAME = "patients"
AUC, TPR, RISK, LEVEL = 0.9, 0.9, 0.05, 0.95
PATIENTS, LIKENESS = (30, 60, 150), (0.0, 0.5, 1.0)
SIZES = {"1, 2 or 8": (1, 2, 8), "4": (4,)}
DRAWS = 300  # of ``auc_interval``
MEAN = float(norm.ppf(AUC) * math.sqrt(2))
NUMBERS = ("AUC", "FPR at .9", "TPR at a threshold", "FPR at a threshold")
TRUTHS = (AUC, float(norm.sf(MEAN + norm.ppf(1 - TPR))), float(norm.sf(1 - MEAN)), float(norm.sf(1.5)))


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000, help="of each cell")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="folder of patients.json and patients.md")
    options = parser.parse_args(argv)
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(partial(simulated, options.simulations), product(PATIENTS, LIKENESS, SIZES)))
    content = record(NAME, argv, quick=options.simulations < 1000)
    content |= {"simulations": options.simulations, "failures": failures(rows, options.simulations), "rows": rows}
    write(content, text(content), options.out)
    return 0


def simulated(count: int, cell: tuple[int, float, str]) -> dict[str, Any]:
    """Coverage and mean width of each interval, by groups and by images, and how often NP misses its TPR."""
    patients, likeness, sizes = cell
    generator = np.random.default_rng(list(repr(cell).encode()))
    held = {by: np.zeros(len(TRUTHS)) for by in ("groups", "images")}
    widths = {by: np.zeros(len(TRUTHS)) for by in held}
    missed = dict.fromkeys(held, 0)
    for _ in range(count):
        high, first = _images(patients, likeness, SIZES[sizes], generator)
        low, second = _images(4 * patients, likeness, SIZES[sizes], generator)
        high += MEAN
        labels, scores = np.repeat([1, 0], [len(high), len(low)]), np.concatenate([high, low])
        for by in held:
            own, other = (first, second) if by == "groups" else (None, None)
            both = None if own is None else np.concatenate([first, second + patients])
            ends = np.array(
                [
                    auc_interval(labels, scores, generator=generator, draws=DRAWS, groups=both),
                    fpr_at_tpr_interval(labels, scores, TPR, groups=both),
                    rate_interval(high >= 1.0, groups=own),
                    rate_interval(low >= 1.5, groups=other),
                ]
            )
            held[by] += (ends[:, 0] <= TRUTHS) & (ends[:, 1] >= TRUTHS)
            widths[by] += ends[:, 1] - ends[:, 0]
            chosen_from = high if own is None else high[one_of_each(own, generator=generator)]
            threshold = np_threshold(chosen_from, Promise(TPR, RISK))
            assert threshold is not None  # 29 positives are enough
            missed[by] += int(norm.sf(threshold - MEAN) < TPR)
    row: dict[str, Any] = {"patients": patients, "likeness": likeness, "images of a patient": sizes}
    for number, key in enumerate(NUMBERS):
        row[key] = {by: [held[by][number] / count, widths[by][number] / count] for by in held}
    return row | {"NP misses": {by: missed[by] / count for by in held}}


def _images(
    patients: int, likeness: float, sizes: Sequence[int], generator: np.random.Generator
) -> tuple[Array, Groups]:
    """Scores of mean 0 and variance 1, and the number of each image's patient."""
    groups = np.repeat(np.arange(patients), generator.choice(sizes, size=patients))
    common, own = generator.normal(size=patients)[groups], generator.normal(size=len(groups))
    return math.sqrt(likeness) * common + math.sqrt(1 - likeness) * own, groups


def failures(rows: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """The cells where what counts groups breaks its level by more than two standard errors, in words."""
    slack, broken = 2 * math.sqrt(RISK * (1 - RISK) / count), []
    for row in rows:
        where = f"{row['patients']} patients, likeness {row['likeness']:g}, {row['images of a patient']} images"
        covers = {key: row[key]["groups"][0] for key in NUMBERS}
        broken += [f"{where}: {key} covers {share:.3f}" for key, share in covers.items() if share < LEVEL - slack]
        if (misses := row["NP misses"]["groups"]) > RISK + slack:
            broken.append(f"{where}: NP misses {misses:.3f}")
    return broken


def text(content: Mapping[str, Any]) -> str:
    """What patients.md holds below its command."""
    broken = content["failures"]
    kept = "\n".join(["Not kept in:", "", *(f"- {line}" for line in broken)]) if broken else "Kept in every cell."
    header = ["patients", "likeness", "images of a patient", *NUMBERS, "NP misses"]
    cells = []
    for row in content["rows"]:
        pairs = [(*row[key]["groups"], *row[key]["images"]) for key in NUMBERS]
        shown = [f"{held:.3f} ({width:.3f}) \\| {other:.3f} ({wide:.3f})" for held, width, other, wide in pairs]
        misses = f"{row['NP misses']['groups']:.3f} \\| {row['NP misses']['images']:.3f}"
        cells.append([str(row["patients"]), f"{row['likeness']:g}", row["images of a patient"], *shown, misses])
    return (
        f"{content['simulations']} simulations a cell, AUC .9, four patients without the disease for each with it. "
        "Coverage (mean width) of intervals that are to cover .95, and how often a promise of TPR .9 that may be "
        "missed in .05 is missed; each by groups \\| as if every image were a patient. Likeness 1: all images of a "
        f"patient have one score.\n\nAsked of what counts groups: .95 (- 2 SE), .05 (+ 2 SE). {kept}\n\n"
        + markdown(header, cells)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
