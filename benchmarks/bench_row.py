"""One row of the paper's tables, trained by main.py: wall time, and the effect of the precision on its results.

CIFAR-100 1:100, BCE with the constraint, 10 seeds x 100 epochs. Each combination writes its own JSON file, so that the
work can be split over several calls; each call ends by comparing all files of this device with fp32.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measuring import QUICK_RESULTS, RESULTS, Report, common_arguments, device_slug, row
from benchmarks.processes import python, run
from benchmarks.subject import CASES
from benchmarks.synthetic import found_or_synthetic
from utils.run_files.paths import RunPaths
from utils.run_files.results_json import read_results

TPR = "0.98"
READ = ("auc", "auc_interval", "fpr_at_tpr", "fpr_at_tpr_interval")


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--precision", nargs="+", default=["fp32", "tf32", "bf16"], choices=("fp32", "tf32", "bf16"))
    parser.add_argument("--at_once", nargs="+", type=int, default=[1, 2, 5, 10], help="seeds trained at the same time")
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--epochs", type=int, default=100, help="of each seed, at most")
    parser.add_argument("--without_alm", action="store_true", help="the row without the constraint")
    options = parser.parse_args(argv)
    if options.quick:
        options.precision, options.at_once, options.seeds, options.epochs = ["fp32"], [1], 1, 1
    with found_or_synthetic("cifar100", data_root=options.data_root, quick=options.quick) as data:
        for precision in options.precision:
            for at_once in options.at_once:
                name = f"row{'_without_alm' if options.without_alm else ''}_{precision}_x{at_once}"
                report = Report(name, options, script="bench_row", argv=argv)
                report.facts["data"] = {"resnet10": data.source}
                one_run(report, options, data.root, precision=precision, at_once=at_once)
                report.write()
    compare_precisions(options, argv)
    return 0


def one_run(report: Report, options: Namespace, root: Path, *, precision: str, at_once: int) -> None:
    """Train and evaluate all seeds; the wall time covers the whole command."""
    more = f"--seeds 1-{options.seeds} --num_epochs {options.epochs} --precision {precision} --parallel_seeds {at_once}"
    case = CASES["resnet10"]
    if options.quick:
        case = replace(case, options=case.options.replace("resnet10", "lenet5"))
    with TemporaryDirectory() as folder:
        command = case.command(root, options, more, alm=not options.without_alm)
        finished = run(python("main.py", *command, "--model_name", "row", "--checkpoint_root", folder))
        results = read_results(RunPaths(Path(folder), "runs", "row").results)
    test = results["ensemble"]["test"]
    report.facts["precision"], report.facts["seeds_at_once"] = precision, at_once
    report.facts["epochs"], report.facts["seeds"] = options.epochs, options.seeds
    report.facts["ensemble"] = {key: test[key] for key in READ}
    whole = options.seeds == 10 and options.epochs == 100 and options.device != "cpu"
    goal = f"row_{precision}" if whole and precision in ("tf32", "bf16") and not options.quick else ""
    title = f"row of the tables, {options.seeds} seeds x {options.epochs} epochs, {precision}, {at_once} at once"
    report.add(
        row(f"{title}: wall time", [finished.seconds], unit="s", goal=goal),
        row(f"{title}: peak memory of all processes", [finished.peak_mib], unit="MiB"),
        row(f"{title}: ensemble's test AUC", [test["auc"]], unit=""),
        row(f"{title}: ensemble's FPR at 98 % TPR", [test["fpr_at_tpr"][TPR]], unit=""),
    )


def compare_precisions(options: Namespace, argv: Sequence[str]) -> None:
    """Compare the ensemble's AUC and FPR in each precision with fp32, from the files of all calls so far."""
    folder = options.out or (QUICK_RESULTS if options.quick else RESULTS)
    rows: dict[str, dict[str, Any]] = {}
    kind = "row_without_alm" if options.without_alm else "row"
    for path in sorted(folder.glob(f"{kind}_[ftb]*_x*_{device_slug(options.device)}_*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content["seeds"], content["epochs"]) == (options.seeds, options.epochs):
            rows[content["precision"]] = content["ensemble"]  # it does not depend on the number of seeds at once
    if "fp32" not in rows:
        print("no fp32 row to compare with yet")
        return
    if len(rows) == 1:
        return
    report = Report(f"{kind}_precision", options, script="bench_row", argv=argv)
    base = rows["fp32"]
    for precision, ensemble in rows.items():
        if precision == "fp32":
            continue
        low, high = base["auc_interval"]
        fpr_low, fpr_high = base["fpr_at_tpr_interval"][TPR]
        report.add(
            row(
                f"ensemble's test AUC, {precision} - fp32",
                [ensemble["auc"] - base["auc"]],
                unit="",
                note=f"fp32 {base['auc']:.4f}, its 95 % interval [{low:.4f}, {high:.4f}]",
            ),
            row(
                f"ensemble's FPR at 98 % TPR, {precision} - fp32",
                [ensemble["fpr_at_tpr"][TPR] - base["fpr_at_tpr"][TPR]],
                unit="",
                note=f"fp32 {base['fpr_at_tpr'][TPR]:.4f}, its 95 % interval [{fpr_low:.4f}, {fpr_high:.4f}]",
            ),
        )
    report.write()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
