"""Copy the finished seeds of a sweep into results/, where they are committed and checked (``studies.verify``).

    python -m studies.collect checkpoint/cifar100_1_100 --commit "$(git rev-parse HEAD)" --out results/paper

A row becomes ``<out>/<table>/<row>/``: config.yaml without the paths of the machine, ``seed<k>/`` with its scores,
history and ``done``, and row.json with the numbers that follow from the scores; they must equal those of results.json.
Run it on the machine that trained. Seeds that are already there from another machine stay, and count.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from studies.scores_only import TPRS
from studies.verify import differences, recomputed, sha256
from utils.errors import UserError
from utils.run_files.config_yaml import read_config
from utils.run_files.done import read_done
from utils.run_files.history_jsonl import read_history
from utils.run_files.paths import SeedPaths
from utils.run_files.results_json import read_results
from utils.run_files.table_json import read_plan

SEED_FILES = ("validation.csv", "test.csv", "history.jsonl", "done")
OF_THE_MACHINE = ("data_root", "checkpoint_root", "seeds", "resume")  # options that differ between machines


def collect(run: Path, row: Path, *, name: str, commit: str) -> int:
    """Copy the finished seeds of ``run`` into ``row`` and write row.json; returns the number of seeds there.

    Raises:
        ValueError: the row that is there was trained with other options, data or class counts; or results.json of the
            run does not hold the numbers that its scores give.
    """
    config = portable(read_config(run / "config.yaml"))
    seeds = [path.parent for path in sorted(run.glob("seed*/done"))]
    stored = row / "row.json"
    origins: dict[str, Any] = {}
    if stored.exists():
        origins = json.loads(stored.read_text(encoding="utf-8"))["origins"]
        before = read_config(row / "config.yaml")
        if differing := [key for key in ("options", "class_counts", "data") if before[key] != config[key]]:
            raise ValueError(f"{row} was trained with other {', '.join(differing)}; it stays as it is")
    for seed in seeds:
        target = row / seed.name
        if (target / "done").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        for file in SEED_FILES:
            shutil.copyfile(seed / file, target / file)
        origins[seed.name.removeprefix("seed")] = {"commit": commit, "hardware": hardware(), **_machine(config)}
    if not origins:
        return 0
    (row / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, width=120), encoding="utf-8")
    numbers = sorted(map(int, origins))
    blocks = recomputed(row, numbers)
    _check_results(run, blocks["seeds"])
    ends = {seed: read_done(SeedPaths(row / f"seed{seed}")) for seed in numbers}
    content = {
        "name": name,
        "reported": None,  # the printed tables could not be had
        **blocks,
        "n": {part: _counts(config, part) for part in ("train", "validation", "test")},
        "epochs": {str(seed): ends[seed]["epochs"] for seed in numbers},
        "best_epoch": {str(seed): ends[seed]["best_epoch"] for seed in numbers},
        "hours": sum(_seconds(row / f"seed{seed}" / "history.jsonl") for seed in numbers) / 3600,
        "command": config["commands"][0],
        "origins": {str(seed): origins[str(seed)] for seed in numbers},
        "files": {
            str(path.relative_to(row)): sha256(path)
            for path in sorted(row.glob("**/*"))
            if path.is_file() and path != stored
        },
    }
    stored.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return len(numbers)


def portable(config: dict[str, Any]) -> dict[str, Any]:
    """config.yaml without what belongs to one machine: paths, and which seeds a command asked for."""
    options = {key: item for key, item in config["options"].items() if key not in OF_THE_MACHINE}
    commands = list(dict.fromkeys(_without_paths(command) for command in config["commands"]))
    data = {"source": Path(config["data"]["source"]).name, "checksum": config["data"]["checksum"]}
    return {**config, "commands": commands, "options": options, "data": data}


def _without_paths(command: str) -> str:
    words, kept = command.split(), []
    while words:
        word = words.pop(0)
        if word.removeprefix("--") in OF_THE_MACHINE:
            while words and not words[0].startswith("--"):
                words.pop(0)
        else:
            kept.append(word)
    return " ".join(kept)


def hardware() -> str:
    """Processor and number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        vectors = "AVX-512" if any("avx512f" in line for line in lines) else "no AVX-512"
        return f"{model}, {sum(line.startswith('processor') for line in lines)} cores, {vectors}"
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _check_results(run: Path, seeds: dict[str, Any]) -> None:
    """Hold the numbers that training wrote against those of the scores, two implementations of the same formulas."""
    written = read_results(run / "results.json")["seeds"]
    for seed, parts in seeds.items():
        for part, expected in parts.items() if seed in written else ():
            stored = _numbers(written[seed][part])
            for line in differences(stored, expected, at=f"seed {seed}, {part}"):
                raise ValueError(f"{run / 'results.json'}: {line}")


def _numbers(block: dict[str, Any], of: str = "") -> dict[str, Any]:
    """Those of a block of results.json that ``studies.verify`` computes, by its names."""
    found = {f"auc{of}": block["auc"]}
    if "critical" not in block:
        return found | {f"fpr_at_tpr_{tpr:g}{of}": block["fpr_at_tpr"][str(tpr)] for tpr in TPRS}
    found |= {name: block[name] for name in ("accuracy", "balanced_accuracy")}
    for name, own in block["critical"].items():
        found |= _numbers(own, f" of {name}")
    return found


def _machine(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("versions", "device", "threads")}


def _counts(config: dict[str, Any], part: str) -> dict[str, int]:
    return dict(config["class_counts"][part])


def _seconds(history: Path) -> float:
    return sum(float(record["seconds"]) for record in read_history(history))


def main(argv: Sequence[str]) -> int:
    """Collect every row of a sweep; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.collect", description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="the folder of a sweep, such as checkpoint/cifar100_1_100")
    parser.add_argument("--commit", required=True, help="the commit that trained these seeds")
    parser.add_argument("--out", type=Path, default=Path("results/paper"), help="where to (default: results/paper)")
    given = parser.parse_args(argv)
    try:
        rows = read_plan(given.sweep).rows
        if not rows:
            raise UserError(f"no rows in {given.sweep / 'table.json'}; expected the folder of a sweep")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row in rows:
        run = given.sweep / row.folder
        if not (run / "config.yaml").is_file():
            continue
        try:
            seeds = collect(run, given.out / given.sweep.name / row.folder, name=row.name, commit=given.commit)
        except (ValueError, UserError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"{row.name}: {seeds} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
