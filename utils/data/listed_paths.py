"""Paths as tables and lists write them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def plain_path(text: str) -> str:
    """The one spelling of a path: without ./ and the like, and an accent and its letter as one character (NFC).

    >>> plain_path("./a//b.png"), len("u\N{COMBINING DIAERESIS}"), len(plain_path("u\N{COMBINING DIAERESIS}"))
    ('a/b.png', 2, 1)
    """
    return unicodedata.normalize("NFC", os.path.normpath(text))


def name_on_disk(base: Path, name: str) -> str:
    """The name of a file in ``base``, as the disk has it: a Mac writes accents apart from their letters, others do not.

    Without such a file, ``name``.
    """
    if name.isascii() or os.path.lexists(base / name):
        return name
    spellings = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return next((spelling for spelling in spellings if os.path.lexists(base / spelling)), name)
