"""Run the jobs of a sweep on SLURM: one job array for all that are missing, submitted with submitit.

A job that reaches its time limit or is preempted is requeued under the same number and resumes from its last completed
epoch. The sweep exits after submitting; ``--status`` shows the progress, and the same command submits what is missing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

from ..errors import UserError
from ..system.child_processes import Child, stop_all, was_killed
from ..system.files import make_folder, write_text
from ..system.installation import HOME, IN_TREE
from ..system.text_files import read_json
from .job_state import State, claimed, finished_epochs, look_inside, mark_failed
from .jobs import Job
from .plan import Sweep
from .rank_layout import RankLayout
from .table_file import pairs
from .worker import Worker, judged

ASK_SECONDS = 5.0  # between two calls of squeue
CLAIM_SECONDS = 60.0  # how long a requeued job waits for its previous attempt to release the claim
OTHERS_SECONDS = 30.0  # after which a node whose ranks have failed ends the whole job
MOST_STALLS = 3  # time limits in a row without a finished epoch
# SLURM sends its signals to every process of a job. SIGUSR1 and SIGUSR2 are for submitit, and after the SIGTERM that
# announces a preemption main.py goes on training until the task stops it.
FOR_THE_TASK = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


class Queue:
    """The jobs in SLURM's queue, refreshed at most every few seconds."""

    def __init__(self) -> None:
        self._known: frozenset[str] | None = None
        self._asked = -ASK_SECONDS

    def number(self, job: Job) -> str:
        """The number of a job that is waiting or running in SLURM, else ''."""
        try:
            number = str(read_json(job.queued)["slurm"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        if time.monotonic() - self._asked >= ASK_SECONDS:
            self._known, self._asked = _squeue(), time.monotonic()
        if self._known is None:
            return f"SLURM job {number}, says {job.queued}; squeue does not answer here"
        return f"SLURM job {number}" if number in self._known else ""


def _squeue() -> frozenset[str] | None:
    """The numbers of this user's unfinished jobs; None if squeue does not answer."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "-h", "-r", "-u", str(os.getuid()), "-o", "%i"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return frozenset(done.stdout.split()) if done.returncode == 0 else None


class Task:
    """What runs inside a SLURM job, once on each of its nodes: main.py as a child process that holds the job's claim.

    Of several ranks (``layout``) the child is torchrun. The first node's task claims the job and judges it; those of
    the others start their ranks and end with them.

    ``stalls`` is how many times in a row the time limit came before an epoch was completed.
    """

    def __init__(self, job: Job, command: Sequence[str], *, layout: RankLayout, stalls: int = 0) -> None:
        self.job = job
        self.command = tuple(command)
        self.layout = layout
        self.stalls = stalls
        self.child: Child | None = None
        self.first_epoch = 0

    def __call__(self) -> str:
        """Run the job; returns its final state."""
        if int(os.environ.get("SLURM_PROCID", 0)):
            return self._along()
        end = time.monotonic() + CLAIM_SECONDS
        while (claim := claimed(self.job)) is None:
            if time.monotonic() > end:
                return "another process works on it"
            time.sleep(0.5)
        if look_inside(self.job).state == State.DONE:
            claim.close()
            return State.DONE
        with suppress(OSError):
            self.job.files.failed.unlink(missing_ok=True)
        command = [*self.layout.launcher(os.environ), *self.command]
        worker = Worker(self.job, claim, command=command, ignored=FOR_THE_TASK)
        self.first_epoch = worker.first_epoch
        code = self._ended(worker)
        print("\n".join(worker.tail), flush=True)
        if was_killed(code) and code != -9:
            raise SystemExit(f"ended from outside with exit code {code}")
        return str(judged(self.job, code, worker.tail).state)

    def _along(self) -> str:
        """On another node than the first: run its ranks of the job.

        Raises:
            SystemExit: they ended with an error. The first node has some time to find that out, and to judge the job or
                to requeue it; then srun ends what is left, which is told to end all tasks with the first that fails.
        """
        if look_inside(self.job).state == State.DONE:
            return State.DONE
        launcher = self.layout.launcher(os.environ)
        code = self._ended(Child([*launcher, *self.command, *self.job.argv], ignored=FOR_THE_TASK))
        if code:
            time.sleep(OTHERS_SECONDS)
            raise SystemExit(f"the ranks of node {os.environ['SLURM_NODEID']} ended with exit code {code}")
        return "ended"

    def _ended(self, child: Child) -> int:
        """The exit code of ``child``, when it has ended."""
        self.child = child
        try:
            while (code := child.poll()) is None:
                time.sleep(0.1)
        finally:
            self._stop()
        return code

    def checkpoint(self) -> Any:
        """Called by submitit at the time limit or on preemption; returns what to requeue."""
        import submitit

        self._stop()
        stalls = self.stalls + 1 if finished_epochs(self.job) <= self.first_epoch else 0
        if stalls >= MOST_STALLS:
            message = f"SLURM ended it {stalls} times before an epoch was finished; give it more --time_min"
            mark_failed(self.job, message)
            raise UserError(message)
        return submitit.helpers.DelayedSubmission(Task(self.job, self.command, layout=self.layout, stalls=stalls))

    def _stop(self) -> None:
        if self.child is not None and self.child.process.returncode is None:
            stop_all([self.child])


def submit(sweep: Sweep, asked: Namespace, *wanted: State, cpus: int, command: Sequence[str]) -> list[str]:
    """Submit the jobs that are ``wanted``, with what the command line asks for; returns the lines to print.

    Args:
        cpus: of a rank.
    """
    layout = layout_of(asked)
    executor = _executor(sweep, asked, layout, cpus)
    board = sweep.board(advance=True)
    missing = [job for job, _ in board.having(*wanted)]
    ready = [job for job in missing if sweep.is_ready(job)]
    with ExitStack() as claims:
        mine = [job for job in ready if (claim := claimed(job)) and claims.enter_context(claim)]
        if not mine:
            return [*board.notes, "nothing to submit"]
        try:
            with executor.batch():
                submitted = [executor.submit(Task(job, command, layout=layout)) for job in mine]
        except (RuntimeError, subprocess.CalledProcessError, OSError) as error:  # submitit's are RuntimeErrors
            raise UserError(f"SLURM refuses: {' '.join(str(error).split())[:400]}") from None
        for job, handle in zip(mine, submitted, strict=True):
            write_text(job.queued, json.dumps({"slurm": handle.job_id, "time": time.strftime("%F %T")}) + "\n")
            with suppress(OSError):  # it waits now; else the same command would submit it a second time
                job.files.failed.unlink(missing_ok=True)
    number = str(submitted[0].job_id).split("_")[0]
    lines = [*board.notes, f"submitted {len(mine)} jobs to SLURM as {number}; scancel {number} takes them back"]
    blocked = len(missing) - len(ready)
    waiting = f"{blocked} jobs wait for the rows that they continue" if blocked else ""
    later = filter(None, [waiting, board.later])
    return [*lines, *(f"{line}: the same command submits them when it is time" for line in later)]


def layout_of(asked: Namespace) -> RankLayout:
    """The ranks of a job: one per GPU unless the command line says how many.

    Raises:
        UserError: there are not enough GPUs.
    """
    if asked.gpus and (asked.ranks or 0) > asked.gpus:
        raise UserError(
            f"--ranks must be at most --gpus, of which each rank needs one, got {asked.ranks} and {asked.gpus}"
        )
    return RankLayout(asked.ranks or max(1, asked.gpus), asked.nodes) if asked.launcher == "slurm" else RankLayout()


def _executor(sweep: Sweep, asked: Namespace, layout: RankLayout, cpus: int) -> Any:
    others = pairs(asked.slurm, "--slurm", "account=lab")
    if importlib.util.find_spec("submitit") is None:
        raise UserError("--launcher slurm needs submitit: pip install 'submitit>=1.5'")
    for program in ("sbatch", "srun", "squeue"):
        if shutil.which(program) is None:
            raise UserError(f"--launcher slurm needs {program}, which is not on this machine; see --launcher print")
    import submitit

    make_folder(sweep.paths.slurm)
    executor = submitit.SlurmExecutor(folder=sweep.paths.slurm.absolute(), max_num_timeout=10**6)  # see MOST_STALLS
    setup = [f"cd {shlex.quote(os.getcwd())}"]
    if IN_TREE:
        path = os.pathsep.join(filter(None, [str(HOME), os.environ.get("PYTHONPATH", "")]))
        setup.insert(0, f"export PYTHONPATH={shlex.quote(path)}")
    executor.update_parameters(
        job_name=sweep.table.name,
        time=asked.time_min,
        mem=f"{asked.mem_gb}G",
        nodes=layout.nodes,
        ntasks_per_node=1,
        cpus_per_task=cpus * layout.per_node,
        # from 22.05 on srun does not take the former from sbatch; the latter is for several nodes, see Task._along
        srun_args=[f"--cpus-per-task={cpus * layout.per_node}", "--kill-on-bad-exit=1"],
        array_parallelism=asked.jobs or 256,
        signal_delay_s=asked.signal_s,
        stderr_to_stdout=True,
        setup=setup,
        additional_parameters={"requeue": True, **others},
        **({"partition": asked.partition} if asked.partition else {}),
        **({"gpus_per_node": asked.gpus} if asked.gpus else {}),
    )
    return executor
