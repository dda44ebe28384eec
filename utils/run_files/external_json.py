"""external/NAME/: what a run gives on other data than its own, with its thresholds as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..metrics.roc import Array
from ..metrics.scores import Scores
from ..system.files import make_folder, write_json, write_text
from .roc_png import roc_figure, save_figure


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
    make_folder(paths.folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "score", *(f"score_seed{seed}" for seed in of_seeds), *groups])
    columns = [scores.label.tolist(), scores.score.tolist(), *(values.tolist() for values in of_seeds.values())]
    writer.writerows(zip(names, *columns, *groups.values(), strict=True))
    write_text(paths.scores, text.getvalue())
    curves = {
        seed: Scores(scores.index, scores.label, values, scores.split, scores.original_class)
        for seed, values in of_seeds.items()
    }
    save_figure(roc_figure(curves, scores, dict(results), title=title), paths.roc)
    write_text(paths.card, card)
    write_json(paths.results, results)
