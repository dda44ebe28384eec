"""Where the time of a run goes: main.main with one seed, under Python's profiler.

The share of a part is the time in the functions listed here and in what they call, minus other parts called from there.
Imports do not include torch, which this script has already loaded.
"""

from __future__ import annotations

import contextlib
import cProfile
import io
import pstats
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import Report, common_arguments, row
from benchmarks.subject import CASES
from benchmarks.synthetic import found_or_synthetic

# part -> functions: end of the file's path, name
PARTS: dict[str, tuple[tuple[str, str], ...]] = {
    "model: forward and backward of training, update": (
        ("autograd/__init__.py", "backward"),
        ("models/resnet.py", "forward"),
        ("models/lenet.py", "forward"),
        ("optim/sgd.py", "step"),
    ),
    "batches: gather, augmentation, normalisation": (("data/batches.py", "training"),),
    "constraint: penalty and multipliers": (
        ("augmented_lagrangian.py", "penalty"),
        ("augmented_lagrangian.py", "update_multipliers"),
    ),
    "objective: loss and score": (("losses/bce.py", "forward"), ("losses/base.py", "score")),
    "rest of the step: sampler, sums, checks": (("utils/training/step.py", "run"),),
    "validation and test: forward": (("utils/training/evaluation.py", "model_outputs"),),
    "numbers of an epoch: AUC, violation, quantiles": (("utils/training/epoch.py", "train_epoch"),),
    "files of an epoch: checkpoints, history, events": (("utils/run/train.py", "_write_epoch"),),
    "end of a seed: ROC, bootstrap, picture, events": (("utils/run/train.py", "_finish_seed"),),
    "results: ensemble, bootstrap, picture": (("utils/run/printed_table.py", "report"),),
    "data: reading, splitting, checksum": (("utils/run/load_task.py", "load_task"),),
    "imports": (("<frozen importlib._bootstrap>", "_find_and_load"),),
}
Function = tuple[str, int, str]
Callers = dict[Function, tuple[int, int, float, float]]


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--models", nargs="+", default=list(CASES), choices=list(CASES), help="which")
    parser.add_argument("--epochs", type=int, default=5, help="of the run")
    options = parser.parse_args(argv)
    if options.quick:
        options.models, options.epochs = ["lenet5"], 1
    for model in options.models:
        case = CASES[model]
        report = Report(f"profile_{model}", options, script="bench_profile", argv=argv)
        with found_or_synthetic(case.dataset, data_root=options.data_root, quick=options.quick) as data:
            report.facts["data"] = {model: data.source}
            seconds, total = profiled(case.command(data.root, options, f"--seeds 1 --num_epochs {options.epochs}"))
        title = f"{case.label}, 1 seed x {options.epochs} epochs"
        report.add(row(f"{title}: whole run, profiled", [total], unit="s"))
        for part, value in sorted(seconds.items(), key=lambda item: -item[1]):
            report.add(row(f"{title}: {part}", [100 * value / total], unit="%"))
        report.write()
    return 0


def profiled(arguments: Sequence[str]) -> tuple[dict[str, float], float]:
    """Seconds of each part, and in total."""
    from main import main as run  # inside the function, so that its imports are profiled

    profiler = cProfile.Profile()
    start = time.perf_counter()
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        profiler.enable()
        code = run([*arguments, "--checkpoint_root", folder])
        profiler.disable()
    total = time.perf_counter() - start
    if code:
        raise SystemExit(f"main.py ended with {code}")
    inside = own_seconds(pstats.Stats(profiler).stats)  # type: ignore[attr-defined]
    return {**inside, "all else": total - sum(inside.values())}, total


def own_seconds(stats: dict[Function, tuple[int, int, float, float, Callers]]) -> dict[str, float]:
    """Seconds of each part: a function's own time goes to the parts of its callers, in the shares of their calls."""
    direct = {function: part for function in stats if (part := _part_of(function))}
    shares: dict[Function, dict[str, float]] = {function: {part: 1.0} for function, part in direct.items()}
    for _ in range(60):  # down the call graph; settles much sooner, recursion included
        changed = False
        for function, (_, _, _, _, callers) in stats.items():
            if function in direct:
                continue
            weights = {caller: values[3] for caller, values in callers.items() if caller != function}
            total = sum(weights.values())
            mixed: dict[str, float] = {}
            for caller, weight in weights.items():
                for part, share in shares.get(caller, {}).items():
                    mixed[part] = mixed.get(part, 0.0) + share * (weight / total if total else 1 / len(weights))
            if mixed != shares.get(function, {}):
                shares[function] = mixed
                changed = True
        if not changed:
            break
    seconds = dict.fromkeys(PARTS, 0.0)
    for function, (_, _, own, _, _) in stats.items():
        for part, share in shares.get(function, {}).items():
            seconds[part] += own * share
    return seconds


def _part_of(function: Function) -> str:
    file, _, name = function
    path = file if file.startswith("<") else Path(file).as_posix()
    return next((part for part, names in PARTS.items() if any(path.endswith(f) and name == n for f, n in names)), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
