"""What ``studies.constraint_grid`` found, judged by the rule written there before its runs: table, figure, verdict.

Reads the lines below results/constraint_grid/ and the test scores of the fresh runs below checkpoint/constraint_grid/.
What follows of a row is kept beside its lines, ``<row>.json``: another machine needs no scores of it. A data set
of which a row is not run to the end is left out, as the rule says, and its open rows are named. A fresh seed whose loss
was not finite on one side, which the rule does not speak of, is left out on both, and the table says how many remain.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np

from studies.constraint_grid import (
    BATCHES,
    DATA,
    FRESH,
    GRID,
    GRID_SEED,
    MUS,
    READINGS,
    ROWS,
    TPR,
    Setting,
    choice,
    judged_file,
    lines_file,
    scores_file,
)
from studies.published_runs import RESULTS, arguments, exit_code, markdown, read_lines, record, write
from utils.errors import UserError
from utils.metrics.bootstrap import bootstraps
from utils.metrics.paired_tests import holm
from utils.metrics.roc import Array
from utils.metrics.seed_tests import SeedTest, seed_test
from utils.seeding import numpy_stream
from utils.system.pictures import plain_matplotlib

LEVEL, RESAMPLES = 0.05, 1000
MEASURES = ("FPR", "AUC")
TESTED = tuple(field.name for field in fields(SeedTest))
PICTURE_ROWS = ("BCE_natural", "BCE_balanced")
COLOURS = {"without": "#444444", "with": "#d95f02"}
POSITIVES = {"natural": "0.64 in 64", "balanced": "32 in 64", "natural256": "2.6 in 256", "share10": "6.4 in 64"}
HEADER = ["data", "row", "positives", "chosen by", "without: lr", "with: lr, mu, delta", "n", "FPR without", "FPR with"]
HEADER += ["difference", "p", "verdict", "AUC without", "AUC with", "p"]


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = arguments((__doc__ or "").splitlines()[0])
    options = parser.parse_args(argv)
    out = options.out or RESULTS
    rows = [(data, row, read_lines(lines_file(out, data, row))) for data, row in product(DATA, ROWS)]
    kept = {
        (data, row): both_readings(data, row, lines, out=out, root=options.checkpoint_root)
        for data, row, lines in rows
        if is_whole(lines)
    }
    open_rows = [(data, row) for data, row, _ in rows if (data, row) not in kept]
    whole = [each for each in rows if each[0] not in {data for data, _ in open_rows}]
    if not whole:
        raise UserError("no data set has all fresh seeds of all rows; run first python -m studies.constraint_grid")
    found = [each for data, row, _ in whole for each in kept[data, row]]
    for measure in MEASURES:
        tests = [SeedTest(**{name: each[measure][name] for name in TESTED}) for each in found]
        for each, test, p in zip(found, tests, holm([test.p for test in tests]), strict=True):
            each[measure] |= {"low": test.low, "high": test.high, "p": test.p, "corrected": p}
    content = record("constraint_verdict", argv) | {
        "rows": found,
        "not_finite": {data: not_finite([line for of, _, row in whole if of == data for line in row]) for data in DATA},
        "lower_by_epoch": {
            data: lower_by_epoch([lines for of, _, lines in whole if of == data])
            for data in dict.fromkeys(data for data, _, _ in whole)
        },
        "open": [f"{data} {row}" for data, row in open_rows],
    }
    figures = [draw(data, out) for data in dict.fromkeys(data for data, _, _ in whole)]
    write(content, text(content, figures), options.out)
    return 0


def is_whole(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the grid and the fresh seeds of all choices are there."""
    grid = {Setting.of(line) for line in lines if line["seed"] == GRID_SEED}
    if grid < {*GRID["without"], *GRID["with"]}:
        return False
    fresh = {(Setting.of(line), line["seed"]) for line in lines}
    return all((choice(lines, *how), seed) in fresh for how, seed in product(product(GRID, READINGS), FRESH))


def fresh_lines(lines: Sequence[Mapping[str, Any]], setting: Setting) -> dict[int, Mapping[str, Any]]:
    """Of each fresh seed that did not fail, its line."""
    return {
        line["seed"]: line
        for line in lines
        if line["seed"] != GRID_SEED and Setting.of(line) == setting and line["failed"] is None
    }


def not_finite(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Of the grid without the constraint, and with each mu: how many settings' loss was not finite, of how many."""
    grid = [line for line in lines if line["seed"] == GRID_SEED]
    found = {}
    for mu in (None, *MUS):
        of_mu = [line for line in grid if line["mu"] == mu]
        found["without" if mu is None else f"mu {mu:g}"] = (sum(bool(line["failed"]) for line in of_mu), len(of_mu))
    return found


def fresh_of_both(lines: Sequence[Mapping[str, Any]], reading: str) -> tuple[dict[str, Setting], dict[str, list[Any]]]:
    """The chosen setting of each side, and its lines of the fresh seeds that finished on both, in their order."""
    chosen = {side: choice(lines, side, reading) for side in GRID}
    done = {side: fresh_lines(lines, setting) for side, setting in chosen.items()}
    seeds = sorted(done["with"].keys() & done["without"].keys())
    return chosen, {side: [done[side][seed] for seed in seeds] for side in GRID}


def lower_by_epoch(rows: Sequence[Sequence[Mapping[str, Any]]]) -> list[tuple[int, int]]:
    """Of each epoch: in how many comparisons the mean validation FPR is lower with the constraint, and of how many."""
    lower = []
    for lines, reading in product(rows, READINGS):
        _, done = fresh_of_both(lines, reading)
        fprs = {side: np.array([line["epochs"] for line in done[side]])[:, :, 2] for side in GRID}
        lower.append(fprs["with"].mean(axis=0) < fprs["without"].mean(axis=0))
    return [(int(epoch.sum()), len(epoch)) for epoch in np.array(lower).T]


def both_readings(
    data: str, row: str, lines: Sequence[Mapping[str, Any]], *, out: Path, root: Path
) -> list[dict[str, Any]]:
    """``judged`` by each reading; from the file of the row, which is written if it is not there."""
    file = judged_file(out, data, row)
    if not file.is_file():
        found = [judged(data, row, lines, reading, root) for reading in READINGS]
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    kept: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return kept


def judged(data: str, row: str, lines: Sequence[Mapping[str, Any]], reading: str, root: Path) -> dict[str, Any]:
    """The settings of both sides by ``reading``, and the differences of the fresh seeds that both finished."""
    chosen, done = fresh_of_both(lines, reading)
    seeds = [line["seed"] for line in done["with"]]
    if len(seeds) < 2:
        raise UserError(f"{data} {row}: fewer than two fresh seeds finished on both sides")
    scores = []
    for side, seed in product(GRID, seeds):
        with np.load(scores_file(root, data, row, chosen[side], seed)) as file:
            labels, values = file["label"], file["score"]
        scores.append(values)
    drawn = bootstraps(
        labels,
        scores,
        tprs=(TPR,),
        thresholds=(),
        generator=numpy_stream(0, "bootstrap of the grid of the constraint"),
        resamples=RESAMPLES,
    )
    result: dict[str, Any] = {"data": data, "row": row, "reading": reading, "seeds": len(seeds)}
    result |= {side: vars(setting) for side, setting in chosen.items()}
    for measure, key in zip(MEASURES, ("test_fpr", "test_auc"), strict=True):
        values = {side: np.array([line[key] for line in done[side]]) for side in GRID}
        resampled = np.stack([each.fpr_at_tpr[:, 0] if measure == "FPR" else each.auc for each in drawn], axis=1)
        half = len(seeds)  # GRID is without, with
        tested = seed_test(values["with"] - values["without"], resampled=resampled[:, half:] - resampled[:, :half])
        result[measure] = vars(tested) | {side: float(each.mean()) for side, each in values.items()}
    return result


def verdict(measure: str, tested: Mapping[str, Any]) -> str:
    """``helps``, ``harms`` or ``open``, by the corrected p."""
    if tested["corrected"] is None or tested["corrected"] >= LEVEL:
        return "open"
    better = tested["difference"] < 0 if measure == "FPR" else tested["difference"] > 0
    return "helps" if better else "harms"


def text(content: Mapping[str, Any], figures: Sequence[Path]) -> str:
    """Verdict, tables and pictures."""
    rows = content["rows"]
    counts = {
        measure: {
            name: sum(verdict(measure, row[measure]) == name for row in rows) for name in ("helps", "harms", "open")
        }
        for measure in MEASURES
    }
    parts = [
        "The rule is in studies/constraint_grid.py, committed before the runs. Fresh seeds, test images; FPR at 98 % "
        "TPR in %, with minus without, 95 % interval over n seeds and images, p corrected for all rows (Holm). A seed "
        "whose loss was not finite on one side is left out on both.",
        *(
            f"{measure}: of {len(rows)} comparisons the constraint helps in {count['helps']}, harms in "
            f"{count['harms']}, {count['open']} are open."
            for measure, count in counts.items()
        ),
        f"In {standing_twice(rows)} rows both ways to choose took the same settings: the same comparison stands twice, "
        "and is corrected for twice.",
        markdown(HEADER, [cells(row) for row in rows]),
        *(lower_means(data, list(group)) for data, group in groupby(rows, key=lambda row: row["data"])),
        *(
            f"Mean validation FPR lower with the constraint, not tested, {data}, by epoch from 0: "
            f"{', '.join(f'{lower} of {of}' for lower, of in epochs)}."
            for data, epochs in content["lower_by_epoch"].items()
        ),
        *(f"![Violation and FPR over training, {path.stem}]({path.name})" for path in figures),
    ]
    for data, counts in content["not_finite"].items():
        if counted := [f"{name}: {failed} of {of}" for name, (failed, of) in counts.items() if of]:
            parts.append(f"Settings of the grid whose loss was not finite, {data}: {', '.join(counted)}.")
    if content["open"]:
        parts.append(f"Not run to the end yet: {', '.join(content['open'])}.")
    return "\n\n".join(parts)


def standing_twice(rows: Sequence[Mapping[str, Any]]) -> int:
    """In how many rows of a data set both readings chose the same settings."""
    settings = [(row["data"], row["row"], *row["without"].values(), *row["with"].values()) for row in rows]
    return len(settings) - len(set(settings))


def lower_means(data: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Of a data set's rows: how many mean FPRs are lower with the constraint, and how often each mu was chosen."""
    groups = {"all": rows} | {name: [row for row in rows if row["row"].endswith(f"_{name}")] for name in BATCHES}
    parts = []
    for name, group in groups.items():
        lower = sum(row["FPR"]["difference"] < 0 for row in group)
        counts = Counter(row["with"]["mu"] for row in group)
        chosen = ", ".join(f"{counts[mu]} x {mu:g}" for mu in MUS if counts[mu])
        parts.append(f"{name}: {lower} of {len(group)} (mu chosen: {chosen})")
    return f"Mean FPR lower with the constraint, not tested, {data}, {'; '.join(parts)}."


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row of the table."""
    fpr, area, chosen = row["FPR"], row["AUC"], row["with"]
    low, high = (f"{100 * fpr[end]:+.1f}" for end in ("low", "high"))
    return [
        row["data"],
        row["row"],
        POSITIVES[row["row"].rpartition("_")[2]],
        row["reading"].upper(),
        f"{row['without']['lr']:g}",
        f"{chosen['lr']:g}, {chosen['mu']:g}, {chosen['delta']:g}",
        str(row["seeds"]),
        f"{100 * fpr['without']:.1f}",
        f"{100 * fpr['with']:.1f}",
        f"{100 * fpr['difference']:+.1f} [{low}, {high}]",
        f"{fpr['corrected']:.3f}",
        verdict("FPR", fpr),
        f"{area['without']:.4f}",
        f"{area['with']:.4f}",
        f"{area['corrected']:.3f}",
    ]


@plain_matplotlib()
def draw(data: str, out: Path) -> Path:
    """Violation and validation FPR of each epoch, mean and range of the fresh seeds, for BCE chosen by FPR."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.4), layout="constrained", dpi=120)
    axes = figure.subplots(2, len(PICTURE_ROWS), sharex=True, squeeze=False)
    for column, row in enumerate(PICTURE_ROWS):
        lines = read_lines(lines_file(out, data, row))
        for side in GRID:
            setting = choice(lines, side, "fpr")
            curves = np.array([line["epochs"] for line in fresh_lines(lines, setting).values()], dtype=float)
            label = side if side == "without" else f"with, mu {setting.mu:g}, delta {setting.delta:g}"
            for axis, values in zip(axes[:, column], (curves[:, :, 0], 100 * curves[:, :, 2]), strict=True):
                band(axis, values, COLOURS[side], f"{label}, lr {setting.lr:g}")
        axes[0, column].set(title=row.replace("_", ", "), ylabel="violation, mean of q / N" if column == 0 else "")
        axes[1, column].set(xlabel="epoch", ylabel="validation FPR at 98 % TPR, %" if column == 0 else "")
        axes[0, column].legend(frameon=False, fontsize=8)
    path = out / f"constraint_over_training_{data}.png"
    figure.savefig(path)
    return path


def band(axis: Any, values: Array, colour: str, label: str) -> None:
    """Mean over the seeds, and a band from the lowest to the highest."""
    epochs = np.arange(values.shape[1])
    axis.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    axis.plot(epochs, values.mean(axis=0), color=colour, label=label)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
