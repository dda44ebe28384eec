"""The command line of sweep.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..errors import UserError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see python sweep.py --help)")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = _Parser(
        prog="sweep.py",
        description="Train the rows of a table file, on this machine or on SLURM. Finished jobs are not repeated.",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
    )
    add = result.add_argument
    add("table", type=Path, help="table file, such as one of configs/table/")
    add(
        "--launcher",
        choices=("local", "slurm", "print"),
        default="local",
        help="local: processes on this machine; slurm: a job array; print: print the missing commands (default: local)",
    )
    add("--jobs", type=_count, metavar="N", help="concurrent jobs (default: one per GPU, or one per core; slurm: 256)")
    add(
        "--threads",
        type=_count,
        metavar="N",
        help="CPU threads per job; affects rounding (default: cores / jobs, 1 for small models; slurm: 2)",
    )
    add("--dry_run", action="store_true", help="list the jobs with their states and commands, start none")
    add("--status", action="store_true", help="show the progress of each row, start nothing")
    add("--only", default="", metavar="PATTERN", help="only rows whose name matches, such as '*+ALM'")
    add("--retry", choices=("failed",), help="restart failed jobs")
    add(
        "--committed",
        type=Path,
        metavar="FOLDER",
        help="seeds whose results are in FOLDER/<table>/<row>/ count as done, such as results/paper",
    )
    add("--seeds", nargs="+", metavar="S", help="seeds to use instead of the table's, such as 1-3")
    add(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="FLAG=VALUE",
        help="options of main.py that override the table's",
    )
    _add_slurm(result.add_argument_group("slurm"))
    return result


def _add_slurm(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--partition", help="partition (default: SLURM's)")
    group.add_argument(
        "--time_min",
        type=_count,
        default=240,
        metavar="N",
        help="time limit in minutes, after which a job is requeued and resumes (default: 240)",
    )
    group.add_argument("--mem_gb", type=_count, default=8, metavar="N", help="memory per job in GiB (default: 8)")
    group.add_argument("--gpus", type=int, choices=range(9), default=0, metavar="N", help="GPUs per job (default: 0)")
    group.add_argument(
        "--signal_s",
        type=_count,
        default=90,
        metavar="N",
        help="seconds before the time limit at which a job is requeued (default: 90)",
    )
    group.add_argument(
        "--slurm", action="extend", nargs="+", default=[], metavar="NAME=VALUE", help="further options of sbatch"
    )


def pairs(items: Sequence[str]) -> dict[str, str]:
    """The options of ``--slurm name=value``.

    Raises:
        UserError: an item has no ``=``.
    """
    parts = [item.partition("=") for item in items]
    if not all(key and equals for key, equals, _ in parts):
        raise UserError(f"--slurm must be name=value, such as account=lab, got {' '.join(items)}")
    return {key: value for key, _, value in parts}
