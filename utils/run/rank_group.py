"""The ranks that ``torchrun ... main.py`` starts: rank 0 does what one process does, the others compute along.

Rank 0 alone plans, prints, locks and writes. For each seed that it trains it sends the state to begin with; from there
all ranks take the same steps and the same decisions, of the same numbers.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from ..config.options import Config
from ..distributed.ranks import all_gathered, device_of_messages, rank_and_world
from ..errors import UserError
from ..system.devices import choose_device
from ..system.interruption import exit_code_of_signal
from ..system.torchrun import ANOTHER_ENDED, ranks_started
from ..training.state import TrainState

T = TypeVar("T")
PATIENCE = timedelta(days=1)  # for rank 0 while it evaluates; a rank that dies is known at once, and torchrun ends all
NO_SEED = -1


def device_of_rank(name: str) -> str:
    """The device of this rank, where ``name`` is asked for: of several ranks on GPUs each has one of its own."""
    if rank_and_world()[1] == 1 or choose_device(name).type != "cuda":
        return name
    return f"cuda:{torch.cuda.current_device()}"


def ranks_on_device(device: torch.device) -> int:
    """How many ranks share the memory of ``device``: on a CPU those of this host, on a GPU one."""
    return 1 if rank_and_world()[1] == 1 or device.type == "cuda" else int(os.environ["LOCAL_WORLD_SIZE"])


@contextlib.contextmanager
def rank_group(config: Config) -> Iterator[None]:
    """Be one of the ranks of torchrun, if it started several. Rank 0 alone prints; whichever is the first to know says
    that the run ends.

    Raises:
        UserError: the command is not one for several ranks; or there are more of them than GPUs.
    """
    if ranks_started() == 1:
        yield
        return
    on_gpu = choose_device(config.device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    store, rank, world = next(iter(rendezvous("env://")))  # of torchrun, so that it outlives the ranks
    backend = "nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)
    if rank:
        sys.stdout = io.TextIOWrapper(open(os.devnull, "wb"), encoding="utf-8")  # noqa: SIM115 (open until the end)
    try:
        together(lambda: _check(config))
        yield
        dist.destroy_process_group()
    except (UserError, OSError):
        _was_said(store)  # it will be
        raise
    except KeyboardInterrupt:
        if _was_said(store):
            sys.exit(exit_code_of_signal())
        raise
    except RuntimeError as error:
        if not _is_of_group(error):
            raise
        if not _was_said(store):
            print(
                f"error: {ANOTHER_ENDED}, and so does this one; the last completed epoch of each seed is kept: "
                "the same command with --resume 1 resumes from it",
                file=sys.stderr,
            )
        sys.exit(1)


def _was_said(store: Any) -> bool:
    """Whether another rank has said that this run ends, which is for the first to say that comes to know it."""
    with contextlib.suppress(RuntimeError):
        return bool(store.add("said", 1) > 1)
    return False


def _is_of_group(error: RuntimeError) -> bool:
    """Whether a message failed, as it does where a rank has ended. Of gloo only the text tells."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _check(config: Config) -> None:
    """Refuse what several ranks do not share.

    Raises:
        UserError: something is asked for that one process does.
    """
    world, local = rank_and_world()[1], int(os.environ["LOCAL_WORLD_SIZE"])
    if config.for_one_process:
        what = f"{config.for_one_process} is for one process, got {world} ranks of torchrun"
        raise UserError(f"{what}; start main.py without torchrun")
    if choose_device(config.device).type == "cuda" and local > torch.cuda.device_count():
        raise UserError(
            f"every rank needs a GPU of its own, got {local} ranks and {torch.cuda.device_count()} GPUs;"
            " use a smaller --nproc_per_node, or --device cpu"
        )


def together(call: Callable[[], T]) -> T:
    """``call()`` on every rank; if it fails on any, the first of those raises its error, and the others end silently.

    Raises:
        UserError, OSError: as ``call`` does.
    """
    rank, world = rank_and_world()
    if world == 1:
        return call()
    result, failure = None, None
    try:
        result = call()
    except (UserError, OSError) as error:
        failure = error
    failed = all_gathered(torch.tensor([failure is not None], device=device_of_messages())).flatten().tolist()
    if not any(failed):
        return result  # type: ignore[return-value]
    if failure and failed.index(True) == rank:
        raise failure
    with contextlib.suppress(RuntimeError):
        dist.barrier()  # until the one that reports has ended, as torchrun ends the others with the first
    raise SystemExit(2)


def agreed(value: float) -> float:
    """The largest of what the ranks give, on every rank."""
    if rank_and_world()[1] == 1:
        return value
    return float(all_gathered(torch.tensor([value], dtype=torch.float64, device=device_of_messages())).max())


def begin_seed(seed: int, state: TrainState) -> None:
    """On rank 0: have the other ranks train ``seed`` from ``state``."""
    if rank_and_world()[1] > 1:
        _sent_by_first({"seed": seed, "state": state.state_dict()})


def end_seeds() -> None:
    """On rank 0: there is no other seed to train."""
    if rank_and_world()[1] > 1:
        _sent_by_first({"seed": NO_SEED})


def next_seed() -> tuple[int, dict[str, Any]] | None:
    """On another rank: the next seed and the state to begin with, or None after the last one."""
    sent = _sent_by_first(None)
    return None if sent["seed"] == NO_SEED else (sent["seed"], sent["state"])


def _sent_by_first(content: dict[str, Any] | None) -> dict[str, Any]:
    """What rank 0 sends, on every rank; tensors, numbers and strings in plain containers."""
    buffer = io.BytesIO()
    if content is not None:
        torch.save(content, buffer)
    device = device_of_messages()
    size = torch.tensor([buffer.tell()], device=device)
    dist.broadcast(size, src=0)
    data = torch.empty(int(size), dtype=torch.uint8, device=device)
    if content is not None:
        data.copy_(torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8))
    dist.broadcast(data, src=0)
    sent: dict[str, Any] = torch.load(io.BytesIO(data.cpu().numpy().tobytes()), map_location="cpu", weights_only=True)
    return sent
