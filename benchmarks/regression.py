"""Some ratios of today against the committed ones, in about three minutes: exit code 1 if one is worse than it may be.

Short forms of bench_step and bench_run on the CPU. Ratios carry over to other machines, so the numbers of results/
serve here too; on a machine that is not quiet they say little. Today's numbers go to checkpoint/benchmarks/.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import bench_run, bench_step
from benchmarks.bench_step import Plan
from benchmarks.measuring import QUICK_RESULTS, RESULTS, ROOT, Report
from benchmarks.subject import CASES
from benchmarks.summary import latest
from benchmarks.synthetic import found_or_synthetic

PLANS = {
    "lenet5": [Plan(64, 15, 30, 3, 10, parts=100), Plan(1000, 8, 3, 2, 1)],
    "resnet10": [Plan(64, 10, 1, 2, 1, parts=30)],
}
START_UP_REPEATS, SEEDS_REPEATS = 3, 1


@dataclass(frozen=True)
class Watched:
    """A committed ratio.

    Attributes:
        file: the name of its measurement, with which its file in results/ begins.
        what: of its row.
        sense: "at most" where less is better, "at least" where more is.
        tolerance: share of the committed median by which today's may be worse; about twice the spread of short runs.
    """

    file: str
    what: str
    sense: str
    tolerance: float


WATCHED = (
    Watched("step", "LeNet5, batch 64: step with ALM / floor", "at most", 0.10),
    Watched("step", "LeNet5, batch 64: step with ALM / without", "at most", 0.08),
    Watched("step", "LeNet5, batch 64: batch + constraint + multipliers alone / floor", "at most", 0.25),
    Watched("step", "LeNet5, batch 64: plain reference / ours, with ALM", "at least", 0.15),
    Watched("step", "LeNet5, batch 1000: step with ALM / floor", "at most", 0.06),
    Watched("step", "ResNet-10, batch 64: step with ALM / floor", "at most", 0.06),
    Watched("step", "ResNet-10, batch 64: batch + constraint + multipliers alone / floor", "at most", 0.30),
    Watched("step", "ResNet-10, batch 64: plain reference / ours, with ALM", "at least", 0.10),
    Watched("start_up", "main.py --help / that import", "at most", 0.30),
    Watched("start_up", "ResNet-10, cifar100: start to first training step / that import", "at most", 0.15),
    Watched("seeds_at_once_lenet5", "LeNet5, batch 64, seeds 1-10: the one / the other", "at least", 0.15),
)


@dataclass(frozen=True)
class Comparison:
    """A watched ratio, today's median and the committed one."""

    watched: Watched
    today: float
    committed: float

    @property
    def is_worse(self) -> bool:
        """Whether today's is worse by more than the tolerance."""
        if self.watched.sense == "at most":
            return self.today > self.committed * (1 + self.watched.tolerance)
        return self.today < self.committed * (1 - self.watched.tolerance)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data_root", default="datasets", help="folder of the data sets; what it lacks is synthetic")
    options = parser.parse_args(argv)
    committed = committed_medians(ROOT / RESULTS)
    today = measured(options.data_root, argv)
    comparisons = [Comparison(each, today[each.what], committed[each.what]) for each in WATCHED]
    print(table(comparisons))
    worse = [each.watched.what for each in comparisons if each.is_worse]
    if worse:
        print(f"worse than committed by more than the tolerance: {'; '.join(worse)}")
        print("On a quiet machine, measure again: a second such result is a change of the code or of a package.")
    return 1 if worse else 0


def committed_medians(folder: Path) -> dict[str, float]:
    """The newest committed median of every watched row.

    Raises:
        LookupError: a row is in none of the files.
    """
    files = latest(folder)
    found = {}
    for each in WATCHED:
        rows = [row for name, content in files.items() if name == f"{each.file}_cpu" for row in content["rows"]]
        medians = [row["median"] for row in rows if row["what"] == each.what]
        if len(medians) != 1:
            raise LookupError(f"expected one row {each.what!r} in {folder}/{each.file}_cpu_*.json, got {len(medians)}")
        found[each.what] = medians[0]
    return found


def measured(data_root: str, argv: Sequence[str]) -> dict[str, float]:
    """Today's medians of all rows of the short forms."""
    options = Namespace(quick=False, device="cpu", threads=0, out=ROOT / QUICK_RESULTS, data_root=data_root, repeats=0)
    report = Report("regression", options, script="regression", argv=argv)
    for name, plans in PLANS.items():
        case = CASES[name]
        with found_or_synthetic(case.dataset, data_root=data_root, quick=False) as data:
            for plan in plans:
                bench_step.on_cpu(report, options, data, case=name, plan=plan, precision="fp32")
            if name == "resnet10":
                options.repeats = START_UP_REPEATS
                bench_run.start_up(report, options, name, case, data.root)
            else:
                options.repeats = SEEDS_REPEATS
                bench_run.seeds_at_once(report, options, name, case, data.root)
    report.facts["threads"] = torch.get_num_threads()
    content = json.loads(report.write().read_text(encoding="utf-8"))
    return {row["what"]: row["median"] for row in content["rows"]}


def table(comparisons: Sequence[Comparison]) -> str:
    """One line for each ratio."""
    width = max(len(each.watched.what) for each in comparisons)
    lines = [f"{'ratio':<{width}}  {'today':>9} {'committed':>9}  may be"]
    for each in comparisons:
        sign = 1 if each.watched.sense == "at most" else -1
        limit = each.committed * (1 + sign * each.watched.tolerance)
        allowed = f"{each.watched.sense} {limit:.4g} ({sign * each.watched.tolerance:+.0%})"
        verdict = "  WORSE" if each.is_worse else ""
        lines.append(f"{each.watched.what:<{width}}  {each.today:9.4g} {each.committed:9.4g}  {allowed}{verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
