"""Classes as messages name them."""

from __future__ import annotations

from collections.abc import Sequence


def named(classes: Sequence[int], names: Sequence[str] | None) -> list[str]:
    """The classes by their names, where they have some."""
    return [str(c) if names is None else names[c] for c in classes]


def listed(classes: Sequence[object], *, most: int = 30) -> str:
    """The first classes, separated by commas."""
    text = ", ".join(str(c) for c in classes[:most])
    return text if len(classes) <= most else f"{text}, ... ({len(classes)} in all)"
