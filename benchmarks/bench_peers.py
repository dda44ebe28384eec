"""An epoch with validation of the same model, images and batch by other packages, each beside ours.

The peers' loops are in peers/, each in a process and an environment of its own, which this builds. Ours and the peer
take turns; each process times some epochs after one that is not timed. Synthetic images.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import sys
import tokenize
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.goals import GOALS
from benchmarks.measuring import Report, common_arguments, ratios, row
from benchmarks.peers.environments import DEFAULT_FOLDER, HERE, NotInstalledError, environment, requirements
from benchmarks.peers.problem import BATCH
from benchmarks.processes import Finished, run
from benchmarks.synthetic import Split, splits_of_two_classes


@dataclass(frozen=True)
class Peer:
    """A loop in peers/.

    Attributes:
        ours: the variant of our side beside it, so that both train the same objective where there is one: BCE alone
            (""), else with the constraint.
        variant: of the loop.
        workers: numbers of loader processes to choose from.
    """

    label: str
    loop: str
    environment: str
    ours: str = ""
    variant: str = ""
    models: tuple[str, ...] = ("lenet5", "resnet10")
    workers: tuple[int, ...] = (0, 1, 2)


PEERS = {
    "libauc": Peer("LibAUC", "libauc_loop", "libauc", ours="constrained"),
    "timm": Peer("timm", "timm_loop", "timm"),
    "timm_channels_last": Peer(
        "timm --channels-last", "timm_loop", "timm", variant="channels_last", models=("resnet10",)
    ),
    "plain": Peer("plain DataLoader loop", "plain_loop", "plain"),
    "cooper": Peer(
        "cooper, tensors in memory", "cooper_loop", "cooper", ours="constrained", models=("lenet5",), workers=(0,)
    ),
}


@dataclass(frozen=True)
class Size:
    """Images of training and validation, one in a hundred positive, and the epochs that a process times."""

    label: str
    image: tuple[int, ...]
    train: int
    validation: int
    epochs: int


SIZES = {
    "lenet5": Size("LeNet5", (28, 28), 12000, 2000, 5),
    "resnet10": Size("ResNet-10", (32, 32, 3), 2560, 512, 1),
}
QUICK = (256, 100)  # images


@dataclass(frozen=True)
class Run:
    """A process of a loop, and what it trains."""

    python: Path
    loop: str
    variant: str
    workers: int
    model: str
    data: Path
    threads: int
    epochs: int

    def timed(self) -> tuple[dict[str, Any], float]:
        """The line that it prints, and its peak memory in MiB."""
        words = [str(self.python), "-m", f"benchmarks.peers.{self.loop}", "--variant", self.variant]
        words += ["--data", str(self.data), "--model", self.model, "--threads", str(self.threads)]
        finished = run([*words, "--workers", str(self.workers), "--epochs", str(self.epochs)])
        return result_of(finished), finished.peak_mib


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = common_arguments(__doc__ or "")
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES), help="which")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS), help="which")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of ours and a peer")
    parser.add_argument("--environments", type=Path, default=DEFAULT_FOLDER, help="folder of the peers' environments")
    options = parser.parse_args(argv)
    if options.device != "cpu":
        parser.error(f"--device must be cpu, got {options.device}: the loops move nothing to a GPU")
    options.threads = options.threads or torch.get_num_threads()
    pythons, missing = built(options)
    for model in options.models:
        chosen = [name for name in options.peers if name in pythons and model in PEERS[name].models]
        part = "" if options.peers == list(PEERS) else "_" + "_".join(options.peers)
        report = Report(f"peers_{model}{part}", options, script="bench_peers", argv=argv)
        report.facts.update(threads=options.threads, not_installed=missing, peers={})
        beside(report, options, model, {name: pythons[name] for name in chosen})
        report.write()
    return 0


def built(options: Namespace) -> tuple[dict[str, Path], dict[str, str]]:
    """The Python of each peer, and why others have none."""
    pythons, missing = {}, {}
    for name in options.peers:
        try:
            pythons[name] = environment(PEERS[name].environment, options.environments)
        except NotInstalledError as error:
            missing[name] = str(error)
            print(f"{PEERS[name].label} is left out: {error}")
    return pythons, missing


def beside(report: Report, options: Namespace, model: str, pythons: Mapping[str, Path]) -> None:
    """Every peer of one model."""
    size = SIZES[model]
    train, validation = QUICK if options.quick else (size.train, size.validation)
    report.facts["data"] = {model: f"synthetic images {'x'.join(map(str, size.image))}, {train} and {validation}"}
    with TemporaryDirectory() as folder:
        whole, part = Path(folder) / "peers.npz", Path(folder) / "part.npz"
        test = Split("test", 200)
        splits_of_two_classes(whole, [Split("train", train), Split("val", validation), test], size.image)
        splits_of_two_classes(part, [Split("train", max(train // 4, 200)), Split("val", 200), test], size.image)
        for name, python in pythons.items():
            peer = PEERS[name]
            theirs = Run(python, peer.loop, peer.variant, 0, model, part, options.threads, 1)
            tried = {}
            for workers in peer.workers[:1] if options.quick else peer.workers:
                result, _ = replace(theirs, workers=workers).timed()
                tried[workers] = result["seconds"][0]
            epochs = 1 if options.quick else size.epochs
            theirs = replace(theirs, workers=fastest(tried), data=whole, epochs=epochs)
            pairs(report, options, name, theirs)
            report.facts["peers"][name]["seconds_by_workers"] = tried


def fastest(seconds: Mapping[int, float]) -> int:
    """The number of workers with the least seconds, the smaller one of equals."""
    return min(seconds, key=lambda workers: (seconds[workers], workers))


def pairs(report: Report, options: Namespace, name: str, theirs: Run) -> None:
    """Ours and the peer in turn; the rows of both."""
    peer, size = PEERS[name], SIZES[theirs.model]
    ours = replace(theirs, python=Path(sys.executable), loop="ours", variant=peer.ours, workers=0)
    results: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    peaks: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(1 if options.quick else options.repeats):
        for side, process in (("ours", ours), ("peer", theirs)):
            result, peak = process.timed()
            results[side].append(result)
            peaks[side].append(peak)
    check_equal_work(results["ours"][0], results["peer"][0], peer.label)
    seconds = {side: [statistics.median(each["seconds"]) for each in found] for side, found in results.items()}
    title, objective = f"{size.label}, {peer.label}", "BCE + ALM" if peer.ours else "BCE"
    tried, goal = ", ".join(map(str, peer.workers)), f"{name}_{theirs.model}"
    note = f"{theirs.workers} workers, the fastest of {tried}" if len(peer.workers) > 1 else ""
    report.add(
        row(f"{title}: epoch with validation", seconds["peer"], unit="s", note=note),
        row(f"{title}: epoch with validation, ours beside it ({objective})", seconds["ours"], unit="s"),
        row(
            f"{title} / ours: epoch with validation",
            ratios(seconds["peer"], seconds["ours"]),
            goal=goal if goal in GOALS and not options.quick else "",
        ),
        row(f"{title}: peak memory", peaks["peer"], unit="MiB"),
        row(f"{title}: peak memory, ours beside it", peaks["ours"], unit="MiB"),
        row(f"{title} / ours: peak memory", ratios(peaks["peer"], peaks["ours"])),
        row(f"{title}: lines of user code", [lines_of_code(HERE / f"{peer.loop}.py")], unit="lines"),
    )
    last = results["peer"][-1]
    report.facts["peers"][name] = {
        "label": peer.label,
        "workers": theirs.workers,
        "requirements": requirements(peer.environment).name,
        **{key: last[key] for key in ("versions", "trained", "validated", "auc")},
        "ours": {"objective": objective, **{key: results["ours"][-1][key] for key in ("trained", "validated", "auc")}},
    }


def result_of(finished: Finished) -> dict[str, Any]:
    """The JSON line among what a loop printed."""
    content: dict[str, Any] = json.loads(
        next(line for line in reversed(finished.output.splitlines()) if line.startswith("{"))
    )
    return content


def check_equal_work(ours: Mapping[str, Any], peer: Mapping[str, Any], label: str) -> None:
    """An epoch of both trains and validates on as many images; a last batch may be missing or full.

    Raises:
        RuntimeError: it does not.
    """
    if abs(ours["trained"] - peer["trained"]) > BATCH or ours["validated"] != peer["validated"]:
        raise RuntimeError(
            f"expected an epoch of {label} to see the images of ours, {ours['trained']} and {ours['validated']},"
            f" got {peer['trained']} and {peer['validated']}"
        )


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no comments, docstrings, blank lines, nor what ties the loop to this benchmark."""
    source = path.read_text(encoding="utf-8")
    module = ast.parse(source)
    left_out: set[int] = set()
    for node in ast.walk(module):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        tie = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmarks")
        start = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        if text or tie or start:
            assert isinstance(node, ast.stmt)
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in blank:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - left_out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
