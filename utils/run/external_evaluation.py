"""Judge a trained run, with its thresholds as they are, on other data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.class_names import listed, named
from ..errors import UserError, one_line
from ..metrics.external import by_group, judged, label_numbers, shift
from ..metrics.scores import Scores, mean_of_seeds
from ..run_files.external_json import ExternalPaths, write_external
from ..run_files.paths import RunPaths
from ..run_files.scores_csv import read_scores
from ..seeding import numpy_stream
from ..system.files import sha256
from .class_judgement import judge_classes
from .external_card import card_text
from .labelled_images import Labelled, asks_for_names, read_labelled
from .prediction_rows import ClassRows, SideRows
from .trained_model import TrainedModel


def evaluate(
    rows: SideRows | ClassRows,
    run: Path,
    *,
    images: Path,
    labels: Path,
    name: str,
    by: Sequence[str],
    group: str | None,
    fit: str | None,
    overwrite: bool,
) -> int:
    """Write RUN/external/NAME/ and print its card; returns the exit code, 1 if an image could not be scored.

    Args:
        rows: the model, and the thresholds at which groups are compared.
        run: its folder, or its model.pt.
        images: see ``labelled_images.read_labelled``, as ``labels``, ``by``, ``group`` and ``fit``.
        name: of the evaluation.
        overwrite: whether an evaluation of that name may be replaced.

    Raises:
        UserError: images and labels do not match, a class is missing, or the evaluation is there.
    """
    model = rows.model
    if model.path.name == "best.pt":
        raise UserError(f"--name needs the folder of a run or its model.pt, got {run}")
    folder = model.path.parent
    paths = ExternalPaths(folder / "external" / name)
    if paths.results.exists() and not overwrite:
        raise UserError(f"{paths.results} is there; choose another --name, or add --overwrite 1")
    labelled = read_labelled(model, images=images, labels=labels, by=by, group=group, fit=fit)
    about: dict[str, Any] = {
        "name": name,
        "images": str(images),
        "labels": str(labels),
        "model_sha256": sha256(model.path),
    }
    about |= {"group": group, "n_groups": None if labelled.group is None else len(set(labelled.group))}
    before = RunPaths(folder.parent.parent, folder.parent.name, folder.name).ensemble / "test.csv"
    if isinstance(rows, ClassRows):
        pictures = {"ROC": paths.roc, "confusion": paths.confusion}
        card = judge_classes(rows, labelled, paths, about=about, before=before)
    else:
        pictures = {"ROC": paths.roc}
        card = _judge_sides(rows, labelled, paths, about=about, before=before)
    print(f"{card}\nnumbers  {paths.results}")
    for kind, path in {**pictures, "scores": paths.scores}.items():
        print(f"{kind:8} {path}")
    return 1 if labelled.broken else 0


def _judge_sides(
    rows: SideRows, labelled: Labelled, paths: ExternalPaths, *, about: dict[str, Any], before: Path
) -> str:
    """Write the files of an evaluation on two sides; returns its card."""
    model, threshold = rows.model, rows.threshold
    scores = _scores(model, labelled)
    results = {
        **about,
        "run_counts_groups": model.decisions.count_groups,
        "test": judged(
            scores,
            decisions=model.decisions,
            options=model.content.evaluation,
            generator=numpy_stream(0, "bootstrap of an external evaluation"),
        ),
        "shift": shift(scores, read_scores(before)) if before.exists() else None,
        "labels_read": _labels_read(model, labelled, scores),
        "groups": {column: by_group(scores, values, threshold) for column, values in labelled.groups.items()},
        "groups_at": threshold.meaning,
        "broken": labelled.broken,
        "without_image": labelled.without_image,
    }
    card = card_text(model.content.run, results)
    write_external(
        paths,
        names=labelled.names,
        scores=scores,
        of_seeds=dict(zip(model.seeds, labelled.numbers, strict=True)),
        groups=labelled.columns,
        results=results,
        card=card,
        title=f"{model.content.run} on {about['name']}",
    )
    return card


def _labels_read(model: TrainedModel, labelled: Labelled, scores: Scores) -> dict[str, Any]:
    """Of each side its classes in the run, and how many images have each label that was read as it."""
    read: dict[str, Any] = {}
    for side, own in enumerate((model.content.negative_classes, model.content.positive_classes)):
        texts = [text.strip() for text, label in zip(labelled.labels, scores.label, strict=True) if label == side]
        counts = {text: texts.count(text) for text in sorted(set(texts))}
        read[("negative", "positive")[side]] = {"classes": named(own, model.content.class_names), "images": counts}
    return read


def _scores(model: TrainedModel, labelled: Labelled) -> Scores:
    """Of the ensemble, with the labels as 0 and 1."""
    content, count, source = model.content, len(labelled.labels), labelled.source
    negative, positive = (
        dict(zip(named(own, content.class_names), own, strict=True))
        for own in (content.negative_classes, content.positive_classes)
    )
    try:
        numbers, classes = label_numbers(labelled.labels, negative=negative, positive=positive)
    except ValueError as error:
        known = listed([one_line(name) for name in (*negative, *positive)])
        expected = f"positive, negative or a class of the run ({known})"
        text = f"a label in {source} must be {expected}, got {one_line(error)!r:.60}"
        raise UserError(text + asks_for_names(content, str(error))) from None
    if not 0 < numbers.sum() < count:
        raise UserError(f"{source} must have positives and negatives, got {int(numbers.sum())} positives of {count}")
    score = mean_of_seeds(labelled.numbers)
    return Scores(np.arange(count), numbers, score, ["external"] * count, classes, group=labelled.group)
