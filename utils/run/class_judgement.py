"""Judge a run of K classes, with its thresholds as they are, on other data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.class_names import listed
from ..errors import UserError, one_line
from ..metrics.class_external import class_labels, classes_by_group, judged_classes, shift_of_classes
from ..metrics.roc import Array
from ..metrics.scores import ClassScores, averaged_classes
from ..run_files.class_scores_csv import read_class_scores
from ..run_files.external_json import ExternalPaths, write_class_external
from ..seeding import numpy_stream
from .class_model import ClassModel
from .external_card import class_card_text
from .labelled_images import Labelled, asks_for_names
from .prediction_rows import ClassRows


def judge_classes(
    rows: ClassRows, labelled: Labelled, paths: ExternalPaths, *, about: Mapping[str, Any], before: Path
) -> str:
    """Write the files of an evaluation; returns its card.

    Args:
        rows: the model, and the thresholds at which groups are compared.
        labelled: the images.
        paths: where to write.
        about: what was evaluated, for results.json; among it ``name``.
        before: the scores of the run's test set, with which those of the images are compared if they are there.

    Raises:
        UserError: a label is none of the classes, or a critical class has no image, or no other class has.
    """
    model = rows.model
    of_seeds = [_scores(model, labelled, numbers) for numbers in labelled.numbers]
    scores = averaged_classes(of_seeds)
    results = {
        **about,
        "run_counts_groups": any(own.count_groups for own in model.decisions.values()),
        "test": judged_classes(
            scores,
            decisions=model.decisions,
            options=model.content.evaluation,
            generator=numpy_stream(0, "bootstrap of an external evaluation"),
        ),
        "shift": shift_of_classes(scores, _test_scores(before, model)) if before.exists() else None,
        "groups": {
            column: classes_by_group(scores, values, rows.thresholds) for column, values in labelled.groups.items()
        },
        "groups_at": {name: threshold.meaning for name, threshold in rows.thresholds.items()},
        "broken": labelled.broken,
        "without_image": labelled.without_image,
    }
    card = class_card_text(model.content.run, results)
    write_class_external(
        paths,
        names=labelled.names,
        scores=scores,
        of_seeds=dict(zip(model.seeds, of_seeds, strict=True)),
        groups=labelled.columns,
        results=results,
        card=card,
        title=f"{model.content.run} on {about['name']}",
    )
    return card


def _scores(model: ClassModel, labelled: Labelled, numbers: Array) -> ClassScores:
    """What one seed's model says of the images, from its ``numbers`` (n, C + K)."""
    content, count, source = model.content, len(labelled.labels), labelled.source
    known = listed([one_line(name) for name in model.names])
    try:
        label = class_labels(labelled.labels, names=model.names)
    except ValueError as error:
        text = f"a label in {source} must be a class of the run ({known}), got {one_line(error)!r:.60}"
        raise UserError(text + asks_for_names(content, str(error))) from None
    for own in model.critical:
        found = int((label == own).sum())
        if not 0 < found < count:
            raise UserError(
                f"{source} must have images of class {one_line(model.names[own])} and of others, got {found} of {count}"
            )
    scores, outputs = model.parts(numbers)
    return ClassScores(
        index=np.arange(count),
        label=label,
        outputs=outputs,
        scores=scores,
        split=["external"] * count,
        original_class=np.array(content.classes, dtype=np.int64)[label],
        names=model.names,
        critical=model.critical,
        group=labelled.group,
    )


def _test_scores(path: Path, model: ClassModel) -> ClassScores:
    """The scores of the run's test set.

    Raises:
        UserError: they are of other critical classes.
    """
    scores = read_class_scores(path)
    if (scores.names, scores.critical) != (model.names, model.critical):
        raise UserError(f"{path} is of other classes than {model.path}")
    return scores
