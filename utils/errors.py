"""The one exception for input that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. Its text is one line: what was expected, what came, where to change it.

    ``main.py`` prints it behind ``error:`` and exits with code 2, without a traceback.
    """
