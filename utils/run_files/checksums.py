"""Whether a seed's weights and scores are still those that were recorded. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from ..system.files import sha256
from .paths import SeedPaths

PARTS = ("validation", "test")
REMEDY = "restore what was there, or let --train 0 score best.pt as it is now"


def checksums(files: SeedPaths, *, without_best: bool = False) -> dict[str, str]:
    """SHA-256 of the weights, unless ``without_best``, and of their scores, by file name.

    Raises:
        UserError: one of them cannot be read.
    """
    weights = () if without_best else (files.best,)
    return {path.name: sha256(path) for path in (*weights, *map(files.scores, PARTS))}


def changed_files(recorded: object, found: Mapping[str, str]) -> list[str]:
    """Names of the files that are not what ``recorded`` says; of what it does not name nothing is known."""
    return [name for name in found if isinstance(recorded, dict) and recorded.get(name, found[name]) != found[name]]
