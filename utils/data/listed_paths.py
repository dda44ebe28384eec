"""Paths as tables and lists write them."""

from __future__ import annotations

import os


def plain_path(text: str) -> str:
    """The one spelling of a path, without ./ and the like.

    >>> plain_path("./a//b.png")
    'a/b.png'
    """
    return os.path.normpath(text)
