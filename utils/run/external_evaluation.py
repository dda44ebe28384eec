"""Judge a trained run, with its thresholds as they are, on other data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.image_files import find_images, read_table
from ..data.image_pixels import BrokenImageError
from ..data.reading_ahead import Images, read_ahead
from ..data.splits import named
from ..errors import UserError, one_line
from ..metrics.decisions import Threshold
from ..metrics.external import by_group, judged, label_numbers, shift
from ..metrics.roc import Array
from ..metrics.scores import Scores
from ..run_files.external_json import ExternalPaths, write_external
from ..run_files.paths import RunPaths
from ..run_files.scores_csv import read_scores
from ..seeding import numpy_stream
from ..system.files import sha256
from .predictions import batch_scores
from .trained_model import TrainedModel


def evaluate(
    model: TrainedModel,
    run: Path,
    *,
    images: Path,
    labels: Path,
    name: str,
    by: Sequence[str],
    fit: str | None,
    threshold: Threshold,
    overwrite: bool,
) -> int:
    """Write RUN/external/NAME/ and print its card; returns the exit code, 1 if an image could not be scored.

    Args:
        model: the run.
        run: its folder, or its model.pt.
        images: see ``image_files.find_images``.
        labels: a .csv file with the columns ``path``, as the images are named, and ``label``.
        name: of the evaluation.
        by: further columns of ``labels``, whose groups are compared at ``threshold``.
        fit: see ``image_pixels.fitted``.
        threshold: the one at which groups are compared.
        overwrite: whether an evaluation of that name may be replaced.

    Raises:
        UserError: images and labels do not match, a class is missing, or the evaluation is there.
    """
    if model.content.path.name == "best.pt":
        raise UserError(f"--name needs the folder of a run or its model.pt, got {run}")
    folder = model.content.path.parent
    paths = ExternalPaths(folder / "external" / name)
    if paths.results.exists() and not overwrite:
        raise UserError(f"{paths.results} is there; choose another --name, or add --overwrite 1")
    found = find_images(images, model.form, fit=fit)
    table = _table(labels, ("label", *by))
    rows = {path: row for row, path in enumerate(table["path"])}
    missing = [path for path in found.names if path not in rows]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{labels} must have a label for each image, got none for {one_line(missing[0])}{others}")
    names, of_seeds, broken = _scored(model, found)
    own = {column: [values[rows[path]] for path in names] for column, values in table.items()}
    scores = _scores(model, own["label"], of_seeds, labels)
    before = RunPaths(folder.parent.parent, folder.parent.name, folder.name).ensemble / "test.csv"
    results = {
        "name": name,
        "images": str(images),
        "labels": str(labels),
        "model_sha256": sha256(model.content.path),
        "test": judged(
            scores,
            decisions=model.decisions,
            options=model.content.evaluation,
            generator=numpy_stream(0, "bootstrap of an external evaluation"),
        ),
        "shift": shift(scores, read_scores(before)) if before.exists() else None,
        "groups": {column: by_group(scores, own[column], threshold) for column in by},
        "groups_at": threshold.meaning,
        "broken": broken,
    }
    card = card_text(model, results)
    write_external(
        paths,
        names=names,
        scores=scores,
        of_seeds=dict(zip(model.seeds, of_seeds, strict=True)),
        groups={column: own[column] for column in by},
        results=results,
        card=card,
        title=f"{model.content.run} on {name}",
    )
    print(f"{card}\nnumbers  {paths.results}\nROC      {paths.roc}\nscores   {paths.scores}")
    return 1 if broken else 0


def _scored(model: TrainedModel, images: Images) -> tuple[list[str], Array, dict[str, str]]:
    """Names of the images that could be read, their scores (seeds, n), and the errors of the others."""
    names, scores, broken = list[str](), list[Array](), dict[str, str]()
    for numbers, read in read_ahead(images, size=model.batch_size):
        for number, values in zip(numbers, batch_scores(model, read), strict=True):
            if isinstance(values, BrokenImageError):
                broken[images.names[number]] = str(values)
            else:
                names.append(images.names[number])
                scores.append(values)
    return names, np.array(scores).reshape(-1, len(model.seeds)).T, broken


def card_text(model: TrainedModel, results: dict[str, Any]) -> str:
    """The numbers of an evaluation as text."""
    test = results["test"]
    low, high = test["auc_interval"]
    lines = [
        f"{model.content.run} on {results['name']}: {test['n_positive']} positives, {test['n_negative']} negatives; "
        "thresholds as they were; 95 % intervals",
        f"AUC {test['auc']:.4f} [{low:.4f}, {high:.4f}]",
    ]
    for tpr, fpr in test["fpr_at_tpr"].items():
        low, high = test["fpr_at_tpr_interval"][tpr]
        lines.append(f"FPR at TPR {tpr}: {fpr:.4f} [{low:.4f}, {high:.4f}]")
    lines += [_threshold_line(item) for item in test["thresholds"]]
    lines += [
        f"{pair['meaning']}; referred {pair['referred_positives']:.1%} of the positives, "
        f"{pair['referred_negatives']:.1%} of the negatives"
        for pair in test["two_thresholds"]
    ]
    for side, found in (results["shift"] or {}).items():
        lines.append(
            f"scores of {side}s: mean {found['mean']:.4g}, in the run's test set {found['mean_in_test']:.4g}; "
            f"Kolmogorov-Smirnov distance {found['distance']:.3f}, p {found['p']:.2g}"
        )
    for column, groups in results["groups"].items():
        lines.append(f"by {column}, at {results['groups_at']}")
        lines += [f"  {one_line(item['group'])}: {_rates(item)}{'  <- worst' * item['worst']}" for item in groups]
    if results["broken"]:
        lines.append(f"{len(results['broken'])} images could not be read (results.json names them)")
    return "\n".join(lines) + "\n"


def _threshold_line(item: dict[str, Any]) -> str:
    return f"score >= {item['threshold']:.6g} ({item['meaning']}): {_rates(item)}"


def _rates(item: dict[str, Any]) -> str:
    parts = []
    for name in ("tpr", "fpr"):
        if item[name] is None:
            parts.append(f"{name.upper()} -")
        else:
            low, high = item[f"{name}_interval"]
            parts.append(f"{name.upper()} {item[name]:.4f} [{low:.4f}, {high:.4f}]")
    return f"{', '.join(parts)} of {item['tp'] + item['fn']} positives, {item['fp'] + item['tn']} negatives"


def _table(path: Path, needed: Sequence[str]) -> dict[str, list[str]]:
    table = read_table(path)
    for column in needed:
        if column not in table:
            raise UserError(f"{path} must have a column {one_line(column)}, got {one_line(', '.join(table))}")
    return {column: table[column] for column in ("path", *needed)}


def _scores(model: TrainedModel, labels: Sequence[str], of_seeds: Array, source: Path) -> Scores:
    """Of the ensemble, with the labels as 0 and 1."""
    content, count = model.content, len(labels)
    of_name = {name: str(number) for number, name in enumerate(content.class_names or ())}
    labels = [of_name.get(text.strip(), text) for text in labels]
    try:
        numbers, classes = label_numbers(labels, negative=content.negative_classes, positive=content.positive_classes)
    except ValueError as error:
        in_use = (*content.negative_classes, *content.positive_classes)
        known = ", ".join(named(in_use, content.class_names))
        expected = f"positive, negative or a class of the run ({known})"
        raise UserError(f"a label in {source} must be {expected}, got {one_line(error)!r:.60}") from None
    if not 0 < numbers.sum() < count:
        raise UserError(f"{source} must have positives and negatives, got {int(numbers.sum())} positives of {count}")
    mean: Array = of_seeds.mean(axis=0)
    return Scores(np.arange(count), numbers, mean, ["external"] * count, classes)
