"""external/NAME/: what a run gives on other data than its own, with its thresholds as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..metrics.roc import Array
from ..metrics.scores import ClassScores, Scores
from ..system.files import make_folder, write_json, write_text
from .class_figures import class_roc_figure, confusion_figure
from .class_scores_csv import OUTPUT, SCORE
from .paths import RunPaths
from .roc_png import roc_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ExternalPaths:
    """The files of one evaluation."""

    folder: Path

    @property
    def results(self) -> Path:
        """The numbers."""
        return self.folder / "results.json"

    @property
    def scores(self) -> Path:
        """A row for each image: path, label, score, that of each seed, and the columns that name groups."""
        return self.folder / "scores.csv"

    @property
    def roc(self) -> Path:
        """The plot of the ROC."""
        return self.folder / "roc.png"

    @property
    def confusion(self) -> Path:
        """The confusion matrices, of K classes."""
        return self.folder / RunPaths.confusion_name

    @property
    def card(self) -> Path:
        """The numbers as text, as they were printed."""
        return self.folder / "card.txt"


def write_external(
    paths: ExternalPaths,
    *,
    names: Sequence[str],
    scores: Scores,
    of_seeds: Mapping[int, Array],
    groups: Mapping[str, Sequence[str]],
    results: Mapping[str, Any],
    card: str,
    title: str,
) -> None:
    """Write all files of an evaluation, results.json last.

    Args:
        paths: where.
        names: of the images.
        scores: of the ensemble.
        of_seeds: (n,) scores of each seed.
        groups: columns that name the group of each image.
        results: the numbers, with a block ``test`` as in the results.json of a run.
        card: the numbers as text.
        title: of the picture.
    """
    seeds = {f"score_seed{seed}": values.tolist() for seed, values in of_seeds.items()}
    table = {"path": names, "label": scores.label.tolist(), "score": scores.score.tolist(), **seeds, **groups}
    curves = {seed: replace(scores, score=values) for seed, values in of_seeds.items()}
    figures = {paths.roc: roc_figure(curves, scores, dict(results), title=title)}
    _write(paths, table, figures=figures, results=results, card=card)


def write_class_external(
    paths: ExternalPaths,
    *,
    names: Sequence[str],
    scores: ClassScores,
    of_seeds: Mapping[int, ClassScores],
    groups: Mapping[str, Sequence[str]],
    results: Mapping[str, Any],
    card: str,
    title: str,
) -> None:
    """The same of K classes, with confusion.png; ``of_seeds`` are the scores of each seed."""
    table: dict[str, Sequence[Any]] = {"path": names, "label": [scores.names[label] for label in scores.label.tolist()]}
    for name, view in scores.views.items():
        table[SCORE + name] = view.score.tolist()
    for label, name in enumerate(scores.names):
        table[OUTPUT + name] = scores.outputs[:, label].tolist()
    for seed, own in of_seeds.items():
        table |= {f"{SCORE}{name}_seed{seed}": view.score.tolist() for name, view in own.views.items()}
    figures = {
        paths.roc: class_roc_figure(of_seeds, scores, dict(results), title=title),
        paths.confusion: confusion_figure(of_seeds, scores, dict(results), title=title),
    }
    _write(paths, table | dict(groups), figures=figures, results=results, card=card)


def _write(
    paths: ExternalPaths,
    table: Mapping[str, Sequence[Any]],
    *,
    figures: Mapping[Path, Figure],
    results: Mapping[str, Any],
    card: str,
) -> None:
    make_folder(paths.folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    write_text(paths.scores, text.getvalue())
    for path, figure in figures.items():
        save_figure(figure, path)
    write_text(paths.card, card)
    write_json(paths.results, results)
