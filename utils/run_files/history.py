"""What is written and shown while a seed trains: history.jsonl, TensorBoard events, a progress bar."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..config.options import OPTIONS
from ..errors import UserError
from ..system.files import write_text
from ..system.text_files import UnreadableError, parse_json, read_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor
    from torch.utils.tensorboard import SummaryWriter

    from ..metrics.scores import Scores

HYPER_PARAMETERS = [
    name
    for name, item in OPTIONS.items()
    if item.metadata["group"] in ("data", "model", "objective", "constraint", "optimisation")
    and name not in ("data_root", "download")
]
HISTORY_BYTES = 2**26  # 150,000 epochs
PLAIN_LINES = 10  # at most about so many lines a seed where there is no terminal


class History:
    """history.jsonl: one JSON record an epoch. NaN is written as null.

    Args:
        path: the file.
        keep: epochs before this one are kept from an earlier run; later records are cut off.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self.path = path
        lines = [line for line in read_history(path) if line["epoch"] < keep] if keep else []
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))

    def append(self, record: dict[str, Any]) -> None:
        """Add one line, and let it reach the disk: last.pt, which is written next, counts on it."""
        clean = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        try:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(clean) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records; a last line that a kill cut short is left out.

    Raises:
        UserError: the file is too large, or a line of JSON is no record.
    """
    if not path.is_file():
        return []
    records = []
    try:
        for line in read_lines(path, limit_bytes=HISTORY_BYTES):
            try:
                record = parse_json(line)
            except UnreadableError:
                break
            if not isinstance(record, dict) or not isinstance(record.get("epoch"), int):
                raise UnreadableError("a line is no record of an epoch")
            records.append(record)
    except (OSError, UnreadableError) as error:
        raise UserError(f"cannot read {path}: {error}; remove it to go on without it") from None
    return records


class Events:
    """TensorBoard events of one seed.

    Args:
        folder: where the event file goes; ``tensorboard --logdir checkpoint`` shows each run under its path.
        purge_step: the epoch to begin with; what an earlier process wrote from there on is void.
    """

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        self.folder, self.first = folder, purge_step
        self._configuration = ""

    @functools.cached_property
    def writer(self) -> SummaryWriter:
        """The event file, begun when there is something to write: loading TensorBoard is no part of the first step."""
        from torch.utils.tensorboard import SummaryWriter

        # readers take the files in the order of their names, which tell apart no less than a second
        while list(self.folder.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
            time.sleep(0.05)
        _silence_writing_threads()
        writer: SummaryWriter = SummaryWriter(str(self.folder), purge_step=self.first)
        writer.add_text("configuration", "    " + self._configuration.replace("\n", "\n    "), self.first)
        return writer

    def epoch(self, record: dict[str, Any], multipliers: Tensor | None) -> None:
        """Losses, AUCs, learning rate, violation, mu and the multipliers of one epoch."""
        scalars = {
            "loss/train": record["train_loss"],
            "loss/validation": record["val_loss"],
            "AUC/train": record["train_auc"],
            "AUC/validation": record["val_auc"],
            "optimisation/learning_rate": record["lr"],
            "constraint/violation": record["constraint_violation"],
        }
        if multipliers is not None:
            scalars["constraint/mu"] = record["mu"]
            scalars["constraint/penalty"] = record["train_penalty"]
            self.writer.add_histogram("constraint/multipliers", multipliers, record["epoch"])
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, record["epoch"])
        self.writer.flush()

    def configuration(self, text: str) -> None:
        """config.yaml as it stands in the run's folder; it goes to the head of the file."""
        self._configuration = text

    def final(
        self, *, test: Scores, figure: Figure, config: dict[str, Any], result: dict[str, Any], epochs: int
    ) -> None:
        """ROC and PR curve of the test set, and the options beside the final metrics.

        Their step is the number of finished ``epochs``, so that further epochs make them void.
        """
        from torch.utils.tensorboard.summary import hparams

        self.writer.add_figure("ROC/test", figure, epochs)
        self.writer.add_pr_curve("PR/test", test.label, _in_unit_interval(test.score), epochs)
        chosen = {key: config[key] for key in HYPER_PARAMETERS if isinstance(config[key], (int, float, str))}
        final = {"final/test_AUC": result["test"]["auc"], "final/validation_AUC": result["validation"]["auc"]}
        final |= {f"final/test_FPR_at_TPR_{tpr}": fpr for tpr, fpr in result["test"]["fpr_at_tpr"].items()}
        for summary in hparams(chosen, final):
            self.writer._get_file_writer().add_summary(summary, epochs)
        for name, value in final.items():
            self.writer.add_scalar(name, value, epochs)

    def close(self) -> None:
        """Write what is left."""
        if "writer" in vars(self):
            self.writer.close()

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError) if value else contextlib.nullcontext():  # what failed first is told
            self.close()


def _in_unit_interval(scores: Any) -> Any:
    """Ranks scaled to [0, 1]: TensorBoard's PR curve wants probabilities and depends on the order alone."""
    order = scores.argsort(kind="stable").argsort(kind="stable")
    return order / max(len(scores) - 1, 1)


def _silence_writing_threads() -> None:
    """Print no traceback when TensorBoard's thread cannot write: the next call of the writer raises the same error."""
    report = threading.excepthook

    def excepthook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            report(arguments)

    threading.excepthook = excepthook


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
