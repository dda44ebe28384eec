"""The device, precision and number of threads of a run."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from dataclasses import dataclass

import torch

from ..errors import UserError
from .resources import core_count, cuda_number

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


@dataclass(frozen=True)
class Machine:
    """The device, the precision of the model, and how the seeds of a run share the device.

    ``threads`` is the number of CPU threads per seed and rank; it affects rounding. ``captures`` says whether training
    steps are replayed from CUDA graphs. ``ranks`` processes train one model, each a part of every batch.
    """

    device: torch.device
    precision: str
    threads: int
    captures: bool = False
    seeds_at_once: int = 1
    ranks: int = 1

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context of a forward pass: with bf16, matrix products and convolutions run in bfloat16."""
        if self.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @property
    def name(self) -> str:
        """``cpu`` or the name of the GPU."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def set_up_machine(
    *,
    device: str,
    precision: str,
    threads: int,
    deterministic: bool,
    seeds: int = 1,
    seeds_at_once: int = 0,
    ranks: int = 1,
) -> Machine:
    """Choose the device and configure torch for it.

    Args:
        threads: CPU threads per seed; 0 divides torch's default among the seeds that train at once.
        seeds: number of seeds of the run.
        seeds_at_once: number of seeds that train at the same time; 0 chooses.
        ranks: number of processes that train one model; several train one seed at a time, on this one's device.

    Raises:
        UserError: the device does not exist, or does not support the precision.
    """
    chosen = choose_device(device)
    if precision == "tf32" and chosen.type != "cuda":
        raise UserError(f"precision tf32 needs a CUDA device, got device {chosen}; use fp32 or bf16")
    threads, seeds_at_once = shared_cores(
        min(torch.get_num_threads(), core_count()),  # torch does not know the limit of a container
        threads=threads,
        seeds=seeds,
        seeds_at_once=1 if ranks > 1 else seeds_at_once,
        on_cpu=chosen.type == "cpu",
    )
    torch.set_num_threads(threads)
    if chosen.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = not deterministic
        torch.use_deterministic_algorithms(deterministic)
    captures = chosen.type == "cuda" and ranks == 1
    return Machine(chosen, precision, threads, captures, seeds_at_once, ranks)


def shared_cores(cores: int, *, threads: int, seeds: int, seeds_at_once: int, on_cpu: bool) -> tuple[int, int]:
    """Threads per seed, and the number of seeds that train at once; an argument of 0 is chosen here.

    Small batches gain little from a second thread, so on a CPU each core trains a seed of its own. On a GPU the seeds
    train one after the other by default.

    >>> shared_cores(8, threads=0, seeds=3, seeds_at_once=0, on_cpu=True)
    (2, 3)
    """
    if not seeds_at_once:
        seeds_at_once = cores // max(threads, 1) if on_cpu else 1
    seeds_at_once = max(1, min(seeds_at_once, seeds))
    return threads or max(1, cores // seeds_at_once), seeds_at_once


def choose_device(name: str) -> torch.device:
    """The device of that name, if it is there."""
    number, available = cuda_number(name), torch.cuda.is_available()
    if number is None:
        return torch.device("cuda" if name == "auto" and available else "cpu")
    found = torch.cuda.device_count() if available else 0
    if number >= found:
        raise UserError(f"device {name} is not there: torch sees {found} CUDA devices; use --device cpu or auto")
    return torch.device(name)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory in the process: each step allocates the same blocks again.

    Call it after the data are loaded, so that the memory used for reading is returned to the system first. Does nothing
    without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 * 2**20)
