"""What the terminal shows while a seed trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

PLAIN_LINES = 10  # about how many lines a seed prints without a terminal
FIRST_WAIT = 5.0  # seconds from the line of the first step to the next one; each further wait is twice as long
REFRESHED = 0.2  # seconds between two states of the bar within the first epoch


class Progress:
    """A bar with epoch, AUC, violation and time left; plain lines without a terminal or where seeds share it.

    Within the first epoch, steps and time left are shown.

    Args:
        seed: named in each line.
        first: epochs that were trained before.
        total: epochs to train, with those.
        shares_terminal: whether other seeds print at the same time.
        clock: seconds since any moment.
    """

    def __init__(
        self,
        *,
        seed: int,
        first: int,
        total: int,
        shares_terminal: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.seed, self.total, self.first, self.clock = seed, total, first, clock
        self.start = clock()
        self.next_line, self.wait, self.in_first_epoch = self.start, FIRST_WAIT, True
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

    def step(self, number: int, *, steps: int) -> None:
        """Show that ``number`` of an epoch's ``steps`` are taken; after the first epoch nothing."""
        now = self.clock()
        if not self.in_first_epoch or number == steps or now < self.next_line:
            return
        left = duration((now - self.start) / number * (steps * (self.total - self.first) - number))
        shown = f"step {number}/{steps}  {left} left"
        if self.bar is not None:
            self.next_line = now + REFRESHED
            self.bar.set_postfix_str(shown, refresh=True)
            return
        self.next_line, self.wait = now + self.wait, 2 * self.wait
        print(f"seed {self.seed}  epoch {self.first + 1}/{self.total}  {shown}", flush=True)

    def epoch(self, record: dict[str, Any], best: float, *, select: str = "auc") -> None:
        """Show one more epoch, with the validation number that chooses the best one and its value there."""
        done, self.in_first_epoch = record["epoch"] + 1, False
        name = select.replace("auc", "AUC").replace("_", " ")
        shown = f"val {name} {record[f'val_{select}']:.4f} (best {best:.4f})"
        shown += f"  violation {record['constraint_violation']:.4f}"
        if self.bar is not None:
            self.bar.set_postfix_str(shown, refresh=False)
            self.bar.update(1)
        elif done % self.every == 0 or done == self.total or done == self.first + 1:
            each = (self.clock() - self.start) / (done - self.first)
            left = duration(each * (self.total - done))
            print(f"seed {self.seed}  epoch {done}/{self.total}  {shown}  {left} left", flush=True)

    def note(self, line: str) -> None:
        """Say something, above the bar."""
        if self.bar is not None:
            self.bar.clear()
        print(f"note: {line}", flush=True)

    def evaluating(self) -> None:
        """Say that the training has ended and its best epoch is evaluated."""
        self.close()  # before the next line is printed
        print(f"seed {self.seed}  evaluating the best epoch", flush=True)

    def close(self) -> None:
        """Leave the bar on the screen as it is."""
        if self.bar is not None:
            self.bar.close()


def duration(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
