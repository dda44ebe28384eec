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
from dataclasses import dataclass
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
OURS = Peer("ours", "ours", "")
QUICK = (256, 100)  # images


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
            tried = {}
            for workers in peer.workers[:1] if options.quick else peer.workers:
                result, _ = timed(peer, python, options, model, part, workers=workers, epochs=1)
                tried[workers] = statistics.median(result["seconds"])
            goal = "" if options.quick else f"{name}_{model}"
            pairs(report, options, name, model, python, whole, workers=fastest(tried), goal=goal)
            report.facts["peers"][name]["seconds_by_workers"] = tried


def fastest(seconds: Mapping[int, float]) -> int:
    """The number of workers with the least seconds, the smaller one of equals."""
    return min(seconds, key=lambda workers: (seconds[workers], workers))


def pairs(
    report: Report, options: Namespace, name: str, model: str, python: Path, data: Path, *, workers: int, goal: str
) -> None:
    """Ours and the peer in turn; the rows of both."""
    peer, size = PEERS[name], SIZES[model]
    results: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    peaks: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(1 if options.quick else options.repeats):
        for side in results:
            common = {"options": options, "model": model, "data": data, "epochs": 1 if options.quick else size.epochs}
            if side == "ours":
                result, peak = timed(OURS, Path(sys.executable), variant=peer.ours, **common)
            else:
                result, peak = timed(peer, python, workers=workers, **common)
            results[side].append(result)
            peaks[side].append(peak)
    check_equal_work(results["ours"][0], results["peer"][0], peer.label)
    seconds = {side: [statistics.median(each["seconds"]) for each in found] for side, found in results.items()}
    title, objective = f"{size.label}, {peer.label}", "BCE + ALM" if peer.ours else "BCE"
    note = f"{workers} workers, the fastest of {', '.join(map(str, peer.workers))}" if len(peer.workers) > 1 else ""
    report.add(
        row(f"{title}: epoch with validation", seconds["peer"], unit="s", note=note),
        row(f"{title}: epoch with validation, ours beside it ({objective})", seconds["ours"], unit="s"),
        row(
            f"{title} / ours: epoch with validation",
            ratios(seconds["peer"], seconds["ours"]),
            goal=goal if goal in GOALS else "",
        ),
        row(f"{title}: peak memory", peaks["peer"], unit="MiB"),
        row(f"{title}: peak memory, ours beside it", peaks["ours"], unit="MiB"),
        row(f"{title} / ours: peak memory", ratios(peaks["peer"], peaks["ours"])),
        row(f"{title}: lines of user code", [lines_of_code(HERE / f"{peer.loop}.py")], unit="lines"),
    )
    last = results["peer"][-1]
    report.facts["peers"][name] = {
        "label": peer.label,
        "workers": workers,
        "requirements": requirements(peer.environment).name,
        **{key: last[key] for key in ("versions", "trained", "validated", "auc")},
        "ours": {"objective": objective, **{key: results["ours"][-1][key] for key in ("trained", "validated", "auc")}},
    }


def timed(
    peer: Peer,
    python: Path,
    options: Namespace,
    model: str,
    data: Path,
    *,
    epochs: int,
    workers: int = 0,
    variant: str | None = None,
) -> tuple[dict[str, Any], float]:
    """One process of a loop: the line that it prints, and its peak memory in MiB."""
    words = [str(python), "-m", f"benchmarks.peers.{peer.loop}", "--data", str(data), "--model", model]
    words += ["--threads", str(options.threads), "--workers", str(workers), "--epochs", str(epochs)]
    finished = run([*words, "--variant", peer.variant if variant is None else variant])
    return result_of(finished), finished.peak_mib


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
