"""The exception for input that the user can correct."""

from __future__ import annotations


class UserError(Exception):
    """Invalid input. The message is one line: what was expected, what came, where to change it.

    The commands print it after ``error:`` and exit with code 2, without a traceback.
    """


def one_line(error: object) -> str:
    """The message as one printable line: names may contain line breaks and terminal escape sequences."""
    text = " ".join(str(error).split())
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def message_of(error: Exception) -> str:
    """The text of a ``UserError``, or of an ``OSError``: a path that the system refuses."""
    if not isinstance(error, OSError):
        return str(error)
    where = f"{str(error.filename)!r:.200}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
