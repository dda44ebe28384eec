"""Check committed results: every number again from the scores alone, every file against its checksum.

    python -m studies.verify results/paper             exit code 0 if all hold, 1 with a line for each that does not
    python -m studies.verify results/paper --write     also write the table, README.md of that folder

Imports no torch. A row is a folder with ``row.json`` (see ``studies.collect``) and a folder for each finished seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from studies.class_scores_only import averaged_classes, class_numbers, has_classes, read_class_sample
from studies.scores_only import TPRS, averaged, numbers, over_seeds, read_sample

TOLERANCE = 1e-12  # absolute: sums in another order may differ in the last bits
PARTS = ("validation", "test")


def problems(row: Path) -> Iterator[str]:
    """What does not hold in the folder of a row, one line each."""
    content = json.loads((row / "row.json").read_text(encoding="utf-8"))
    recorded = content["files"]
    found = {str(path.relative_to(row)) for path in row.glob("**/*") if path.is_file()} - {"row.json"}
    for name in sorted(set(recorded) ^ found):
        yield f"{row / name}: {'missing' if name in recorded else 'not listed in row.json'}"
    for name in sorted(set(recorded) & found):
        if sha256(row / name) != recorded[name]:
            yield f"{row / name}: not the file that was recorded (SHA-256 differs)"
    if set(recorded) - found:
        return
    try:
        expected = recomputed(row, sorted(map(int, content["seeds"])))
    except (ValueError, KeyError, OSError) as error:
        yield f"{row}: cannot be recomputed: {error}"
        return
    for name in ("seeds", "over_seeds", "ensemble"):
        yield from (f"{row / 'row.json'}: {line}" for line in differences(content[name], expected[name], at=name))
    for seed in content["seeds"]:
        yield from training_problems(row / f"seed{seed}", content["seeds"][seed])


def recomputed(row: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """The blocks ``seeds``, ``over_seeds`` and ``ensemble`` of row.json from the score files."""
    files = {part: [row / f"seed{seed}" / f"{part}.csv" for seed in seeds] for part in PARTS}
    found = {part: _of_classes(paths) if has_classes(paths[0]) else _of_sides(paths) for part, paths in files.items()}
    blocks = {str(seed): {part: found[part][0][i] for part in PARTS} for i, seed in enumerate(seeds)}
    names = blocks[str(seeds[0])]["test"]
    return {
        "seeds": blocks,
        "over_seeds": {
            part: {name: over_seeds([block[part][name] for block in blocks.values()]) for name in names}
            for part in PARTS
        },
        "ensemble": {part: found[part][1] for part in PARTS},
    }


def _of_sides(paths: Sequence[Path]) -> tuple[list[dict[str, float]], dict[str, float]]:
    """The numbers of each seed and of the ensemble from their score files of one set."""
    samples = [read_sample(path) for path in paths]
    return [numbers(sample) for sample in samples], numbers(averaged(samples))


def _of_classes(paths: Sequence[Path]) -> tuple[list[dict[str, float]], dict[str, float]]:
    """The same of K classes."""
    samples = [read_class_sample(path) for path in paths]
    return [class_numbers(sample) for sample in samples], class_numbers(averaged_classes(samples))


def differences(stored: Any, expected: Any, *, at: str) -> Iterator[str]:
    """Where ``stored`` lacks an entry of ``expected`` or has another number there."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            if not isinstance(stored, dict) or key not in stored:
                yield f"{at}.{key} is missing"
            else:
                yield from differences(stored[key], value, at=f"{at}.{key}")
    elif isinstance(expected, list):
        if not isinstance(stored, list) or len(stored) != len(expected):
            yield f"{at} is {stored}, the scores give {expected}"
        else:
            for i, value in enumerate(expected):
                yield from differences(stored[i], value, at=f"{at}[{i}]")
    elif not _equal(stored, expected):
        yield f"{at} is {stored}, the scores give {expected}"


def _equal(stored: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(stored, (int, float)) and not isinstance(stored, bool):
        return math.isclose(stored, expected, rel_tol=0, abs_tol=TOLERANCE)
    return bool(stored == expected)


def training_problems(folder: Path, block: dict[str, Any]) -> Iterator[str]:
    """Whether history.jsonl, ``done`` and the block of a seed tell of the same training."""
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    history = [json.loads(line) for line in lines]
    done = json.loads((folder / "done").read_text(encoding="utf-8"))
    if done["epochs"] != len(history):
        yield f"{folder}: done counts {done['epochs']} epochs, history.jsonl {len(history)}"
        return
    aucs = [record["val_auc"] for record in history]
    name = selected_by(folder.parent) if "accuracy" in block["validation"] else "auc"
    values = [record[f"val_{name}"] for record in history]
    if values[done["best_epoch"]] != max(values):
        what = "AUC" if name == "auc" else name.replace("_", " ")
        yield f"{folder}: epoch {done['best_epoch']} has not the highest validation {what}"
    if not _equal(aucs[done["best_epoch"]], block["validation"]["auc"]):
        yield f"{folder}: the validation AUC of the best epoch is not that of validation.csv"
    for part in PARTS:
        if done["checksums"][f"{part}.csv"] != sha256(folder / f"{part}.csv"):
            yield f"{folder}: {part}.csv is not the file with which the seed was finished"


def selected_by(row: Path) -> str:
    """The number of the validation set by which a run of K classes chose its best epoch."""
    config = yaml.safe_load((row / "config.yaml").read_text(encoding="utf-8"))
    return str(config["options"]["select"]["value"])


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows_of(folder: Path) -> list[Path]:
    """The folders of rows below ``folder``, in order of their names."""
    return sorted(path.parent for path in folder.glob("*/*/row.json"))


def table(folder: Path) -> str:
    """The rows as Markdown: mean over the seeds with its SD, and the ensemble; FPR in %."""
    header = ["row", "reported", "seeds", "AUC", *(f"FPR at TPR {100 * tpr:g} %" for tpr in TPRS), "hours by the clock"]
    lines = [
        f"# {folder.name.capitalize()}: the rows that have been run",
        "",
        "Test set. Each cell: mean over the seeds +- SD (n - 1); then the ensemble (mean of the seeds' scores).",
        "Reported: none; the printed tables could not be had. Rows with fewer than 10 seeds are unfinished.",
        f"Check every number: `python -m studies.verify results/{folder.name}`. "
        "Commit, hardware, versions, command: row.json.",
        "Hours: the times of the epochs by the clock, summed over the seeds; other work on the machine lengthens them.",
    ]
    previous: tuple[Path, list[str]] | None = None
    for row in rows_of(folder):
        content = json.loads((row / "row.json").read_text(encoding="utf-8"))
        test, ensemble = content["over_seeds"]["test"], content["ensemble"]["test"]
        shown = [*header[:4], *map(_title, list(test)[1:]), header[-1]] if "accuracy" in test else header
        if (row.parent, shown) != previous:
            lines += ["", f"## {row.parent.name}"] if previous is None or previous[0] != row.parent else []
            lines += ["", _line(shown), _line(["---"] * len(shown))]
            previous = row.parent, shown
        cells = [
            _cell(test[name], ensemble[name], **({"scale": 1, "digits": 3} if name[:3] == "auc" else {}))
            for name in test
        ]
        reported = "none" if content["reported"] is None else str(content["reported"])
        lines.append(_line([content["name"], reported, str(len(content["seeds"])), *cells, f"{content['hours']:.1f}"]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _title(name: str) -> str:
    """Of a number of K classes.

    >>> _title("fpr_at_tpr_0.98 of cat"), _title("balanced_accuracy"), _title("auc of cat")
    ('FPR at TPR 98 % of cat', 'balanced accuracy', 'AUC of cat')
    """
    name, of, which = name.partition(" of ")
    if name.startswith("fpr_at_tpr_"):
        return f"FPR at TPR {100 * float(name.removeprefix('fpr_at_tpr_')):g} %{of}{which}"
    return f"{'AUC' if name == 'auc' else name.replace('_', ' ')}{of}{which}"


def _cell(over: dict[str, Any], ensemble: float, *, scale: float = 100, digits: int = 1) -> str:
    sd = f" +- {scale * over['sd']:.{digits}f}" if over["sd"] is not None else ""
    return f"{scale * over['mean']:.{digits}f}{sd}; {scale * ensemble:.{digits}f}"


def main(argv: Sequence[str]) -> int:
    """Check all rows below a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.verify", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder with <table>/<row>/row.json, such as results/paper")
    parser.add_argument("--write", action="store_true", help="write the table into README.md of the folder")
    given = parser.parse_args(argv)
    rows = rows_of(given.folder)
    if not rows:
        print(f"error: no <table>/<row>/row.json below {given.folder}", file=sys.stderr)
        return 2
    found = [line for row in rows for line in problems(row)]
    page = given.folder / "README.md"
    if given.write and not found:
        page.write_text(table(given.folder), encoding="utf-8")
    elif not found and (not page.exists() or page.read_text(encoding="utf-8") != table(given.folder)):
        found.append(f"{page}: not the table of these rows; write it with --write")
    for line in found:
        print(line)
    seeds = sum(1 for row in rows for _ in row.glob("seed*"))
    print(f"{len(rows)} rows, {seeds} seeds: {f'{len(found)} problems' if found else 'all numbers hold'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
