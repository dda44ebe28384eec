"""The command line of sweep.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..config.command_line import Parser, path
from ..config.options import ALIASES, OPTIONS
from ..config.synonyms import FLAGS
from ..errors import UserError
from ..system.installation import called, typed

OF_SLURM = ("partition", "time_min", "mem_gb", "gpus", "nodes", "ranks", "signal_s", "slurm")
OF_MAIN = ("data_root", "device", "threads")  # options of main.py that are flags here too


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for."""
    understood = parser()
    asked, rest = understood.parse_known_args(argv)
    name = rest[0].removeprefix("--").partition("=")[0] if rest else ""
    if name in {**OPTIONS, **ALIASES}:
        raise UserError(
            f"--{name} is an option of {called('train')}; give it as --set {name}=VALUE (see {typed('sweep')} --help)"
        )
    if rest:
        meant = [f"--{option}" if option in (*OF_MAIN, "seeds") else f"--set {option}=VALUE" for option in _meant(name)]
        hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
        raise UserError(f"unrecognized arguments: {' '.join(rest)}{hint} (see {typed('sweep')} --help)")
    for option in OF_SLURM if asked.launcher != "slurm" else ():
        if getattr(asked, option) != understood.get_default(option):
            one_model = "; here: torchrun with one job's command" if option in ("nodes", "ranks") else ""
            raise UserError(f"--{option} needs --launcher slurm, got {asked.launcher}{one_model}")
    return asked


def _meant(name: str) -> tuple[str, ...]:
    """The options of main.py that another program calls ``name``."""
    return FLAGS.get(name.lower().replace("-", "_"), ())


def _count(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(
        prog=called("sweep"),
        description="Train the rows of a table file, on this machine or on SLURM. Finished jobs are not repeated.",
        epilog=f"example:\n  {typed('sweep')} configs/table/quick.yaml --dry_run\n\n"
        f"{typed('sweep')} --version prints the version.",
        allow_abbrev=False,
        repeated=("--set", "--slurm"),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=110),
    )
    add = result.add_argument
    add("table", type=path, help="table file, such as configs/table/quick.yaml")
    add(
        "--launcher",
        choices=("local", "slurm", "print"),
        default="local",
        help="local: processes on this machine; slurm: a job array; print: print the missing commands (default: local)",
    )
    add("--jobs", type=_count, metavar="N", help="concurrent jobs (default: one per GPU, or one per core; slurm: 256)")
    add("--threads", metavar="N", help="CPU threads per job; affects rounding (default: cores / jobs, 1 for small "
        "models; slurm: 2)")  # fmt: skip
    for name in ("data_root", "device"):
        add(f"--{name}", help=OPTIONS[name].metadata["help"])
    add("--dry_run", action="store_true", help="list the jobs with their states and commands, start none")
    add("--status", action="store_true", help="show the progress of each row, start nothing")
    add("--only", default="", metavar="PATTERN", help="only rows whose name matches, such as '*+ALM'")
    add("--retry", choices=("failed",), help="restart failed jobs")
    add("--committed", type=path, metavar="FOLDER", help="seeds whose results are in FOLDER/<table>/<row>/ count as "
        "done, such as results/paper")  # fmt: skip
    add("--seeds", nargs="+", metavar="S", help="seeds to use instead of the table's, such as 1-3")
    several = {"action": "extend", "nargs": "+", "default": []}
    add("--set", metavar="FLAG=VALUE", help=f"options of {called('train')} that override the table's", **several)  # type: ignore[arg-type]
    add = result.add_argument_group("slurm").add_argument
    add("--partition", help="partition (default: SLURM's)")
    add("--time_min", type=_count, default=240, metavar="N", help="time limit in minutes, after which a job is "
        "requeued and resumes (default: 240)")  # fmt: skip
    add("--mem_gb", type=_count, default=8, metavar="N", help="memory per job and node in GiB (default: 8)")
    add("--gpus", type=int, choices=range(17), default=0, metavar="N", help="GPUs per job and node; a job is one "
        "model, which several GPUs train together, each a part of every batch. Many seeds are faster with one GPU "
        "each: 1 (default: 0)")  # fmt: skip
    add("--nodes", type=_count, default=1, metavar="N", help="nodes per job, to train one model (default: 1)")
    add("--ranks", type=_count, metavar="N", help="processes per node that train one model together (default: one per "
        "GPU, one without)")  # fmt: skip
    add("--signal_s", type=_count, default=90, metavar="N", help="seconds before the time limit at which a job is "
        "requeued (default: 90)")  # fmt: skip
    add("--slurm", metavar="NAME=VALUE", help="further options of sbatch", **several)  # type: ignore[arg-type]
    return result
