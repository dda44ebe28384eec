"""The cores, memory and GPUs of this machine, divided among jobs."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from ..errors import UserError
from .control_groups import cores_allowed
from .memory import memory_to_spare

GPU_NAME = re.compile(r"[0-9]+|(GPU|MIG)-[0-9A-Za-z/-]+")  # in CUDA_VISIBLE_DEVICES
SMI_SECONDS = 30
MEMORY_PER_JOB = 2 * 2**30  # bytes; a job of ResNet-10 on CIFAR takes 1.7 GB


@dataclass(frozen=True)
class Shares:
    """The number of concurrent jobs, the threads of each, and the GPUs they take in turn (none: torch chooses)."""

    jobs: int
    threads: int
    small_threads: int
    gpus: tuple[str, ...] = ()

    def environment(self, slot: int) -> dict[str, str]:
        """Environment variables for the job in a slot: its GPU."""
        return {"CUDA_VISIBLE_DEVICES": self.gpus[slot % len(self.gpus)]} if self.gpus else {}


def share_out(jobs: int | None, threads: int | None) -> Shares:
    """Divide the machine among ``jobs`` jobs.

    Args:
        jobs: None runs one job per GPU; without GPUs one per core, as far as memory allows.
        threads: CPU threads of a job; None divides the cores by the jobs and gives small models one thread.
    """
    cores, gpus = core_count(), visible_gpus()
    if jobs is None:
        jobs = len(gpus) or max(1, min(cores, memory_to_spare() // MEMORY_PER_JOB))
    each = max(1, cores // jobs)
    return Shares(jobs, threads or each, threads or (1 if jobs > 1 or not gpus else each), gpus)


def cuda_number(device: str) -> int | None:
    """The N of ``cuda:N``, 0 of ``cuda``; None of ``auto`` and ``cpu``.

    Raises:
        UserError: it is none of these.
    """
    asked = re.fullmatch(r"cuda(?::([0-9]{1,9}))?", device)
    if not asked and device not in ("auto", "cpu"):
        raise UserError(f"device must be auto, cpu, cuda or cuda:N, got {device!r} (--device)")
    return int(asked[1] or 0) if asked else None


def core_count() -> int:
    """The cores that this process may use: those of its affinity, at most what its control groups allow, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *cores_allowed()])))


def visible_gpus() -> tuple[str, ...]:
    """The GPUs in CUDA_VISIBLE_DEVICES if it is set, otherwise all that nvidia-smi lists.

    As for CUDA, the first entry that names no device (such as -1 or SLURM's NoDevFiles) hides itself and all behind it.

    Raises:
        UserError: nvidia-smi does not answer.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(itertools.takewhile(GPU_NAME.fullmatch, (item.strip() for item in visible.split(","))))
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"it gave no answer in {SMI_SECONDS} s" if isinstance(error, subprocess.TimeoutExpired) else error
        raise UserError(
            f"cannot ask nvidia-smi for the GPUs ({reason}); name them in CUDA_VISIBLE_DEVICES, such as 0,1, or set it"
            " to nothing to use none"
        ) from None
    return tuple(str(i) for i, line in enumerate(done.stdout.splitlines()) if line.startswith("GPU "))
