"""Train the rows of a table file, on this machine or on SLURM; finished jobs are not repeated."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import Any

from ..config.command_line import print_version
from ..errors import UserError, message_of, one_line
from ..run.architectures import ONE_THREAD
from ..sweeping.arguments import OF_MAIN, parse
from ..sweeping.blocks import block_of
from ..sweeping.display import counted, failure_lines, status_lines
from ..sweeping.job_state import State
from ..sweeping.jobs import JobMaker
from ..sweeping.local import LocalRun
from ..sweeping.plan import Board, Sweep
from ..sweeping.rank_layout import RankLayout
from ..sweeping.slurm import Queue, layout_of, submit
from ..sweeping.table_file import Table, options_of, pairs, read_table, seeds_of
from ..system.installation import started, typed
from ..system.interruption import SIGNALS, Interruption
from ..system.resources import Shares, share_out

FIRST_WORDS = f"""\
No arguments. Try first:

    {typed("sweep")} configs/table/quick.yaml --dry_run      list the jobs, start none
    {typed("sweep")} configs/table/quick.yaml                run them on this machine
    {typed("sweep")} configs/table/quick.yaml --status       show their progress

All options             {typed("sweep")} --help"""


def main(argv: Sequence[str], *, command: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 success, 1 a job failed or could not start, 2 bad input, 128 + n stopped by signal n.

    Args:
        argv: the command line.
        command: what to start instead of the command that trains.
    """
    if not argv:
        print(FIRST_WORDS)
        return 0
    if "--version" in argv:
        print_version()
        return 0
    with Interruption((*SIGNALS, signal.SIGHUP), once=True) as interruption:
        try:
            return _main(parse(argv), command or started("train"))
        except BrokenPipeError:  # an OSError that is no bad input
            raise
        except (UserError, OSError) as error:
            print("error:", one_line(message_of(error)), file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("stopped; nothing is lost: the same command resumes the sweep", file=sys.stderr)
            return interruption.exit_code


def _main(asked: argparse.Namespace, command: Sequence[str]) -> int:
    table = _table(asked)
    threads = table.overrides.get("threads") or table.machine.get("threads") or None
    if asked.launcher == "slurm":
        shares = Shares(asked.jobs or 256, threads or 2, threads or 1)
    else:
        shares = share_out(asked.jobs, threads)
    maker = JobMaker(table, shares.threads, shares.small_threads, ONE_THREAD)
    sweep = Sweep(maker, block_of(table), only=asked.only, is_queued=Queue().number, committed=asked.committed)
    sweep.check()
    layout = layout_of(asked)
    sweep.check_ranks(layout)
    board = sweep.board(advance=False)
    if asked.dry_run or asked.status or asked.launcher == "print":
        return _show(board, asked, sweep, layout)
    wanted = (State.TODO, State.FAILED) if asked.retry else (State.TODO,)
    sweep.check_start(board, *wanted, shares=None if asked.launcher == "slurm" else shares)
    if asked.launcher == "slurm":
        print("\n".join(submit(sweep, asked, *wanted, cpus=shares.threads, command=command)))
        sweep.write_table()
        return _ended(sweep.board(advance=False), layout, missing_is_bad=False)
    retry = [job.key for job, _ in board.having(State.FAILED)] if asked.retry else ()
    board = LocalRun(sweep, shares, command=command, retry=retry).run()
    sweep.write_table()
    return _ended(board, layout, missing_is_bad=True)


def _table(asked: argparse.Namespace) -> Table:
    """The table with what the command line changes."""
    overrides = options_of(pairs(asked.set, "--set", "num_epochs=5"), "--set")
    machine: dict[str, Any] = {}
    for name, value in vars(asked).items():
        if name in OF_MAIN and value is not None:
            if name in overrides:
                raise UserError(f"{name} stands twice, as --{name} and in --set; remove one")
            machine |= options_of({name: value}, f"--{name}")
    seeds = seeds_of({"seeds": asked.seeds}, "--seeds")
    table = read_table(asked.table, overrides=overrides, machine=machine, forced_seeds=seeds)
    if asked.committed and table.block:
        raise UserError(f"--committed needs a plain table; the {table.block[0]} of {table.path} reads all results")
    if asked.committed and not asked.committed.is_dir():
        raise UserError(f"--committed must be a folder such as results/paper, got {asked.committed}")
    return table


def _show(board: Board, asked: argparse.Namespace, sweep: Sweep, layout: RankLayout) -> int:
    """Print the states or commands of the jobs; starts and writes nothing."""
    wanted = (State.TODO, State.FAILED) if asked.retry else (State.TODO,)
    if asked.status:
        print("\n".join([sweep.table.title, *status_lines(board)]))
        return _ended(board, layout, missing_is_bad=False)
    if asked.launcher == "print":
        for job, _ in board.having(*wanted):
            print(layout.typed(job.argv))
        for line in filter(None, (*board.notes, board.later)):
            print("note:", line, file=sys.stderr)
        return 0
    for job, found in board.entries:
        print(f"{found.state:7}  {layout.typed(job.argv)}")
    print(f"{len({job.row for job, _ in board.entries})} rows, {counted(board)}; nothing was started")
    return 0


def _ended(board: Board, layout: RankLayout, *, missing_is_bad: bool) -> int:
    failed = board.having(State.FAILED)
    missing = board.having(State.TODO) if missing_is_bad else []
    print(counted(board))
    for line in failure_lines(failed, layout):
        print(line)
    for job, _ in missing:
        print(f"not started: {job}{f', which continues {job.after}' if job.after else ''}")
    if failed:
        print("--retry failed starts them again; finished jobs are kept")
    return 1 if failed or missing else 0
