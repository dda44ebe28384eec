"""The one exception for input that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. Its text is one line: what was expected, what came, where to change it.

    ``main.py`` prints it behind ``error:`` and exits with code 2, without a traceback.
    """


def one_line(error: object) -> str:
    """The text of an error in one line that is safe to show: names may hold line breaks and a terminal's commands."""
    text = " ".join(str(error).split())
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def message_of(error: Exception) -> str:
    """The text of a ``UserError``, or of an ``OSError``: a path that the system refuses."""
    if not isinstance(error, OSError):
        return str(error)
    where = f"{str(error.filename)!r:.200}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
