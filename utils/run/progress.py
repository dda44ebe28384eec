"""What the terminal shows while a seed trains."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

PLAIN_LINES = 10  # about how many lines a seed prints without a terminal


class Progress:
    """A bar with epoch, AUC, violation and time left; plain lines without a terminal or where seeds share it."""

    def __init__(self, *, seed: int, first: int, total: int, shares_terminal: bool = False) -> None:
        self.seed, self.total, self.first = seed, total, first
        self.start = time.perf_counter()
        self.every = max(1, (total - first) // PLAIN_LINES)
        is_terminal = sys.stderr.isatty() and not shares_terminal
        form = "{desc} {bar:20} epoch {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"
        self.bar = (
            tqdm(
                total=total,
                initial=first,
                desc=f"seed {seed}",
                bar_format=form,
                file=sys.stderr,
                dynamic_ncols=True,
            )
            if is_terminal
            else None
        )

    def epoch(self, record: dict[str, Any], best_auc: float) -> None:
        """Show one more epoch."""
        done = record["epoch"] + 1
        shown = f"val AUC {record['val_auc']:.4f} (best {best_auc:.4f})  violation {record['constraint_violation']:.4f}"
        if self.bar is not None:
            self.bar.set_postfix_str(shown, refresh=False)
            self.bar.update(1)
        elif done % self.every == 0 or done == self.total or done == self.first + 1:
            each = (time.perf_counter() - self.start) / (done - self.first)
            left = _duration(each * (self.total - done))
            print(f"seed {self.seed}  epoch {done}/{self.total}  {shown}  {left} left", flush=True)

    def note(self, line: str) -> None:
        """Say something, above the bar."""
        if self.bar is not None:
            self.bar.clear()
        print(f"note: {line}", flush=True)

    def close(self) -> None:
        """Leave the bar on the screen as it is."""
        if self.bar is not None:
            self.bar.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
