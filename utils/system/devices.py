"""Where and in which arithmetic a run computes."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from dataclasses import dataclass

import torch

from ..errors import UserError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


@dataclass(frozen=True)
class Machine:
    """A device, the arithmetic of the model on it, and how a run shares it among its seeds.

    ``threads`` is the number of CPU threads of each seed, which changes rounding. ``captures`` says whether training
    steps are replayed from CUDA graphs.
    """

    device: torch.device
    precision: str
    threads: int
    captures: bool = False
    seeds_at_once: int = 1

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context of a forward pass: bfloat16 for matrix products and convolutions if asked for."""
        if self.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @property
    def name(self) -> str:
        """``cpu`` or the name of the GPU."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def set_up_machine(
    *, device: str, precision: str, threads: int, deterministic: bool, seeds: int = 1, seeds_at_once: int = 0
) -> Machine:
    """Choose the device and set torch's switches for it.

    Args:
        threads: CPU threads of each seed; 0 shares those that torch would take.
        seeds: how many seeds the run has.
        seeds_at_once: how many of them train at the same time; 0 chooses.

    Raises:
        UserError: there is no such device, or it cannot compute like that.
    """
    chosen = _choose(device)
    if precision == "tf32" and chosen.type != "cuda":
        raise UserError(f"precision tf32 needs a CUDA device, got device {chosen}; use fp32 or bf16")
    threads, seeds_at_once = shared_cores(
        torch.get_num_threads(), threads=threads, seeds=seeds, seeds_at_once=seeds_at_once, on_cpu=chosen.type == "cpu"
    )
    torch.set_num_threads(threads)
    if chosen.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = not deterministic
        torch.use_deterministic_algorithms(deterministic)
    return Machine(chosen, precision, threads, chosen.type == "cuda", seeds_at_once)


def shared_cores(cores: int, *, threads: int, seeds: int, seeds_at_once: int, on_cpu: bool) -> tuple[int, int]:
    """Threads of each seed, and how many seeds train at once; 0 means that it is to be chosen.

    Small batches gain little from a second thread, so on a CPU each core first gets a seed of its own. On a GPU the
    seeds follow each other unless told otherwise.

    >>> shared_cores(8, threads=0, seeds=3, seeds_at_once=0, on_cpu=True)
    (2, 3)
    """
    if not seeds_at_once:
        seeds_at_once = cores // max(threads, 1) if on_cpu else 1
    seeds_at_once = max(1, min(seeds_at_once, seeds))
    return threads or max(1, cores // seeds_at_once), seeds_at_once


def _choose(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    asked = re.fullmatch(r"cuda(?::([0-9]{1,9}))?", name)
    if not asked:
        raise UserError(f"device must be auto, cpu, cuda or cuda:N, got {name!r} (--device)")
    found = torch.cuda.device_count() if available else 0
    if int(asked[1] or 0) >= found:
        raise UserError(f"device {name} is not there: torch sees {found} CUDA devices; use --device cpu or auto")
    return torch.device(name)


def keep_freed_memory() -> None:
    """Tell glibc to reuse freed memory instead of giving it back: each step allocates the same blocks again.

    Called when the data are in place, so that what reading them took has been given back.

    Elsewhere than on Linux with glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 * 2**20)
