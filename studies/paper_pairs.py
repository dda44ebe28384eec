"""The paper's rows with and without ALM: paired by seed, both sources of chance, and a picture of the corner.

Of each pair of rows in results/paper that are whole, the difference of the means over the seeds with its 95 % interval
(``metrics.seed_tests.SeedTest``), corrected by Holm's method for all pairs and measures; and the ensembles, which have
no replicate and are not tested.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from studies.published_runs import markdown
from utils.metrics.bootstrap import bootstraps
from utils.metrics.paired_tests import holm
from utils.metrics.roc import Array, auc, roc
from utils.metrics.scores import Scores
from utils.metrics.seed_tests import seed_test
from utils.run_files.scores_csv import read_scores
from utils.seeding import numpy_stream
from utils.system.files import write_text

PAPER, PICTURE = Path("results/paper"), Path("docs/pictures/paper_corner.png")
WHOLE, RESAMPLES, CLEAR = 10, 1000, 0.05
TPRS = (0.98, 0.95, 0.90)
MEASURES = ("AUC", *(f"FPR at TPR {100 * tpr:g} %" for tpr in TPRS))
GRID = np.linspace(0.80, 1.0, 201)  # of the TPR
COLOURS = ("#444444", "#d95f02")


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    pairs = whole_pairs(PAPER)
    if not pairs:
        print(f"error: no pair of rows with {WHOLE} seeds each below {PAPER}", file=sys.stderr)
        return 1
    found = [judged(without, with_alm) for without, with_alm in pairs]
    write_text(PAPER / "pairs.md", text(pairs, found))
    draw(pairs[0], PICTURE)
    print(f"-> {PAPER / 'pairs.md'} and {PICTURE}")
    return 0


def whole_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(row, row with ALM) where both have all their seeds."""
    rows = [path.parent for path in sorted(folder.glob("*/*/row.json"))]
    whole = {row for row in rows if len(json.loads((row / "row.json").read_text(encoding="utf-8"))["seeds"]) == WHOLE}
    return [(row, row.with_name(f"{row.name}+ALM")) for row in rows if {row, row.with_name(f"{row.name}+ALM")} <= whole]


def scores_of(row: Path) -> list[Scores]:
    """Of the test set, a seed each."""
    return [read_scores(row / f"seed{seed}" / "test.csv") for seed in range(1, WHOLE + 1)]


def judged(without: Path, with_alm: Path) -> list[dict[str, Any]]:
    """Of each measure the means, the difference, its interval and p."""
    before, after = scores_of(without), scores_of(with_alm)
    labels = before[0].label
    drawn = bootstraps(
        labels,
        [each.score for each in (*before, *after)],
        tprs=TPRS,
        thresholds=(),
        generator=numpy_stream(0, "bootstrap of the paper's pairs"),
        resamples=RESAMPLES,
    )
    result = []
    for number, name in enumerate(MEASURES):
        values = [[_measure(each, number) for each in seeds] for seeds in (before, after)]
        resampled = np.stack([each.auc if number == 0 else each.fpr_at_tpr[:, number - 1] for each in drawn], axis=1)
        differences = np.subtract(values[1], values[0])
        tested = seed_test(differences, resampled=resampled[:, WHOLE:] - resampled[:, :WHOLE])
        means = [float(np.mean(each)) for each in values]
        ensembles = [_measure(_ensemble(each), number) for each in (before, after)]
        result.append({"measure": name, "means": means, "tested": tested, "ensembles": ensembles})
    return result


def _ensemble(seeds: Sequence[Scores]) -> Scores:
    """The mean of the seeds' scores."""
    return replace(seeds[0], score=np.mean([each.score for each in seeds], axis=0))


def _measure(scores: Scores, number: int) -> float:
    if number == 0:
        return auc(scores.label, scores.score)
    return roc(scores.label, scores.score).fpr_at(TPRS[number - 1])


def text(pairs: Sequence[tuple[Path, Path]], found: Sequence[list[dict[str, Any]]]) -> str:
    """The page as Markdown."""
    corrected = iter(holm([each["tested"].p for pair in found for each in pair]))
    rows, clear = [], 0
    for (without, _), measures in zip(pairs, found, strict=True):
        for each in measures:
            tested, p = each["tested"], next(corrected)
            assert p is not None
            clear += p < CLEAR
            scale, digits = (1, 3) if each["measure"] == "AUC" else (100, 1)
            means, ensembles = (
                [f"{scale * value:.{digits}f}" for value in each[name]] for name in ("means", "ensembles")
            )
            low, high = (scale * end for end in (tested.low, tested.high))
            change = f"{scale * tested.difference:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
            rows.append([without.parent.name, without.name, each["measure"], *means, change, f"{p:.2f}", *ensembles])
    header = ["table", "row", "measure", "without", "with ALM", "difference, 95 % interval", "p, Holm"]
    header += ["ensemble without", "ensemble with ALM"]
    return (
        "# With and without ALM\n\n`python -m studies.paper_pairs`. Test set, means over 10 seeds, FPR in %; the "
        "interval knows seeds and images. Ensembles average the scores of 10 seeds; of one each nothing is tested.\n"
        f"{clear} of {len(rows)} differences are clear (corrected p below {CLEAR}).\n\n"
        f"{markdown(header, rows)}\n"
    )


def draw(pair: tuple[Path, Path], out: Path) -> None:
    """The corner of high TPR: the mean over the seeds of the FPR at each TPR, and from the 1st to the 9th of 10."""
    figure = Figure(figsize=(6.4, 4.0), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, colour in zip(pair, COLOURS, strict=True):
        curves = np.stack([_fprs(each) for each in scores_of(row)])
        low, high = np.quantile(curves, [0.1, 0.9], axis=0)
        axes.fill_betweenx(100 * GRID, 100 * low, 100 * high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(100 * curves.mean(axis=0), 100 * GRID, color=colour, label=row.name)
    axes.set(xlabel="FPR, %", ylabel="TPR, %", xlim=(0, 100), ylim=(80, 100.3))
    axes.set_title(f"{pair[0].parent.name}: mean of 10 seeds, band from the 10th to the 90th percentile", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    figure.tight_layout()
    figure.savefig(out, metadata={"Software": None})


def _fprs(scores: Scores) -> Array:
    curve = roc(scores.label, scores.score)
    return np.array([curve.fpr_at(tpr) for tpr in GRID])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
