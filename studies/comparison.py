"""The comparison of all objectives and samplers: the finished runs, ranked by FPR at 98 % TPR.

Run configs/table/comparison_<data set>.yaml with sweep.py first. For each objective one seed chooses the step size by
validation AUC; three seeds then use it, without ALM and with it. Numbers are means over the seeds. Their intervals are
the middle 95 % over resampled seeds and test images, which is too narrow with three seeds; those of differences are of
the test over seeds and images (``seed_test``), paired by seed and on the same resamples. In the effects a difference is
bold where its p, corrected for the number of rows, is below .05.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.judged import CLAIMS, LEVEL, comparison_families
from studies.published_runs import (
    SeedRun,
    arguments,
    exit_code,
    markdown,
    mean_and_sd,
    provenance,
    read_sweep,
    record,
    write,
)
from utils.errors import UserError
from utils.metrics.bootstrap import bootstraps, interval
from utils.metrics.seed_tests import seed_test
from utils.run_files.scores_csv import read_scores
from utils.seeding import numpy_stream

NAME = "comparison"
DATASETS = ("mnist", "cifar10")
TPR = 0.98
BASELINE = "baseline_bce"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One objective with its step size, with or without ALM: the numbers of its seeds and their resamples.

    ``numbers`` holds for "fpr" and "auc" the (S,) numbers of the seeds, ``resampled`` (S, R) those of the resamples.
    """

    objective: str
    lr: str
    seeds: tuple[int, ...]
    numbers: Mapping[str, Array]
    resampled: Mapping[str, Array]

    def means(self, what: str) -> Array:
        """(R,) means over resampled seeds and images; rows with equal seeds share the draws."""
        values = self.resampled[what]
        seeds, resamples = values.shape
        drawn = numpy_stream(0, "comparison seeds").integers(0, seeds, size=(seeds, resamples))
        mean: Array = np.take_along_axis(values, drawn, axis=0).mean(axis=0)
        return mean


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), help="comparison_<data set> is read")
    parser.add_argument("--resamples", type=int, default=1000, help="of the test images and seeds")
    options = parser.parse_args(argv)
    tables = {name: one(options.checkpoint_root, name, resamples=options.resamples) for name in options.datasets}
    content = {
        **record(NAME, argv),
        "n": f"means over seeds; intervals of rows from {options.resamples} resamples of seeds and test images",
        "datasets": tables,
    }
    write(content, "\n\n".join(text(name, table) for name, table in tables.items()), options.out)
    return 0


def one(root: Path, dataset: str, *, resamples: int) -> dict[str, Any]:
    """The ranking on one data set."""
    if not (root / f"{NAME}_{dataset}").is_dir():
        raise UserError(f"no {root}/{NAME}_{dataset}: run first python sweep.py configs/table/{NAME}_{dataset}.yaml")
    runs = read_sweep(root, f"{NAME}_{dataset}")
    chosen = [run for run in runs if run.row.startswith("chosen")]
    plain, with_alm = (
        {row.objective: row for row in _rows([run for run in chosen if _has_alm(run) is alm], resamples)}
        for alm in (False, True)
    )
    base = plain.get(BASELINE)
    ranked = sorted(plain.values(), key=lambda row: float(row.numbers["fpr"].mean()))
    objectives = {run.options["name_file_bs"] for run in runs}
    return {
        "runs": provenance([run for run in chosen if run.result is not None]),
        "rows": [_described(row, base, with_alm.get(row.objective)) for row in ranked],
        "without_result": sorted(objectives - set(plain)),
        "grid_failed": _grid_failed(runs),
        "unfinished": sum(run.result is None for run in chosen),
    }


def _has_alm(run: SeedRun) -> bool:
    return bool(run.options.get("name_file_alm"))


def _rows(runs: Sequence[SeedRun], resamples: int) -> list[Row]:
    by_objective: dict[str, list[SeedRun]] = {}
    for run in runs:
        if run.result is not None:
            by_objective.setdefault(run.options["name_file_bs"], []).append(run)
    rows = []
    for objective, found in by_objective.items():
        values = [_numbers(run, resamples) for run in sorted(found, key=lambda run: run.seed)]
        rows.append(
            Row(
                objective=objective,
                lr=found[0].options["lr"],
                seeds=tuple(sorted(run.seed for run in found)),
                numbers={what: np.array([number[what] for number, _ in values]) for what in ("fpr", "auc")},
                resampled={what: np.stack([drawn[what] for _, drawn in values]) for what in ("fpr", "auc")},
            )
        )
    return rows


def _numbers(run: SeedRun, resamples: int) -> tuple[dict[str, float], dict[str, Array]]:
    """FPR at TPR and AUC of the test set and of its resamples, which all runs share."""
    assert run.result is not None
    test = run.result["test"]
    fpr = next(float(value) for tpr, value in test["fpr_at_tpr"].items() if float(tpr) == TPR)
    scores = read_scores(run.files.scores("test"))
    generator = numpy_stream(0, "comparison images")
    (drawn,) = bootstraps(
        scores.label, [scores.score], tprs=[TPR], thresholds=[], generator=generator, resamples=resamples
    )
    return {"fpr": fpr, "auc": float(test["auc"])}, {"fpr": drawn.fpr_at_tpr[:, 0], "auc": drawn.auc}


def _described(row: Row, base: Row | None, alm: Row | None) -> dict[str, Any]:
    result: dict[str, Any] = {"objective": row.objective, "lr": row.lr, "seeds": row.seeds, **_both(row)}
    if base is not None and base is not row and base.seeds == row.seeds:
        result["minus_bce"] = _difference(row, base)
    if alm is not None:
        result["with_alm"] = _both(alm)
        if alm.seeds == row.seeds:
            result["alm_minus_without"] = _difference(alm, row)
    return result


def _both(row: Row) -> dict[str, Any]:
    names = {"fpr": "fpr_at_98_tpr", "auc": "auc"}
    return {
        name: {**mean_and_sd(row.numbers[what].tolist()), "interval": interval(row.means(what))}
        for what, name in names.items()
    }


def _difference(one: Row, other: Row) -> dict[str, Any]:
    """FPR of ``one`` minus that of ``other``: the test over seeds and images; no interval or p of a single seed."""
    differences = one.numbers["fpr"] - other.numbers["fpr"]
    found = seed_test(differences, resampled=(one.resampled["fpr"] - other.resampled["fpr"]).T)
    ends = None if found.low is None else [found.low, found.high]
    return {"mean": found.difference, "interval": ends, "p": found.p}


def _grid_failed(runs: Sequence[SeedRun]) -> dict[str, list[str]]:
    """Step sizes whose run in the grid is not done, by objective."""
    failed: dict[str, list[str]] = {}
    for run in runs:
        if run.row.startswith("grid") and run.result is None:
            failed.setdefault(run.options["name_file_bs"], []).append(run.options["lr"])
    return failed


def text(dataset: str, table: Mapping[str, Any]) -> str:
    """The ranking; FPR in %."""
    header = [
        *("", "objective", "step size", "FPR at 98 % TPR, %", "95 % interval", "AUC", "minus BCE", "95 % interval"),
        *("with ALM", "ALM minus without", "95 % interval"),
    ]
    rows = []
    for place, item in enumerate(table["rows"], start=1):
        fpr, base, alm = item["fpr_at_98_tpr"], item.get("minus_bce"), item.get("alm_minus_without")
        rows.append(
            [
                *(str(place), item["objective"], item["lr"], f"{100 * fpr['mean']:.1f}", _percent(fpr["interval"])),
                f"{item['auc']['mean']:.4f}",
                *_difference_cells(base),
                f"{100 * item['with_alm']['fpr_at_98_tpr']['mean']:.1f}" if "with_alm" in item else "",
                *_difference_cells(alm),
            ]
        )
    lines = [f"### {dataset}", "", markdown(header, rows)]
    if table["without_result"]:
        lines += ["", f"Without a result: {', '.join(table['without_result'])}"]
    if table["unfinished"]:
        lines += ["", f"{table['unfinished']} of the chosen runs are not finished"]
    return "\n".join(lines)


def effects(datasets: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of docs/remedies.md: the effect of each configuration against BCE, and of ALM; in %."""
    by_name = {name: {item["objective"]: item for item in table["rows"]} for name, table in datasets.items()}
    judged = {
        (family["dataset"], family["claim"], row["objective"]): row
        for family in comparison_families(datasets)
        for row in family["rows"]
    }
    header = ["configuration"]
    for name in datasets:
        header += [f"{name}: FPR at 98 % TPR", *CLAIMS.values()]
    rows = []
    for objective in dict.fromkeys(item["objective"] for table in datasets.values() for item in table["rows"]):
        cells = [f"`{objective}`"]
        for name in datasets:
            item = by_name[name].get(objective)
            cells.append(f"{100 * item['fpr_at_98_tpr']['mean']:.1f}" if item else "")
            cells += [_signed(judged.get((name, claim, objective))) for claim in CLAIMS]
        rows.append(cells)
    return markdown(header, rows)


def _signed(row: Mapping[str, Any] | None) -> str:
    """Mean and interval; bold if the corrected p is below .05."""
    if row is None:
        return ""
    shown = f"{100 * row['mean']:+.1f} {_percent((row['low'], row['high']))}"
    return f"**{shown}**" if row["p_holm"] < LEVEL else shown


def _difference_cells(difference: Mapping[str, Any] | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    ends = difference["interval"]
    return f"{100 * difference['mean']:+.1f}", "" if ends is None else _percent(ends)


def _percent(pair: Sequence[float]) -> str:
    return f"[{100 * pair[0]:.1f}, {100 * pair[1]:.1f}]"


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
