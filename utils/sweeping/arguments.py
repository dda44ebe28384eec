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
        description="Many runs of main.py: the rows of a table file, here or on SLURM; what is done is not done again.",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
    )
    add = result.add_argument
    add("table", type=Path, help="a file of configs/table/, or one of your own")
    add(
        "--launcher",
        choices=("local", "slurm", "print"),
        default="local",
        help="local: processes here; slurm: a job array; print: the missing commands, one a line (default: local)",
    )
    add("--jobs", type=_count, metavar="N", help="jobs at once (default: one a GPU, or else one a core; slurm: 256)")
    add(
        "--threads",
        type=_count,
        metavar="N",
        help="CPU threads of a job (default: cores / jobs, 1 for small models; slurm: 2). It changes rounding",
    )
    add("--dry_run", action="store_true", help="list the jobs with their states and commands, and start none")
    add("--status", action="store_true", help="say how far each row is, and start nothing")
    add("--only", default="", metavar="PATTERN", help="only rows whose name fits, such as '*+ALM'")
    add("--retry", choices=("failed",), help="start failed jobs again")
    add("--seeds", nargs="+", metavar="S", help="these seeds instead of the table's, such as 1-3")
    add(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="FLAG=VALUE",
        help="options of main.py that win over the table's",
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
        help="minutes a job, after which it is requeued and goes on (default: 240)",
    )
    group.add_argument("--mem_gb", type=_count, default=8, metavar="N", help="memory of a job in GiB (default: 8)")
    group.add_argument("--gpus", type=int, choices=range(9), default=0, metavar="N", help="GPUs of a job (default: 0)")
    group.add_argument(
        "--signal_s",
        type=_count,
        default=90,
        metavar="N",
        help="seconds before the end at which a job is requeued (default: 90)",
    )
    group.add_argument(
        "--slurm", action="extend", nargs="+", default=[], metavar="NAME=VALUE", help="other options of sbatch"
    )


def pairs(items: Sequence[str]) -> dict[str, str]:
    """The options of ``--slurm name=value``.

    Raises:
        UserError: it has no ``=``.
    """
    parts = [item.partition("=") for item in items]
    if not all(key and equals for key, equals, _ in parts):
        raise UserError(f"--slurm must be name=value, such as account=lab, got {' '.join(items)}")
    return {key: value for key, _, value in parts}
