"""The Markdown tables made from the JSON files in results/: the goals in README.md, all rows in results/tables.md.

``python -m benchmarks.summary`` prints them; with --write it puts them into the two files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import BUSY_CORES, GOALS, Goal

BEGIN, END = "<!-- goals: begin -->", "<!-- goals: end -->"


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="holds README.md and results/")
    parser.add_argument("--write", action="store_true", help="replace the tables of both files")
    options = parser.parse_args(argv)
    page, results = options.folder / "README.md", options.folder / "results"
    files = latest(results)
    goals, rows = goals_table(files), "\n\n".join(rows_table(content) for content in files.values())
    if options.write:
        page.write_text(with_goals(page.read_text(encoding="utf-8"), goals), encoding="utf-8")
        (results / "tables.md").write_text(f"Written by `python -m benchmarks.summary --write`.\n\n{rows}\n", "utf-8")
    else:
        print(f"{goals}\n\n{rows}")
    return 0


def latest(folder: Path) -> dict[str, dict[str, Any]]:
    """The newest file of each measurement and device, without those of --quick."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*_????-??.json"), key=lambda path: (path.stem[-7:], path.stem)):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not content.get("quick"):
            found[path.stem[:-8]] = content | {"file": path.name}
    return dict(sorted(found.items()))


def goals_table(files: dict[str, dict[str, Any]]) -> str:
    """Each goal with its measurement."""
    lines = ["| measured | goal | median | |", "|---|---|---|---|"]
    for key, goal in GOALS.items():
        found = [(item, content) for content in files.values() for item in content["rows"] if item.get("goal") == key]
        cells = [
            f"{_value(item)} ({', '.join(filter(None, (item['note'], _device(content), content['date'][:7])))})"
            for item, content in found
        ]
        verdicts = [verdict(goal, item, content) for item, content in found]
        lines.append(f"| {goal.text} | {goal} | {'; '.join(cells) or 'not measured'} | {'; '.join(verdicts)} |")
    return "\n".join(lines)


def verdict(goal: Goal, item: dict[str, Any], content: dict[str, Any]) -> str:
    """``met`` or ``missed``, or why the number is too weak to say so."""
    if item["n"] < goal.pairs:
        return f"not judged: n below {goal.pairs}"
    if _others(content) > BUSY_CORES:
        return "not judged: the machine was not quiet"
    return "met" if goal.is_met(item["median"]) else "missed"


def _others(content: dict[str, Any]) -> float:
    """Cores used by other programs; 0 where the system did not say."""
    return float((content.get("quiet") or {}).get("cores_busy_with_others") or 0)


def rows_table(content: dict[str, Any]) -> str:
    """One file: where and how it was measured, and its rows."""
    hardware, versions, others = content["hardware"], content["versions"], _others(content)
    where = hardware.get("gpu") or f"{hardware['cpu']}, {hardware['cores']} cores"
    threads = f", {content['threads']} threads" if "threads" in content else ""
    busy = f"; {others:g} cores used by other programs" if others > BUSY_CORES else ""
    data = "; ".join(dict.fromkeys(content.get("data", {}).values()))
    head = [
        f"## {content['file']}",
        "",
        f"`{content['command']}`, {content['date']}, commit {content['commit'] or 'unknown'}, {where}{threads}, "
        f"Python {versions['python']}, torch {versions['torch']}{'; ' + data if data else ''}{busy}",
        "",
        "| measured | median | quartiles | n |",
        "|---|---|---|---|",
    ]
    return "\n".join(head + [_line(item) for item in content["rows"]])


def _line(item: dict[str, Any]) -> str:
    low, high = item["quartiles"]
    note = f" ({item['note']})" if item.get("note") else ""
    points = ", ".join(f"{size:g}: {seconds:.3g} s" for size, seconds in item.get("points", ()))
    what = item["what"] + note + (f" ({points})" if points else "")
    return f"| {what} | {_number(item['median'], item['unit'])} | {low:.4g}, {high:.4g} | {item['n']} |"


def _value(item: dict[str, Any]) -> str:
    low, high = item["quartiles"]
    return f"{_number(item['median'], item['unit'])} [{low:.4g}, {high:.4g}], n {item['n']}"


def _number(value: float, unit: str) -> str:
    return f"{value:.4g}" + (f" {unit}" if unit not in ("ratio", "slope", "") else "")


def _device(content: dict[str, Any]) -> str:
    hardware = content["hardware"]
    return str(hardware.get("gpu") or f"CPU, {hardware['cores']} cores")


def with_goals(page: str, table: str) -> str:
    """``page`` with ``table`` between its two marks.

    Raises:
        ValueError: it has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN} and {END} in the page, found none")
    return f"{before}{begin}\n{table}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
