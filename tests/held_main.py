"""main.py that can be held, for tests that need a run to be under way whatever the speed of the machine.

HELD_MAIN names a file. While it is there and holds N, no seed begins an epoch before which it has trained N or more.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import main
from utils.run import seed_epochs
from utils.training import epoch as training
from utils.training.step import TrainingSteps

HELD = Path(os.environ["HELD_MAIN"])


def held_epoch(runner: TrainingSteps, **options: Any) -> Any:
    """An epoch, once it may begin."""
    while runner.state.epoch >= _may_be_trained():
        time.sleep(0.05)
    return training.train_epoch(runner, **options)


def _may_be_trained() -> float:
    with contextlib.suppress(FileNotFoundError):
        return float(HELD.read_text() or "0")
    return math.inf


if __name__ == "__main__":
    vars(seed_epochs)["train_epoch"] = held_epoch
    sys.exit(main.main(sys.argv[1:]))
