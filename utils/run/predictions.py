"""Score images with a trained run, one row of a CSV file each."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from tqdm import tqdm

from ..data.image_files import find_images
from ..data.image_pixels import BrokenImageError
from ..data.raw import UInt8Array
from ..data.reading_ahead import Images, read_ahead
from ..errors import UserError, one_line
from ..metrics.decisions import Pair, Threshold, shares
from ..metrics.roc import Array
from ..system.files import locked, make_folder, no_link, sha256, sync_folder
from .trained_model import TrainedModel, load


@dataclass(frozen=True)
class Rows:
    """What the rows of a prediction say, and in which columns.

    A row has: path, score, score_seed<k> of each seed, probability, decision, threshold, rule, referral, error. What
    does not apply stays empty. All digits of a number are written, so that it is read back exactly.
    """

    model: TrainedModel
    threshold: Threshold
    pair: Pair | None

    @property
    def columns(self) -> list[str]:
        """The header."""
        seeds = [f"score_seed{seed}" for seed in self.model.seeds]
        return ["path", "score", *seeds, "probability", "decision", "threshold", "rule", "referral", "error"]

    def scored(self, name: str, scores: Array, mean: float, probability: float | None, referral: str) -> list[str]:
        """The row of an image with the ``scores`` of the seeds."""
        assert self.threshold.value is not None
        decision = "positive" if mean >= self.threshold.value else "negative"
        chance = "" if probability is None else repr(probability)
        rule = [repr(self.threshold.value), self.threshold.meaning]
        return [name, repr(mean), *map(repr, scores.tolist()), chance, decision, *rule, referral, ""]

    def broken(self, name: str, error: BrokenImageError) -> list[str]:
        """The row of an image that could not be scored."""
        return [name, *[""] * (len(self.columns) - 2), str(error)]

    def batch(self, names: Sequence[str], read: Sequence[UInt8Array | BrokenImageError]) -> list[list[str]]:
        """The rows of a batch."""
        rows = []
        for name, found in zip(names, batch_scores(self.model, read), strict=True):
            if isinstance(found, BrokenImageError):
                rows.append(self.broken(name, found))
                continue
            mean = found.mean(keepdims=True)
            chances = self.model.decisions.probabilities(mean)
            chance = None if chances is None else float(chances[0])
            referral = self.pair.referral(mean)[0] if self.pair else ""
            rows.append(self.scored(name, found, float(mean[0]), chance, referral))
        return rows


def open_model(path: Path, *, device: str, threads: int) -> TrainedModel:
    """The model in ``path`` on a device, with ``threads`` CPU threads; 0: torch's own number."""
    if threads:
        torch.set_num_threads(threads)
    return load(path, device=device)


def batch_scores(model: TrainedModel, read: Sequence[UInt8Array | BrokenImageError]) -> list[Array | BrokenImageError]:
    """The scores of the seeds of each image of a batch, or its error."""
    good = [image for image in read if not isinstance(image, BrokenImageError)]
    scores = iter(model.score_batch(np.stack(good)).T if good else ())
    return [image if isinstance(image, BrokenImageError) else next(scores) for image in read]


def chosen(
    model: TrainedModel, *, rule: str | None, target: float | None, pair: Sequence[float]
) -> tuple[Threshold, Pair | None]:
    """The threshold, and the two for referral.

    Args:
        model: a trained run.
        rule: see ``Decisions.chosen``.
        target: likewise.
        pair: TPR and FPR of the two thresholds, or nothing.

    Raises:
        UserError: the run has no such threshold.
    """
    threshold = model.decisions.chosen(rule=rule, target=target)
    if not pair:
        return threshold, model.decisions.pair(tpr=threshold.target if threshold.rule == "NP" else None)
    found = model.decisions.pair(tpr=pair[0], fpr=pair[1])
    if found is None:
        there = ", ".join(f"{p.tpr} {p.fpr}" for p in model.decisions.pairs) or "none (too few samples for a promise)"
        raise UserError(f"--two_thresholds {pair[0]} {pair[1]}: the run has no such two; it has {there}")
    return threshold, found


def predict(
    model: TrainedModel,
    *,
    images: Path,
    out: Path,
    threshold: Threshold,
    pair: Pair | None,
    fit: str | None,
    resume: bool,
    overwrite: bool,
) -> int:
    """Write a row for each image; returns the exit code, 1 if an image could not be scored.

    The rows go to a hidden file beside ``out``, which gets its name at the end; ``resume`` goes on with it, in the same
    batches, so that the file is the same as without the stop.

    Raises:
        UserError: no images, a file that is in the way, or a disk that refuses.
    """
    found = find_images(images, model.form, fit=fit)
    if out.exists() and not overwrite:
        raise UserError(f"{out} is there; choose another --out, or add --overwrite 1")
    if out.exists() and out.samefile(images):
        raise UserError(f"--out {out} is what --images names; choose another file")
    make_folder(out.parent)
    rows = Rows(model, threshold, pair)
    started = out.with_name(f".{out.name}.{_identity(rows, found, fit or model.form.fit)}.part")
    lock = out.with_name(f".{out.name}.lock")
    counts = {"positive": 0, "negative": 0, "": 0}
    referrals: list[str] = []
    with locked(lock, what=str(out)):
        done = _kept(started, rows, found, model.batch_size) if resume else []
        _write(started, [rows.columns, *done], mode="w")
        for row in done:
            _count(row, rows.columns, counts, referrals)
        with _bar(len(found.names), len(done)) as bar:
            for numbers, read in read_ahead(found, size=model.batch_size, start=len(done)):
                new = rows.batch([found.names[number] for number in numbers], read)
                _write(started, new, mode="a")
                for row in new:
                    _count(row, rows.columns, counts, referrals)
                bar.update(len(new))
        _finish(started, out)
        lock.unlink(missing_ok=True)
    _tell(out, threshold, pair, counts, referrals)
    return 1 if counts[""] else 0


def _identity(rows: Rows, images: Images, fit: str) -> str:
    """Tells a prediction from one with another model, threshold or images."""
    digest = hashlib.sha256(sha256(rows.model.content.path).encode())
    for text in (repr(rows.threshold), repr(rows.pair), fit, str(torch.get_num_threads()), *images.names):
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()[:12]


def _kept(path: Path, rows: Rows, images: Images, size: int) -> list[list[str]]:
    """The rows of whole batches that a stopped command has written."""
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    found = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))[1:]
    whole = [len(row) == len(rows.columns) and row[0] == name for row, name in zip(found, images.names, strict=False)]
    good = whole.index(False) if False in whole else len(whole)
    return found[: good // size * size] if good < len(images.names) else found


def _write(path: Path, rows: Sequence[Sequence[str]], *, mode: str) -> None:
    try:
        with open(path, mode, encoding="utf-8", errors="surrogateescape", newline="", opener=no_link) as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; make room, then --resume 1 goes on") from None


def _finish(started: Path, out: Path) -> None:
    try:
        with open(started, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(started, out)
        sync_folder(out.parent)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None


def _count(row: Sequence[str], columns: Sequence[str], counts: dict[str, int], referrals: list[str]) -> None:
    counts[row[columns.index("decision")]] += 1
    if word := row[columns.index("referral")]:
        referrals.append(word)


def _bar(total: int, done: int) -> tqdm[NoReturn]:
    return tqdm(total=total, initial=done, unit="image", file=sys.stderr, disable=not sys.stderr.isatty())


def _tell(out: Path, threshold: Threshold, pair: Pair | None, counts: dict[str, int], referrals: list[str]) -> None:
    """Print what was found, and by which threshold."""
    scored = counts["positive"] + counts["negative"]
    print(f"{scored:,} images scored, {counts['positive']:,} called positive, {counts['']:,} could not be read")
    print(f"threshold  score >= {threshold.value!r}  ({threshold.meaning})")
    if pair and referrals:
        said = ", ".join(f"{word} {share:.1%}" for word, share in sorted(shares(referrals).items()))
        print(f"referral   {said}  ({pair.meaning})")
    print(f"rows       {one_line(out)}")
