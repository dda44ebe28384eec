"""Several ranks for each job of a sweep: where they run, what starts them on a node of SLURM, and why they ended.

A node has one task of SLURM, in which torchrun starts its ranks; ``srun`` with a task a rank would be the other way.
torchrun is what main.py knows from the command line: its store outlives the ranks, and it ends all of them when one
ends. Its ranks see all GPUs of the node, as NCCL needs to copy between them. And submitit's handler of the time limit
is in one process of a node, above the ranks, which takes them all down before the job is requeued.

Several nodes meet by torchrun's static rendezvous: the ranks of node 0 are 0..W-1, so rank 0, which writes, runs beside
the task that holds the job's claim. A rendezvous of kind c10d numbers nodes as they come, and finds its host by
comparing names, which fails where a node has several.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..system.child_processes import how_it_ended
from ..system.installation import IN_TREE, PACKAGE, typed

FIRST_PORT, PORTS = 10_000, 20_000  # below those that Linux gives to connections
TO_TORCHRUN = "SIGINT"  # not SIGTERM, which announces a preemption: training goes on until the task stops it


@dataclass(frozen=True)
class RankLayout:
    """``per_node`` ranks on each of ``nodes`` nodes train one model together."""

    per_node: int = 1
    nodes: int = 1

    @property
    def ranks(self) -> int:
        """W."""
        return self.per_node * self.nodes

    def typed(self, argv: Sequence[str]) -> str:
        """What to type on each node for a training with these arguments.

        Of several nodes NODE_RANK says which this is, from 0, and FIRST_NODE the address of node 0.

        >>> RankLayout(4).typed(["--seeds", "1"])
        'torchrun --standalone --nproc_per_node 4 main.py --seeds 1'
        """
        command = typed("train", argv, anywhere=True)
        if self.ranks == 1:
            return command
        meeting = "--standalone"
        if self.nodes > 1:
            meeting = f'--nnodes {self.nodes} --node_rank "$NODE_RANK" --master_addr "$FIRST_NODE"'
        program = command.removeprefix("python ") if IN_TREE else f"--no_python {command}"
        return f"torchrun {meeting} --nproc_per_node {self.per_node} {program}"

    def launcher(self, environment: Mapping[str, str]) -> list[str]:
        """What starts this node's ranks, before the command of one; nothing for a single rank.

        Args:
            environment: of the task that SLURM has started on this node.
        """
        if self.ranks == 1:
            return []
        meeting = ["--standalone"]
        if self.nodes > 1:
            number = int(environment["SLURM_JOB_ID"])
            address = environment["SLURM_LAUNCH_NODE_IPADDR"]  # of the first node, where the batch script runs
            meeting = ["--nnodes", str(self.nodes), "--node_rank", environment["SLURM_NODEID"]]
            meeting += ["--master_addr", address, "--master_port", str(FIRST_PORT + number % PORTS)]
        safe_path = [] if IN_TREE else ["-P"]
        start = [sys.executable, *safe_path, "-m", f"{PACKAGE}.system.start_ranks"]
        return [
            *start,
            *meeting,
            "--nproc_per_node",
            str(self.per_node),
            "--signals-to-handle",
            TO_TORCHRUN,
            "--no_python",
        ]


def first_death(tail: Sequence[str]) -> str:
    """Of torchrun's report at the end of what was printed: which rank was killed and how; '' if none was.

    >>> first_death(["  rank      : 1 (local_rank: 1)", "  exitcode  : -9 (pid: 12)"])
    'rank 1: its process was ended by SIGKILL (out of memory?)'
    """
    found = re.findall(r"^ *rank *: (\d+) .*\n *exitcode *: (-?\d+) ", "\n".join(tail), flags=re.MULTILINE)
    # those with an exit code have said why, and torchrun ends others with SIGTERM
    killed = [f"rank {rank}: {how_it_ended(int(code))}" for rank, code in found if int(code) < 0 and code != "-15"]
    return killed[-1] if killed else ""  # the root cause stands at the end
