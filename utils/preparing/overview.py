"""What prepare.py prints at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.prepared_files import SPLITS, PreparedForm, Samples, counts_of
from ..errors import one_line
from ..system.installation import typed
from .collection import Survey
from .form_choice import described

LONGEST = 24  # characters of a class name in the table


def lines(
    folder: Path,
    form: PreparedForm,
    samples: Samples,
    survey: Survey,
    *,
    column: str,
    notes: Sequence[str],
    bytes_written: int,
) -> list[str]:
    """The overview: what there is, a table of classes and splits, groups, repeats, notes, and what to type next."""
    count = len(samples.paths)
    what = f"{form.channels} features" if form.kind == "features" else _images(form)
    size = f"{bytes_written / 1e6:,.1f} MB"
    found = [f"{one_line(form.name)}: {count:,} samples of {what}, in {one_line(folder)} ({size})"]
    if form.kind == "images" and form.fit != "exact":
        found.append(f"resized by {form.fit} from {described(survey.sizes)}")
    found += [f"{number:,} of them: {note}" for note, number in survey.notes.items()]
    found += ["", *_table(form, samples, column)]
    found += [*_repeats(samples), *_contradictions(form, samples)]
    found += [f"note: {note}" for note in notes]
    return [*found, "", f"next: {_next(folder, form, samples)}"]


def _images(form: PreparedForm) -> str:
    height, width = form.size
    return f"{height} x {width} {'grey' if form.channels == 1 else 'RGB'} pixels of {form.bits} bits"


def _table(form: PreparedForm, samples: Samples, column: str) -> list[str]:
    counts = counts_of(samples, form.classes)
    rows = [["class", *counts]]
    for name in form.classes:
        label = one_line(name) + (" (positive)" if name == form.positive else "")
        rows.append([label[:LONGEST], *(f"{counts[split][name]:,}" for split in counts)])
    if samples.groups is not None:
        groups = samples.groups
        sides = [len(set(groups[samples.splits == split])) for split in counts]
        rows.append([one_line(column)[:LONGEST], *(f"{side:,}" for side in sides)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    table = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    missing = [
        f"note: {split} holds no sample of {one_line(name)}"
        for split in counts
        for name in form.classes
        if not counts[split][name]
    ]
    return [*table, *missing]


def _repeats(samples: Samples) -> list[str]:
    """How many images of a split are equal, byte for byte, to one of an earlier split."""
    found = []
    present = [split for split in SPLITS if (samples.splits == split).any()]
    for place, split in enumerate(present[1:], start=1):
        own = samples.digests[samples.splits == split]
        before = samples.digests[np.isin(samples.splits, present[:place])]
        if number := int(np.isin(own, before).sum()):
            others = " or ".join(present[:place])
            found.append(f"note: {number:,} of {split} are equal, pixel by pixel, to one of {others}")
    return found


def _contradictions(form: PreparedForm, samples: Samples) -> list[str]:
    """How many images are equal, byte for byte, to one of another class."""
    _, places = np.unique(samples.digests, return_inverse=True)
    least = np.full(len(places), len(form.classes))
    most = np.full(len(places), -1)
    np.minimum.at(least, places, samples.labels)
    np.maximum.at(most, places, samples.labels)
    rows = np.flatnonzero((least < most)[places])
    if not len(rows):
        return []
    same = rows[places[rows] == places[rows[0]]]
    other = next(row for row in same if samples.labels[row] != samples.labels[rows[0]])
    pair = (f"{samples.paths[row]} is {form.classes[samples.labels[row]]}" for row in (rows[0], other))
    return [f"note: {len(rows):,} are equal, pixel by pixel, to one of another class: {one_line(' and '.join(pair))}"]


def _next(folder: Path, form: PreparedForm, samples: Samples) -> str:
    counts = np.bincount(samples.labels, minlength=len(form.classes))
    positive = form.positive or form.classes[int(np.argmin(counts))]
    argv = ["--dataset_name", form.name, "--positive_classes", positive]
    if folder.parent != Path("datasets"):
        argv += ["--data_root", str(folder.parent)]
    if form.kind == "features":
        argv += ["--resnet_type", "linear"]
    return typed("train", argv)
