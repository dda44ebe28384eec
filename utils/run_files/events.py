"""TensorBoard events of one seed; only TensorBoard reads them."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.options import OPTIONS
from ..metrics import SELECTIONS
from ..metrics.scores import ClassScores, Scores
from .roc_png import pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor
    from torch.utils.tensorboard import SummaryWriter


HYPER_PARAMETERS = [
    name
    for name, item in OPTIONS.items()
    if item.metadata["group"] in ("data", "classes", "model", "objective", "constraint", "optimisation")
    and name not in ("data_root", "download")
]
EVENT_FILE = re.compile(r"events\.out\.tfevents\.([0-9]+)\.(.+)")  # seconds since 1970; host, process, number


class Events:
    """TensorBoard events of one seed.

    Args:
        folder: where the event file goes; ``tensorboard --logdir checkpoint`` shows each run under its path.
        purge_step: the first epoch; TensorBoard discards what an earlier process wrote from there on.
    """

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        self.folder, self.first = folder, purge_step
        self._configuration = ""

    @functools.cached_property
    def writer(self) -> SummaryWriter:
        """The event file, created at the first write, so that training starts before TensorBoard is imported."""
        from torch.utils.tensorboard import SummaryWriter

        self._make_first()
        _silence_writing_threads()
        writer: SummaryWriter = SummaryWriter(str(self.folder), purge_step=self.first)
        writer.add_text("configuration", "    " + self._configuration.replace("\n", "\n    "), self.first)
        return writer

    def _make_first(self) -> None:
        """Let the files of earlier processes come before a new one.

        Readers sort the files by name, which begins with the seconds since 1970. On a clock that is behind, or within
        the same second, the new file would come first, and its epochs would be discarded.
        """
        before, renamed = int(time.time()), []
        for path in sorted(self.folder.glob("events.out.tfevents.*"), reverse=True):
            found = EVENT_FILE.fullmatch(path.name)
            if found:
                before = min(int(found[1]), before - 1)
                renamed.append((path, path.with_name(f"events.out.tfevents.{before:010d}.{found[2]}")))
        for path, name in reversed(renamed):  # the oldest first: the order holds at every moment
            if name != path:
                path.rename(name)

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
        for name in SELECTIONS[1:]:  # of K classes
            if (value := record.get(f"val_{name}")) is not None:
                scalars[f"classes/validation_{name}"] = value
        if multipliers is not None:
            scalars["constraint/mu"] = record["mu"]
            scalars["constraint/penalty"] = record["train_penalty"]
            self.writer.add_histogram("constraint/multipliers", multipliers, record["epoch"])
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, record["epoch"])
        self.writer.flush()

    def configuration(self, text: str) -> None:
        """The text of config.yaml, written at the start of the file."""
        self._configuration = text

    def final(
        self,
        *,
        test: Scores | ClassScores,
        figures: Mapping[str, Figure],
        config: dict[str, Any],
        result: dict[str, Any],
        epochs: int,
    ) -> None:
        """The pictures and PR curves of the test set, and the options with the final metrics.

        Their step is the number of finished ``epochs``, so that resuming for more epochs discards them.
        """
        from torch.utils.tensorboard.summary import hparams

        of_classes = isinstance(test, ClassScores)
        views = test.views if isinstance(test, ClassScores) else {"test": test}
        blocks = result["test"]["critical"] if of_classes else {"test": result["test"]}
        for name, figure in figures.items():
            tag = f"{name.removesuffix('.png').replace('roc', 'ROC')}/test"
            self.writer.add_image(tag, pixels(figure), epochs, dataformats="HWC")  # add_figure loads pyplot
        for name, view in views.items():
            self.writer.add_pr_curve(f"PR/{name}", view.label, _in_unit_interval(view.score), epochs)
        chosen = {key: config[key] for key in HYPER_PARAMETERS if isinstance(config[key], (int, float, str))}
        final = {"final/test_AUC": result["test"]["auc"], "final/validation_AUC": result["validation"]["auc"]}
        for name, block in blocks.items():
            final |= {f"final/{name}_FPR_at_TPR_{tpr}": fpr for tpr, fpr in block["fpr_at_tpr"].items()}
        for name in ("accuracy", "balanced_accuracy") if of_classes else ():
            final[f"final/test_{name}"] = result["test"][name]
        for summary in hparams(chosen, final):
            self.writer._get_file_writer().add_summary(summary, epochs)
        for name, value in final.items():
            self.writer.add_scalar(name, value, epochs)

    def close(self) -> None:
        """Write what is pending."""
        if "writer" in vars(self):
            self.writer.close()

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError) if value else contextlib.nullcontext():  # the first error is reported
            self.close()


def _in_unit_interval(scores: Any) -> Any:
    """The share of samples that score lower: TensorBoard's PR curve expects [0, 1], and depends on the order alone.

    Equal scores get equal values, or the order of the file would decide between a positive and a negative.
    """
    return np.searchsorted(np.sort(scores), scores, side="left") / max(len(scores) - 1, 1)


def _silence_writing_threads() -> None:
    """Print no traceback when TensorBoard's thread cannot write: the next call of the writer raises the same error."""
    report = threading.excepthook

    def excepthook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            report(arguments)

    threading.excepthook = excepthook
