"""Long-tailed CIFAR beside published errors, and critical classes with and without the constraint.

    python sweep.py configs/table/cifar10_lt_100_short.yaml --set data_root=DATA
    python sweep.py configs/table/cifar10_lt_critical.yaml --set data_root=DATA
    python -m studies.long_tailed

DATA holds the whole of CIFAR10. The tables are trained by sweep.py; this reads what is finished of them. Published:
test error in %, exp at 100, the table of BagOfTricks-LT (Zhang et al., AAAI 2021), whose epoch is the best on test.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.published_runs import arguments, exit_code, markdown, record, write
from utils.data.imbalance import imbalance_profile
from utils.errors import UserError
from utils.metrics.bootstrap import bootstraps
from utils.metrics.paired_tests import holm
from utils.metrics.roc import auc, roc
from utils.metrics.seed_tests import seed_test
from utils.run_files.class_scores_csv import read_class_scores
from utils.run_files.config_yaml import read_record
from utils.run_files.paths import RunPaths
from utils.run_files.results_json import read_results
from utils.seeding import numpy_stream
from utils.system.files import sha256

NAME, LEVEL, RESAMPLES, TPR = "long_tailed", 0.05, 1000, 0.98
PUBLISHED = {  # row -> test error in %, CIFAR10 exp at 100
    "CE": 29.64,
    "focal": 28.44,
    "CB-CE": 29.52,
    "CB-focal": 24.80,
    "LDAM": 26.34,
    "LDAM-DRW": 22.27,
    "balanced-softmax": 22.46,
}
ERRORS = ("cifar10_lt_100", "cifar10_lt_100_short")
CRITICAL = "cifar10_lt_critical"


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    options = arguments((__doc__ or "").splitlines()[0]).parse_args(argv)
    root: Path = options.checkpoint_root
    errors = [found for table in ERRORS for found in rows_of(root, table)]
    critical = rows_of(root, CRITICAL)
    if not errors and not critical:
        raise UserError(f"{root} must hold finished rows of {', '.join((*ERRORS, CRITICAL))}, which sweep.py trains")
    content = record(NAME, argv) | {
        "errors": [error_of(paths) for paths in errors],
        "critical": compared(critical) if len(critical) > 1 else {},
        "runs": {f"{paths.subfolder_name}/{paths.model_name}": provenance(paths) for paths in (*errors, *critical)},
    }
    write(content, text(content), options.out)
    return 0


def rows_of(root: Path, table: str) -> list[RunPaths]:
    """The runs of a table that have results."""
    found = sorted(path.parent for path in (root / table).glob("*/results.json"))
    return [RunPaths(root, table, folder.name) for folder in found]


def provenance(paths: RunPaths) -> dict[str, Any]:
    """What a run recorded of itself, and the checksums of its test scores."""
    known = read_record(paths.config)
    seeds = read_results(paths.results)["seeds"]
    return {
        "commands": [re.sub(r"--data_root \S+", "--data_root DATA", command) for command in known.commands],
        "data_checksum": known.checksum,
        "class_counts": known.sizes,
        "versions": known.versions,
        "machine": known.machine,
        "test_scores_sha256": {seed: sha256(paths.seed(int(seed)).scores("test")) for seed in seeds},
    }


# ---------------------------------------------------------------- errors


def error_of(paths: RunPaths) -> dict[str, Any]:
    """Errors of a row in %: of the epoch that validation chose, and of the last one; means over the seeds."""
    seeds = list(read_results(paths.results)["seeds"].values())
    record_of_run = read_record(paths.config)
    options = record_of_run.options
    chosen = [100 * (1 - seed["test"]["accuracy"]) for seed in seeds]
    last = [100 * (1 - seed["last_epoch"]["accuracy"]) for seed in seeds]
    low, high = seeds[0]["test"]["accuracy_interval"]
    return {
        "table": paths.subfolder_name,
        "row": paths.model_name,
        "epochs": options["num_epochs"],
        "precision": options["precision"],
        "seeds": len(seeds),
        "n_test": seeds[0]["test"]["n"],
        "n_train": sum(record_of_run.sizes["train"].values()),
        "best_epochs": [seed["best_epoch"] for seed in seeds],
        "error": float(np.mean(chosen)),
        "error_interval_of_the_first_seed": [100 * (1 - high), 100 * (1 - low)],
        "error_of_the_last_epoch": float(np.mean(last)),
        "published": PUBLISHED.get(paths.model_name),
        "shots": seeds[0]["test"]["shots"],
    }


# ---------------------------------------------------------------- critical classes


def compared(rows: Sequence[RunPaths]) -> dict[str, Any]:
    """Each row with a constraint minus the row of the same name without, on the seeds that both have."""
    results = {paths.model_name: read_results(paths.results) for paths in rows}
    found: dict[str, Any] = {"means": {}, "differences": []}
    for paths in rows:
        found["means"][paths.model_name] = means_of(results[paths.model_name])
    folders = {paths.model_name: paths for paths in rows}
    for name, paths in folders.items():
        base = name.partition("+")[0]
        if base != name and base in folders:
            seeds = sorted(set(results[name]["seeds"]) & set(results[base]["seeds"]), key=int)
            if len(seeds) > 1:
                found["differences"] += differences(folders[base], paths, seeds)
    corrected = holm([each["p"] for each in found["differences"]])
    for each, p in zip(found["differences"], corrected, strict=True):
        each["p_holm"] = p
    return found


def means_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Means over the seeds of what the tables show."""
    tests = [seed["test"] for seed in result["seeds"].values()]
    point = [next(d for d in test["decisions"] if d["rule"] == "plug-in" and d["tpr"] == TPR) for test in tests]
    return {
        "seeds": len(tests),
        "accuracy": float(np.mean([test["accuracy"] for test in tests])),
        "balanced_accuracy": float(np.mean([test["balanced_accuracy"] for test in tests])),
        "error_of_others": float(np.mean([each["error_of_others"] for each in point])),
        "recall": {name: float(np.mean([each["recall"][name] for each in point])) for name in tests[0]["critical"]},
        "fpr": {
            name: float(np.mean([test["critical"][name]["fpr_at_tpr"][str(TPR)] for test in tests]))
            for name in tests[0]["critical"]
        },
        "auc": {
            name: float(np.mean([test["critical"][name]["auc"] for test in tests])) for name in tests[0]["critical"]
        },
    }


def differences(base: RunPaths, other: RunPaths, seeds: Sequence[str]) -> list[dict[str, Any]]:
    """Of AUC and FPR at the TPR of each critical class: difference, interval and p, knowing seeds and images."""
    scores = [[read_class_scores(paths.seed(int(k)).scores("test")) for k in seeds] for paths in (base, other)]
    found = []
    for column, name in enumerate(scores[0][0].views):
        label, own = scores[0][0].view(column).label, [[each.view(column).score for each in row] for row in scores]
        drawn = bootstraps(
            label,
            [*own[0], *own[1]],
            tprs=(TPR,),
            thresholds=(),
            generator=numpy_stream(0, f"bootstrap of class {name}"),
            resamples=RESAMPLES,
        )
        for measure in ("auc", "fpr"):
            values = [[_measure(measure, each.view(column)) for each in row] for row in scores]
            of_images = np.stack([each.auc if measure == "auc" else each.fpr_at_tpr[:, 0] for each in drawn], axis=1)
            tested = seed_test(
                np.subtract(values[1], values[0]), resampled=of_images[:, len(seeds) :] - of_images[:, : len(seeds)]
            )
            found.append(
                {
                    "row": other.model_name,
                    "minus": base.model_name,
                    "class": name,
                    "measure": measure,
                    "seeds": len(seeds),
                    "difference": tested.difference,
                    "interval": [tested.low, tested.high],
                    "p": tested.p,
                }
            )
    return found


def _measure(name: str, view: Any) -> float:
    return auc(view.label, view.score) if name == "auc" else roc(view.label, view.score).fpr_at(TPR)


# ---------------------------------------------------------------- text


def text(content: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    return "\n".join(
        [
            "# Long-tailed CIFAR10",
            "",
            *error_lines(content["errors"]),
            *(critical_lines(content["critical"]) if content["critical"] else []),
            "",
        ]
    )


def error_lines(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ours beside the published errors."""
    if not errors:
        return []
    rows = []
    for each in sorted(errors, key=lambda each: (each["table"], -each["error"])):
        low, high = each["error_interval_of_the_first_seed"]
        published = "" if each["published"] is None else f"{each['published']:.2f}"
        gap = "" if each["published"] is None else f"{each['error'] - each['published']:+.2f}"
        about = [each["row"], str(each["epochs"]), each["precision"], str(each["seeds"])]
        ours = [f"{each['error']:.2f} [{low:.2f}, {high:.2f}]", f"{each['error_of_the_last_epoch']:.2f}"]
        rows.append([*about, *ours, published, gap])
    whole = sum(imbalance_profile("exp", largest=5000, classes=10, factor=0.01))
    header = ["row", "epochs", "precision", "seeds", "error, chosen epoch", "last epoch", "published, 200", "gap"]
    return [
        "Exp at 100, ResNet-32, batch 128. Test errors in %, 10,000 images; in brackets the 95 % interval of the first",
        "seed over images. The epoch is chosen by the accuracy on 1,000 validation images; the published one on test.",
        f"Training has {errors[0]['n_train']:,} images, as validation is drawn first; the published has {whole:,}. 60",
        "epochs are the schedule of 200 scaled, warm-up 2 and steps after 48 and 54, and no reproduction of it.",
        "",
        markdown(header, rows),
    ]


def critical_lines(critical: Mapping[str, Any]) -> list[str]:
    """Critical classes with and without the constraint."""
    classes = list(next(iter(critical["means"].values()))["fpr"])
    header = ["row", "seeds", "accuracy", *(f"{c}: AUC" for c in classes), *(f"{c}: FPR@98" for c in classes)]
    header += [f"{c}: recall at thresholds" for c in classes] + ["error of the others there"]
    rows = []
    for name, each in critical["means"].items():
        cells = [f"{each['auc'][c]:.3f}" for c in classes] + [f"{100 * each['fpr'][c]:.1f}" for c in classes]
        cells += [f"{100 * each['recall'][c]:.1f}" for c in classes]
        rows.append(
            [name, str(each["seeds"]), f"{100 * each['accuracy']:.1f}", *cells, f"{100 * each['error_of_others']:.1f}"]
        )
    tested = [
        [
            f"{each['row']} minus {each['minus']}",
            each["class"],
            "AUC" if each["measure"] == "auc" else "FPR@98, points",
            *_difference(each),
            f"{each['p_holm']:.2f}",
        ]
        for each in critical["differences"]
    ]
    clear = sum(each["p_holm"] < LEVEL for each in critical["differences"])
    return [
        "",
        "## Critical classes 8 (ship) and 9 (truck), LeNet5",
        "",
        "Means over the seeds on test, in % but the AUC; thresholds are those of recall 98 % on validation.",
        "",
        markdown(header, rows),
        "",
        f"Paired by seed, both sources of chance, corrected by Holm's method: {clear} of {len(tested)} differences are",
        "clear.",
        "",
        markdown(["rows", "class", "measure", "difference, 95 % interval", "p, Holm"], tested),
    ]


def _difference(each: Mapping[str, Any]) -> list[str]:
    scale, digits = (1, 3) if each["measure"] == "auc" else (100, 1)
    low, high = (scale * end for end in each["interval"])
    return [f"{scale * each['difference']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"]


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
