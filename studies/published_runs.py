"""Shared by the studies: reading the finished runs of a sweep, means and intervals, writing results."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring import commit, hardware, versions
from utils.errors import UserError
from utils.run_files.config_yaml import read_config
from utils.run_files.paths import RunPaths, SeedPaths, SweepPaths
from utils.run_files.results_json import read_results
from utils.run_files.table_json import read_plan

RESULTS = Path("studies/results")
QUICK_RESULTS = Path("checkpoint/studies")  # git-ignored
CONFIDENCE = 0.95


@dataclass(frozen=True)
class SeedRun:
    """One seed of one row of a sweep. ``options`` are texts; ``result`` is its block of results.json, if it is done."""

    row: str
    options: Mapping[str, str]
    seed: int
    paths: RunPaths
    result: Mapping[str, Any] | None

    @property
    def files(self) -> SeedPaths:
        """The files of this seed."""
        return self.paths.seed(self.seed)

    def auc(self, part: str) -> float:
        """AUC of ``validation`` or ``test`` at the best epoch; the seed must be done."""
        assert self.result is not None
        return float(self.result[part]["auc"])


def read_sweep(root: Path, table: str) -> list[SeedRun]:
    """All seeds of all rows of a sweep's table, finished or not.

    Raises:
        UserError: the sweep was not started, or a file of it is damaged.
    """
    path = SweepPaths(root, table).table
    if not path.is_file():
        raise UserError(f"no {path}: run first python sweep.py configs/table/{table}.yaml")
    return [
        SeedRun(row.name, row.options, seed, paths, found.get(str(seed)))
        for row in read_plan(path.parent).rows
        for paths in [RunPaths(root, table, row.folder)]
        for found in [_finished(paths)]
        for seed in row.seeds
    ]


def _finished(paths: RunPaths) -> dict[str, Any]:
    """The blocks of the finished seeds of a run."""
    if not paths.results.is_file():
        return {}
    blocks = read_results(paths.results)["seeds"]
    return {str(seed): blocks[str(seed)] for seed in paths.seeds_with("done") if str(seed) in blocks}


def provenance(runs: Sequence[SeedRun]) -> dict[str, Any]:
    """Data, class counts, versions and threads that the runs recorded: the distinct values of each."""
    found: dict[str, list[Any]] = {}
    for paths in dict.fromkeys(run.paths for run in runs if run.result is not None):
        content = read_config(paths.config)
        facts = {name: content[name] for name in ("versions", "device", "threads")}
        facts |= {"data": content["data"]["source"], "data_checksum": content["data"]["checksum"]}
        for name, value in {**facts, "class_counts": content["class_counts"]}.items():
            values = found.setdefault(name, [])
            if value not in values:
                values.append(value)
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a .jsonl file; none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line to it, which a killed study finds again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def mean_and_sd(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (n - 1; None for a single value), and n.

    >>> mean_and_sd([1.0, 3.0])
    {'mean': 2.0, 'sd': 1.4142135623730951, 'n': 2}
    """
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": sd, "n": len(values)}


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean by Student's t; None for a single value.

    >>> low, high = t_interval([1.0, 3.0])      # 2 -+ 12.706 * sqrt(2) / sqrt(2)
    >>> round(low, 3), round(high, 3)
    (-10.706, 14.706)
    """
    from scipy.stats import t

    if len(values) < 2:
        return None
    centre = statistics.fmean(values)
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return centre - half, centre + half


def fold_interval(values: Sequence[float], *, ratio: float) -> tuple[float, float] | None:
    """``t_interval`` of a mean difference over K folds, each tested once: their training sets overlap.

    The variance of the mean is (1/K + ratio) SD^2 instead of SD^2 / K; ``ratio`` is the number of test samples over
    that of training samples, 1/(K - 1) where a model is trained on the other folds of the subset that it is tested on.

    Reference: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52 (2003).

    >>> low, high = fold_interval([1.0, 3.0], ratio=1.0)    # 2 -+ 12.706 * sqrt(3/2) * sqrt(2)
    >>> round(low, 3), round(high, 3)
    (-20.008, 24.008)
    """
    ends, folds = t_interval(values), len(values)
    if ends is None:
        return None
    centre, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
    half *= math.sqrt(1 + folds * ratio)
    return centre - half, centre + half


def arguments(description: str, *, checkpoint: bool = True) -> argparse.ArgumentParser:
    """The flags that the studies share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    if checkpoint:
        parser.add_argument("--checkpoint_root", type=Path, default=Path("checkpoint"), help="folder of all runs")
    parser.add_argument(
        "--out", type=Path, default=None, help=f"folder of the results ({RESULTS}; with --quick {QUICK_RESULTS})"
    )
    return parser


def exit_code(main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """The exit code of ``main``; a ``UserError`` is printed as one line and gives 2."""
    try:
        return main(argv)
    except UserError as error:
        print("error:", error, file=sys.stderr)
        return 2


def record(name: str, argv: Sequence[str], *, quick: bool = False) -> dict[str, Any]:
    """Date, command, commit, hardware and versions."""
    return {
        "name": name,
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", f"studies.{name}", *argv]),
        "commit": commit(),
        "quick": quick,
        "hardware": hardware("cpu"),
        "versions": versions(),
    }


def write(content: Mapping[str, Any], text: str, out: Path | None) -> None:
    """``<name>.json`` with all numbers and ``<name>.md`` with the table; the table is printed too."""
    folder = out or (QUICK_RESULTS if content["quick"] else RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{content['hardware']['cpu']}, {content['hardware']['cores']} cores"
    head = f"`{content['command']}`, {content['date']}, commit {content['commit'] or 'unknown'}, {where}\n"
    (folder / f"{content['name']}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / f"{content['name']}.md").write_text(f"{head}\n{text}\n", encoding="utf-8")
    print(f"{text}\n-> {folder / content['name']}.json and .md")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    texts = ["| " + " | ".join(cells) + " |" for cells in lines]
    texts[1] = texts[1].replace(" ", "")
    return "\n".join(texts)


def protocol(differences: Sequence[str]) -> str:
    """What differs from the published protocol, as a list to stand below the numbers."""
    return "\n".join(["Differences from the published protocol:", "", *(f"- {each}" for each in differences)])


def shown(value: Mapping[str, Any], digits: int = 3) -> str:
    """``0.950 +- 0.010``, from ``mean_and_sd``."""
    sd = f" +- {value['sd']:.{digits}f}" if value.get("sd") is not None else ""
    return f"{value['mean']:.{digits}f}{sd}"
