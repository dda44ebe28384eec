"""Tables of names: look up an entry, and the error for an unknown name.

A table maps the name that a user writes to ``"module:attribute"``. It holds strings only, so that reading it imports
nothing heavy.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import UserError

NOTHING: Mapping[str, tuple[str, ...]] = {}


def near(
    name: str, known: Iterable[str], *, most: int = 3, meanings: Mapping[str, tuple[str, ...]] = NOTHING
) -> list[str]:
    """The known names that mean the same as ``name``, else those spelled most alike, regardless of case, best first.

    Args:
        meanings: other name, in lower case with _ for -, -> known names.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    plain = name.lower().replace("-", "_")
    if plain in by_lower:
        return [by_lower[plain]]
    if meant := [other for other in meanings.get(plain, ()) if other in by_lower.values()]:
        return meant
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=most, cutoff=0.5)]


def unknown(
    kind: str,
    name: str,
    known: Iterable[str],
    *,
    origin: str = "",
    meanings: Mapping[str, tuple[str, ...]] = NOTHING,
) -> UserError:
    """The error for an unknown name: what was given, the nearest names (see ``near``), all known names."""
    names = sorted(known)
    close = near(name, names, meanings=meanings)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    where = f" (from {origin})" if origin else ""
    return UserError(f"unknown {kind} {name!r}{where}{hint} Known: {', '.join(names)}")


def load(table: Mapping[str, str], name: str, *, kind: str, package: str) -> Any:
    """Import and return the attribute that ``name`` stands for.

    Raises:
        UserError: ``name`` is not in ``table``.
    """
    if name not in table:
        raise unknown(kind, name, table)
    module, attribute = table[name].split(":")
    return getattr(importlib.import_module(f".{module}", package), attribute)


def lazy_attributes(
    targets: Iterable[str], *, package: str, others: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package that imports its public names on first use.

    Args:
        targets: the ``"module:attribute"`` targets of a table.
        package: its name.
        others: further public names, which the package itself defines.
    """
    table = {target.split(":")[1]: target for target in targets}
    public = [*table, *others]

    def __getattr__(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return load(table, name, kind="attribute", package=package)

    return __getattr__, lambda: public, public
