"""The training step: ours against its floor and against the plain reference, with and without the constraint.

On a CPU ResNet-10 and LeNet5, batch 64 and 1000; on a GPU ResNet-10, batch 64, eager, captured and compiled.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks.goals import GOALS
from benchmarks.measuring import Block, Report, alternate, common_arguments, milliseconds, ratios, row
from benchmarks.subject import CASES, Floor, Parts, Subject, plain_training, start
from benchmarks.synthetic import Data, found_or_synthetic


@dataclass(frozen=True)
class Plan:
    """Rounds, and steps in a timed block; ``plain_*`` for the comparison with the plain reference."""

    batch: int
    rounds: int
    steps: int
    plain_rounds: int
    plain_steps: int
    parts: int = 0  # repeats of the parts beside the model, in a timed block


PLANS = {
    "resnet10": [Plan(64, 30, 2, 5, 1, parts=100), Plan(1000, 3, 1, 2, 1)],
    "lenet5": [Plan(64, 40, 100, 7, 10, parts=300), Plan(1000, 30, 6, 5, 2)],
}
QUICK = {
    "resnet10": [Plan(8, 2, 1, 1, 1, parts=2)],
    "lenet5": [Plan(64, 3, 3, 2, 2, parts=5), Plan(1000, 2, 1, 1, 1)],
}
GPU_PLAN = Plan(64, 30, 100, 0, 0, parts=100)
GPU_MODES = {"eager": (False, ""), "captured": (True, ""), "compiled, captured": (True, "--compile 1")}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES), help="models")
    parser.add_argument("--precision", nargs="+", default=None, choices=("fp32", "tf32", "bf16"), help="of the model")
    options = parser.parse_args(argv)
    chosen = options.only if options.only != list(CASES) and options.device == "cpu" else []
    name = "_".join(["step", *chosen, *(options.precision or [])])
    report = Report(name, options, script="bench_step", argv=argv)
    if options.device == "cpu":
        report.facts["data"] = {}
        for case in options.only:
            with found_or_synthetic(CASES[case].dataset, data_root=options.data_root, quick=options.quick) as data:
                report.facts["data"][case] = data.source
                for plan in (QUICK if options.quick else PLANS)[case]:
                    for precision in options.precision or ["fp32"]:
                        on_cpu(report, options, data, case=case, plan=plan, precision=precision)
    else:
        with found_or_synthetic("cifar100", data_root=options.data_root, quick=options.quick) as data:
            report.facts["data"] = {"resnet10": data.source}
            for precision in options.precision or ["fp32", "tf32", "bf16"]:
                on_gpu(report, options, data, precision=precision)
    report.facts["threads"] = torch.get_num_threads()
    report.write()
    return 0


def on_cpu(report: Report, options: Namespace, data: Data, *, case: str, plan: Plan, precision: str) -> None:
    """All comparisons of one model and batch size."""
    label = CASES[case].label
    more = f"--bsize {plan.batch} --seeds 1 --parallel_seeds 1 --precision {precision}"
    commands = [CASES[case].command(data.root, options, more, alm=alm) for alm in (True, False)]
    ours, without = (start(command, whole_batches=True) for command in commands)
    floor = Floor(ours)
    title = f"{label}, batch {plan.batch}" + ("" if precision == "fp32" else f", {precision}")
    print(f"{title} ({torch.get_num_threads()} threads, {data.source})")
    seconds = alternate(
        {
            "ours": Block(partial(ours.run, plan.steps), plan.steps),
            "floor": Block(partial(floor.run, plan.steps), plan.steps),
            "without": Block(partial(without.run, plan.steps), plan.steps),
        },
        rounds=plan.rounds,
    )
    has_goal = precision == "fp32" and not options.quick
    size = f"{case}_{plan.batch}"
    report.add(
        row(f"{title}: step with ALM", milliseconds(seconds["ours"]), unit="ms"),
        row(f"{title}: step without ALM", milliseconds(seconds["without"]), unit="ms"),
        row(f"{title}: floor step", milliseconds(seconds["floor"]), unit="ms"),
        row(
            f"{title}: step with ALM / floor",
            ratios(seconds["ours"], seconds["floor"]),
            goal=f"step_{size}" if has_goal and f"step_{size}" in GOALS else "",
        ),
        row(f"{title}: step without ALM / floor", ratios(seconds["without"], seconds["floor"])),
        row(
            f"{title}: step with ALM / without",
            ratios(seconds["ours"], seconds["without"]),
            goal=f"alm_{case}" if has_goal and plan.batch == 64 else "",
        ),
    )
    if plan.parts:
        parts_alone(report, ours, floor, plan, title=title, goal=f"parts_{case}" if has_goal else "")
    for what, subject in (("with ALM", ours), ("without ALM", without)):
        against_plain(report, subject, plan, title=title, what=what)


def parts_alone(
    report: Report, ours: Subject, floor: Floor, plan: Plan, *, title: str, goal: str, device: str = "cpu"
) -> None:
    """Batch, constraint and multipliers timed without the model, as a share of the floor step."""
    parts, count = Parts(ours), plan.parts
    seconds = alternate(
        {
            "batch": Block(partial(parts.batches, count), count),
            "constraint": Block(partial(parts.constraints, count), count),
            "both": Block(partial(parts.both, count), count),
            "floor": Block(partial(floor.run, plan.steps), plan.steps),
        },
        rounds=max(plan.rounds // 3, 2),
        device=device,
    )
    report.add(
        row(f"{title}: batch alone / floor", ratios(seconds["batch"], seconds["floor"])),
        row(f"{title}: constraint + multipliers alone / floor", ratios(seconds["constraint"], seconds["floor"])),
        row(
            f"{title}: batch + constraint + multipliers alone / floor",
            ratios(seconds["both"], seconds["floor"]),
            goal=goal,
        ),
    )


def against_plain(report: Report, subject: Subject, plan: Plan, *, title: str, what: str) -> None:
    """Time the plain reference against our step."""
    plain = plain_training(subject)
    seconds = alternate(
        {
            "plain": Block(partial(plain.steps, plan.plain_steps), plan.plain_steps),
            "ours": Block(partial(subject.run, plan.steps), plan.steps),
        },
        rounds=plan.plain_rounds,
    )
    report.add(row(f"{title}: plain reference / ours, {what}", ratios(seconds["plain"], seconds["ours"])))


def on_gpu(report: Report, options: Namespace, data: Data, *, precision: str) -> None:
    """ResNet-10 with the constraint: eager, captured, compiled, each against its floor.

    One precision at a time: the device's precision switches are global to the process.
    """
    plan = replace(GPU_PLAN, rounds=3, steps=5, parts=5) if options.quick else GPU_PLAN
    print(f"ResNet-10, batch {plan.batch}, {precision} ({data.source})")
    more = f"--bsize {plan.batch} --seeds 1 --parallel_seeds 1 --precision {precision}"
    for mode, (captures, extra) in GPU_MODES.items():
        command = CASES["resnet10"].command(data.root, options, f"{more} {extra}")
        subject = start(command, captures=captures, whole_batches=True)
        floor = Floor(subject)
        for warm in (subject.run, floor.run):
            warm(10)  # compile, capture and choose kernels; one block may be too short for that
        seconds = alternate(
            {
                "ours": Block(partial(subject.run, plan.steps), plan.steps),
                "floor": Block(partial(floor.run, plan.steps), plan.steps),
            },
            rounds=plan.rounds,
            device=options.device,
        )
        title = f"ResNet-10, batch {plan.batch}, {precision}, {mode}"
        report.add(
            row(f"{title}: step with ALM", milliseconds(seconds["ours"]), unit="ms"),
            row(f"{title}: floor step", milliseconds(seconds["floor"]), unit="ms"),
            row(f"{title}: step with ALM / floor", ratios(seconds["ours"], seconds["floor"])),
        )
        if mode == "eager":
            parts_alone(report, subject, floor, plan, title=title, goal="", device=options.device)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
