"""What torchrun tells each of the processes that it starts."""

from __future__ import annotations

import os
import signal
import sys
import time

ANOTHER_ENDED = "another rank has ended"  # begins what the others say when one has
SECONDS = 60.0  # after which a rank says itself why it ends, as rank 0 does not


def ranks_started() -> int:
    """How many ranks there are; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def says_why_it_ends() -> bool:
    """Whether this process does; not another rank than 0 that has not met the others yet.

    torchrun then ends it since rank 0 has ended, or since it is told to end all: one of these two says why.
    """
    if ranks_started() == 1 or os.environ["RANK"] == "0":
        return True
    group = sys.modules.get("torch.distributed")  # which may be half imported
    return bool(getattr(group, "is_initialized", bool)())


def end_with_first_rank() -> None:
    """On another rank than 0: wait to be ended by torchrun, as it does when rank 0 has ended with an error.

    For an error that every rank finds by itself before they can talk to each other: rank 0 says it. Returns on rank 0,
    and where rank 0 goes on.
    """
    if ranks_started() > 1 and os.environ["RANK"] != "0":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECONDS)
