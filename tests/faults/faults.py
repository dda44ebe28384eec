"""Runs of main.py that are killed, starved, cut off and damaged, then resumed and compared with undisturbed ones.

    python tests/faults/faults.py --kills 2000 --seed 1 --processes 2 --out faults.json

Prints a table; the exit code is 1 if anything was lost or mixed up. What went wrong is kept in ``--folder``.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cases import CASES, full_disk_is_mounted
from children import fresh, warm_up
from combinations import CLASS_COUNT, COUNT, FACTORS
from killing import Killing, configurations
from phases import PHASES

LEAST_SHARE = 0.05  # of the kills, in every phase
KILLS_A_CASE = 100  # every case is tried once for so many kills
KILLS_A_START = 100  # and so often is a program killed that was started afresh
KILLS_A_CONFIGURATION = 25
CONFIGURATIONS = 80  # at most


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Kill runs, resume them, compare every byte.", allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=2000, help="how many kills, at least")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn")
    parser.add_argument("--processes", type=int, default=2, help="how many at once")
    parser.add_argument("--out", type=Path, help="a JSON file with all numbers")
    parser.add_argument("--minutes", type=float, help="kill no longer than this, even if it is less often")
    parser.add_argument("--kills_only", action="store_true", help="no other faults")
    parser.add_argument("--only", metavar="WORD", help="no kills, only the other faults whose name holds WORD")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary one, removed if all is well)")
    return parser.parse_args(argv)


def work(number: int, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The share of one process."""
    share = -(-asked.kills // asked.processes)
    count = min(CONFIGURATIONS, max(2 * asked.processes, asked.kills // KILLS_A_CONFIGURATION))
    options = configurations(random.Random(asked.seed), count)[number :: asked.processes]
    killing = Killing(folder / "kills", seed=asked.seed * 1000 + number, options=options)
    rounds = max(1, asked.kills // KILLS_A_CASE)
    names = [name for name in CASES if not asked.kills_only and (not asked.only or asked.only in name)]
    all_cases = [(name, repeat) for repeat in range(rounds) for name in names]
    cases: dict[str, dict[str, Any]] = {}
    for name, repeat in all_cases[number :: asked.processes]:
        found = tried(name, random.Random(f"{asked.seed} {name} {repeat}"), folder / "cases" / name.replace(" ", "_"))
        one = cases.setdefault(name, {"tried": 0, "wrong": []})
        one["tried"] += 1
        one["wrong"] += found
    if not asked.only:
        starts = range(number, max(1, asked.kills // KILLS_A_START), asked.processes)
        killing.afresh(len(starts), loading=asked.loading)
        each = -(-int(asked.kills * LEAST_SHARE) // asked.processes)
        killing.until(share, each=each, seconds=60 * asked.minutes if asked.minutes else math.inf)
    tally = killing.tally
    return {
        "kills": dict(tally.kills),
        "afresh": dict(tally.afresh),
        "runs": tally.runs,
        "configurations": [" ".join(each) for each in options],
        "mismatches": tally.mismatches,
        "cases": cases,
    }


def tried(name: str, stream: random.Random, folder: Path) -> list[str]:
    """What was wrong in one trial of a case; its folder is kept then."""
    try:
        found = CASES[name](fresh(folder), stream)
    except Exception:
        found = [traceback.format_exc()]
    if found:
        kept = folder.with_name(f"{folder.name}_wrong")
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
    return found


def in_processes(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """``work`` in forks of this process; what they return."""
    children = {}
    for number in range(asked.processes):
        child = os.fork()
        if not child:
            code = 1
            try:
                own = fresh(folder / f"process{number}")
                (folder / f"{number}.json").write_text(json.dumps(work(number, asked, own)))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children[child] = number
    failed = [number for child, number in children.items() if os.waitpid(child, 0)[1]]
    if failed:
        raise SystemExit(f"processes {failed} failed; what they left is in {folder}")
    return [json.loads((folder / f"{number}.json").read_text()) for number in children.values()]


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of all processes together."""
    cases: dict[str, dict[str, Any]] = {name: {"tried": 0, "wrong": []} for name in CASES}
    for part in parts:
        for name, one in part["cases"].items():
            cases[name]["tried"] += one["tried"]
            cases[name]["wrong"] += one["wrong"]
    kills: Counter[str] = sum((Counter(part["kills"]) for part in parts), Counter())
    afresh: Counter[str] = sum((Counter(part["afresh"]) for part in parts), Counter())
    return {
        "kills": {phase: kills[phase] for phase in PHASES},
        "kills of programs started afresh": {name: afresh[name] for name in ("import", "running")},
        "total": kills.total() + afresh.total(),
        "runs": sum(part["runs"] for part in parts),
        "configurations": [each for part in parts for each in part["configurations"]],
        "mismatches": [item for part in parts for item in part["mismatches"]],
        "cases": cases,
    }


def table(report: dict[str, Any]) -> str:
    """The numbers as text."""
    lines = [
        f"{report['total']} kills of {report['runs']} runs, {len(report['mismatches'])} not as undisturbed",
        f"{len(report['configurations'])} configurations, drawn from {COUNT} combinations of {', '.join(FACTORS)},"
        f" and of K classes from {CLASS_COUNT}",
    ]
    lines += [f"  {name:<28}{count:>6}" for name, count in report["kills"].items()]
    lines += [f"  {'started afresh, ' + name:<28}{count:>6}" for name, count in report[AFRESH].items()]
    lines.append(f"{'other faults':<30}{'tried':>6}  wrong")
    lines += [f"  {name:<28}{one['tried']:>6}  {len(one['wrong'])}" for name, one in report["cases"].items()]
    if not report["disk mounted"]:
        lines.append("full disk: no disk may be mounted here; see 'limit of file size' and 'failing write' instead")
    wrong = [*report["mismatches"], *(f"{name}: {w}" for name, one in report["cases"].items() for w in one["wrong"])]
    return "\n".join([*lines, *wrong])


AFRESH = "kills of programs started afresh"


def main(argv: Sequence[str]) -> int:
    """Returns the exit code: 0 all is as it was, 1 something differs."""
    asked = parsed(argv)
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every purge
    folder = fresh(asked.folder) if asked.folder else Path(tempfile.mkdtemp(prefix="faults"))
    begin = time.monotonic()
    warm_up(["--seeds", "1"])
    asked.loading = time.process_time()
    report = merged(in_processes(asked, folder))
    report |= {"disk mounted": full_disk_is_mounted(fresh(folder / "disk")), "seed": asked.seed}
    report["seconds"] = round(time.monotonic() - begin, 1)
    print(table(report))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")
    wrong = bool(report["mismatches"]) or any(one["wrong"] for one in report["cases"].values())
    print(f"{report['seconds']} s; " + (f"what went wrong is in {folder}" if wrong else "nothing was lost"))
    if not wrong and not asked.folder:
        shutil.rmtree(folder)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
