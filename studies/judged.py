"""The committed comparisons judged again: both sources of chance, corrected for the number of claims.

The scores of those runs are not kept, only means, SDs and intervals. What follows from them:

- comparison: a mean difference over three seeds, with the percentile interval of resampled seeds and test images. Three
  seeds resampled are one seed three times in 1 of 9 draws, so that the interval spans all three: its width w is at
  least their range, and of three numbers SD <= range / sqrt(3), so SD / sqrt(3) <= w / 3. The images' part widens w by
  more than 3 of its own SDs. So the standard error is at most about w / 3, and p = 2 P(t_2 > |difference| / (w / 3)) is
  an upper bound: two degrees of freedom are the fewest there can be. New runs carry their own test (``seed_test``).
- even against odd: mean and SD of the differences over K = 3 folds. The training sets of the folds overlap, so that the
  standard error of the mean is sqrt(1/K + test images / training images) SD (Nadeau and Bengio 2003).

Each family of claims is corrected by Holm's method. "seeds needed": with how many seeds such a difference and SD would
have a corrected p below .05, if the rest of the family stays as it is.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import t as student

from studies.published_even_odd import test_ratio
from studies.published_runs import RESULTS, arguments, exit_code, markdown, record, write
from utils.metrics.paired_tests import holm

NAME, LEVEL, SEEDS = "judged", 0.05, 3
CLAIMS = {"minus_bce": "minus BCE", "alm_minus_without": "ALM minus without"}
DATASETS = {"mnist": "MNIST", "cifar10": "CIFAR-10 pair"}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = arguments((__doc__ or "").splitlines()[0], checkpoint=False)
    options = parser.parse_args(argv)
    comparison, even_odd = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("comparison", "published_even_odd")
    )
    content = record(NAME, argv) | {
        "families": comparison_families(comparison["datasets"]),
        "folds": fold_family(even_odd["aum_minus_logistic"]),
    }
    write(content, text(content), options.out)
    return 0


def of_seeds(difference: Mapping[str, Any]) -> dict[str, float]:
    """Mean, t interval and p of a difference over three seeds, from its percentile interval if it has no p yet.

    Two degrees of freedom: t_.975 = 4.3027. Difference 3, interval [1.5, 4.5]: SE 1, p = 2 P(t_2 > 3):

    >>> {name: round(value, 4) for name, value in of_seeds({"mean": 3.0, "interval": [1.5, 4.5]}).items()}
    {'mean': 3.0, 'low': -1.3027, 'high': 7.3027, 'p': 0.0955}
    """
    low, high = difference["interval"]
    if "p" in difference:
        return {"mean": difference["mean"], "low": low, "high": high, "p": difference["p"]}
    return _t_test(difference["mean"], (high - low) / SEEDS, SEEDS - 1)


def of_folds(difference: Mapping[str, float], *, ratio: float) -> dict[str, float]:
    """Mean, t interval and p of a difference over folds whose training sets overlap, from its mean, SD and n.

    ``ratio``: test images over training images.
    """
    folds = difference["n"]
    return _t_test(difference["mean"], difference["sd"] * math.sqrt(1 / folds + ratio), int(folds) - 1)


def _t_test(mean: float, error: float, freedom: int) -> dict[str, float]:
    half = float(student.ppf(1 - LEVEL / 2, freedom)) * error
    p = float(2 * student.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
    return {"mean": mean, "low": mean - half, "high": mean + half, "p": p}


def comparison_families(datasets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One family for each data set and claim, in the order of the ranking."""
    families = []
    for dataset, claim in [(dataset, claim) for dataset in datasets for claim in CLAIMS]:
        found = [
            (row["objective"], row[claim])
            for row in datasets[dataset]["rows"]
            if claim in row and row[claim]["interval"] is not None
        ]
        judged = [of_seeds(difference) for _, difference in found]
        corrected = holm([each["p"] for each in judged])
        rows = [
            {"objective": name, **each, "p_holm": p, "seeds_needed": seeds_needed(each, len(found))}
            for (name, _), each, p in zip(found, judged, corrected, strict=True)
        ]
        families.append({"dataset": dataset, "claim": claim, "rows": rows})
    return families


def seeds_needed(judged: Mapping[str, float], claims: int) -> int | None:
    """The smallest S whose p, times the number of claims, is below .05 if difference and SD stay; None above 1,000."""
    half = (judged["high"] - judged["low"]) / 2
    deviation = half / float(student.ppf(1 - LEVEL / 2, SEEDS - 1)) * math.sqrt(SEEDS)
    for seeds in range(2, 1001):
        if deviation == 0 or judged["mean"] == 0:
            return None
        if claims * 2 * student.sf(abs(judged["mean"]) / deviation * math.sqrt(seeds), seeds - 1) < LEVEL:
            return seeds
    return None


def fold_family(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """AUM minus logistic of each cell."""
    judged = [of_folds(cell["BCE"]["test_auc"], ratio=test_ratio(cell["tested"], cell["trained_on"])) for cell in cells]
    corrected = holm([each["p"] for each in judged])
    places = [{name: cell[name] for name in ("tested", "trained_on", "step_size")} for cell in cells]
    return [place | each | {"p_holm": p} for place, each, p in zip(places, judged, corrected, strict=True)]


def text(content: Mapping[str, Any]) -> str:
    """What judged.md holds below its command: how many are clear, the closest of each family, and the folds."""
    lines, closest = [], []
    for family in content["families"]:
        rows, where = family["rows"], f"{DATASETS[family['dataset']]}, {CLAIMS[family['claim']]}"
        clear = [row for row in rows if row["p_holm"] < LEVEL]
        alone = [row for row in rows if row["p"] < LEVEL]
        lines.append(
            f"- {where}: {len(clear)} of {len(rows)} differ clearly (corrected p < {LEVEL:g}); {len(alone)} have a p "
            f"below {LEVEL:g} by themselves, where {LEVEL * len(rows):.1f} are to be expected by chance"
        )
        closest += [_row(where, row) for row in rows if row["p"] < 0.1]
    header = ["family", "configuration", "difference, points of FPR at 98 % TPR", "95 % interval", "p at most", "Holm"]
    folds = [
        [
            *(row["tested"], row["trained_on"], row["step_size"], f"{row['mean']:+.4f}"),
            f"[{row['low']:+.4f}, {row['high']:+.4f}]",
            *(f"{row[name]:.3f}" for name in ("p", "p_holm")),
        ]
        for row in content["folds"]
    ]
    fold_header = ["tested on", "trained on", "step size", "AUM minus logistic, AUC", "95 % interval", "p", "Holm"]
    return "\n\n".join(
        [
            "\n".join(lines),
            "Those with p < .1 by themselves:",
            markdown([*header, "seeds needed"], closest),
            "Even against odd, over three folds whose training sets overlap:",
            markdown(fold_header, folds),
        ]
    )


def _row(where: str, row: Mapping[str, Any]) -> list[str]:
    ends = f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    needed = "more than 1,000" if row["seeds_needed"] is None else str(row["seeds_needed"])
    cells = [where, f"`{row['objective']}`", f"{100 * row['mean']:+.1f}", ends]
    return [*cells, f"{row['p']:.3f}", f"{row['p_holm']:.2f}", needed]


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
