"""Whole runs of main.py, epochs with validation, seeds trained at once, and the start-up of a run.

Each measurement writes its own JSON file; --only selects.
"""

from __future__ import annotations

import json
import statistics
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.measuring import Block, Report, alternate, common_arguments, milliseconds, ratios, row
from benchmarks.processes import Finished, python, run, seconds_until
from benchmarks.subject import CASES, Case, Floor, plain_training, start
from benchmarks.synthetic import found_or_synthetic

IMPORT = "import torch, sklearn.metrics; print('imported', flush=True)"
BESIDE = {"resnet10": (4, 40), "lenet5": (100, 200)}  # steps and validation images of the plain reference


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", default=list(MEASUREMENTS), choices=list(MEASUREMENTS), help="which")
    parser.add_argument("--models", nargs="+", default=list(CASES), choices=list(CASES), help="which")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of each comparison (start: twice as many)")
    parser.add_argument("--seeds", type=int, default=10, help="of the whole run; the goal is for ten")
    parser.add_argument("--epochs", type=int, default=5, help="of the whole run; the goal is for five")
    options = parser.parse_args(argv)
    if options.quick:
        options.repeats, options.models = 1, ["lenet5"]
    chosen = "" if options.models == list(CASES) or options.quick else "_" + "_".join(options.models)
    for name in options.only:
        report = Report(f"{name}{chosen}", options, script="bench_run", argv=argv)
        report.facts["data"] = {}
        for model in options.models:
            case = CASES[model]
            with found_or_synthetic(case.dataset, data_root=options.data_root, quick=options.quick) as data:
                report.facts["data"][model] = data.source
                MEASUREMENTS[name](report, options, model, case, data.root)
        report.facts["threads"] = torch.get_num_threads()
        report.write()
    return 0


def whole_run(report: Report, options: Namespace, model: str, case: Case, root: Path) -> None:
    """main.py against the floor of its steps, which is timed before and after."""
    seeds, epochs = (1, 1) if options.quick else (options.seeds, options.epochs)
    subject = start(case.command(root, options, "--seeds 1 --parallel_seeds 1"))
    floor = Floor(subject)
    number = 2 if options.quick else 10
    steps = subject.steps_per_epoch * epochs * seeds
    block = {"floor": Block(partial(floor.run, number), number)}
    shares, peaks, totals = [], [], []
    for _ in range(options.repeats):
        before = alternate(block, rounds=5, device=options.device)["floor"]
        finished = _train(case.command(root, options, f"--seeds 1-{seeds} --num_epochs {epochs}"))
        after = alternate(block, rounds=5, device=options.device)["floor"]
        floor_step = statistics.median(before + after)
        shares.append(finished.seconds / (steps * floor_step))
        peaks.append(finished.peak_mib)
        totals.append(finished.seconds)
    title = f"{case.label}, {case.dataset}, {seeds} seeds x {epochs} epochs"
    # start-up and results are spread over fewer seeds than ten, so the goal is no easier
    goal = f"run_{model}" if seeds <= 10 and epochs == 5 and not options.quick else ""
    report.add(
        row(f"{title}: main.py", totals, unit="s"),
        row(f"{title}: main.py / floor of its {steps} steps", shares, goal=goal, note=f"{seeds} seeds"),
        row(f"{title}: peak memory of all processes", peaks, unit="MiB"),
    )


def _train(command: list[str]) -> Finished:
    with TemporaryDirectory() as folder:
        return run(python("main.py", *command, "--checkpoint_root", folder))


def epoch(report: Report, options: Namespace, model: str, case: Case, root: Path) -> None:
    """An epoch with validation against the floor of its steps and against the plain reference, scaled to an epoch."""
    for precision in ("fp32", "bf16") if options.device == "cpu" else ("fp32", "tf32", "bf16"):
        subject = start(case.command(root, options, f"--seeds 1 --parallel_seeds 1 --precision {precision}"))
        floor, steps = Floor(subject), subject.steps_per_epoch
        validated = len(subject.data.validation)
        blocks = {"epoch": Block(subject.epoch), "floor": Block(partial(floor.run, steps))}
        on_cpu = options.device == "cpu"
        plain_steps, images = (1, 4) if options.quick else BESIDE[model]
        if on_cpu:
            plain = plain_training(subject)
            blocks["plain steps"] = Block(partial(plain.steps, plain_steps), plain_steps)
            blocks["plain validation"] = Block(partial(plain.validate, images), images)
        seconds = alternate(blocks, rounds=options.repeats, device=options.device)
        title = f"{case.label}, {case.dataset}, {precision}"
        goal = f"epoch_{precision}" if model == "resnet10" and on_cpu and not options.quick else ""
        report.add(
            row(f"{title}: epoch with validation", seconds["epoch"], unit="s"),
            row(
                f"{title}: epoch with validation / floor of its steps",
                ratios(seconds["epoch"], seconds["floor"]),
                goal=goal,
            ),
        )
        if on_cpu:
            parts = zip(seconds["plain steps"], seconds["plain validation"], strict=True)
            plain_epochs = [steps * step + validated * image for step, image in parts]
            note = f"plain: {plain_steps} steps and {images} validation images, scaled to {steps} and {validated}"
            report.add(
                row(f"{title}: epoch, plain reference / ours", ratios(plain_epochs, seconds["epoch"]), note=note)
            )


def seeds_at_once(report: Report, options: Namespace, model: str, case: Case, root: Path) -> None:
    """Seed-steps per second of ten seeds as main.py arranges them, against one process with all threads."""
    steps = {"resnet10": 8, "lenet5": 800}[model]
    seeds, steps = ("1-2", 5) if options.quick else ("1-10", steps)
    commands = {
        "ten": case.command(root, options, f"--seeds {seeds}"),
        "one": case.command(root, options, "--seeds 1 --parallel_seeds 1"),
    }
    rates: dict[str, list[float]] = {"ten": [], "one": []}
    at_once = 1
    for _ in range(options.repeats):
        for name, command in commands.items():
            number = steps * 4 if name == "one" and not options.quick else steps
            output = run(python("-m", "benchmarks.seed_steps", str(number), *command)).output
            result = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
            rates[name].append(result["seed_steps"] / result["seconds"])
            at_once = max(at_once, result["at_once"])
    title = f"{case.label}, batch 64, seeds {seeds}"
    goal = "seeds_lenet5" if model == "lenet5" and not options.quick else ""
    report.add(
        row(f"{title}: seed-steps a second, {at_once} seeds at once", rates["ten"], unit="1/s"),
        row(f"{title}: steps a second of one process with all threads", rates["one"], unit="1/s"),
        row(f"{title}: the one / the other", ratios(rates["ten"], rates["one"]), goal=goal),
    )


def start_up(report: Report, options: Namespace, model: str, case: Case, root: Path) -> None:
    """--help, and a run until its first training step, against the bare import of torch and sklearn.metrics."""
    first_step = str(Path("benchmarks") / "first_step.py")
    times: dict[str, list[float]] = {"help": [], "import": [], "start": []}
    for number in range(1 if options.quick else 2 * options.repeats + 1):
        with TemporaryDirectory() as folder:
            words = "--seeds 1-10 --parallel_seeds 1 --num_epochs 5"  # watched in this process, not in a seed's own
            command = [*case.command(root, options, words), "--checkpoint_root", folder]
            round_of = {
                "help": run(python("main.py", "--help")).seconds,
                "import": seconds_until(python("-c", IMPORT), "imported"),
                "start": seconds_until(python(first_step, *command), "first step"),
            }
        if number or options.quick:  # the first round fills the file cache
            for name, value in round_of.items():
                times[name].append(value)
    title = f"{case.label}, {case.dataset}"
    on_cpu_goal = options.device == "cpu" and not options.quick
    if "help" not in report.facts:  # the same for every model: once
        report.facts["help"] = "main.py --help from its start to its end; import from the process's start to a print"
        report.add(
            row("main.py --help", milliseconds(times["help"]), unit="ms"),
            row("import of torch and sklearn.metrics", milliseconds(times["import"]), unit="ms"),
            row(
                "main.py --help / that import",
                ratios(times["help"], times["import"]),
                goal="help" if on_cpu_goal else "",
            ),
        )
    report.add(
        row(f"{title}: from a run's start to its first training step", milliseconds(times["start"]), unit="ms"),
        row(
            f"{title}: start to first training step / that import",
            ratios(times["start"], times["import"]),
            goal="first_step" if on_cpu_goal and model == "resnet10" else "",
        ),
    )


MEASUREMENTS = {"start_up": start_up, "seeds_at_once": seeds_at_once, "epoch": epoch, "whole_run": whole_run}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
