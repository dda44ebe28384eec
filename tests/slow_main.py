"""main.py with longer epochs and the same numbers, for tests that need a job to be under way."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import main
from utils.run import seed_epochs
from utils.training import epoch as training

SECONDS = 0.12


def slow(*arguments: Any, **options: Any) -> Any:
    """An epoch, after a rest."""
    time.sleep(SECONDS)
    return training.train_epoch(*arguments, **options)


if __name__ == "__main__":
    vars(seed_epochs)["train_epoch"] = slow
    sys.exit(main.main(sys.argv[1:]))
