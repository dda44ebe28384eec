"""search.json: the settings that a sweep's search has proposed so far.

They are recorded when they are proposed, since a trial that waits in a queue has no folder yet. How a trial did is read
from its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.files import write_json
from ..system.text_files import read_json

Proposals = dict[str, list[dict[str, Any]]]  # the search that proposed them -> the values of its flags, a trial each


def read_proposals(path: Path) -> Proposals:
    """The proposals of every search in this folder.

    Raises:
        UserError: the file is damaged.
    """
    try:
        content = read_json(path)
        for proposed in content.values():
            for values in proposed:
                dict(values)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"cannot read {path} ({type(error).__name__}); remove it to search anew") from None
    proposals: Proposals = content
    return proposals


def write_proposals(path: Path, proposals: Proposals) -> None:
    """Replace the file."""
    write_json(path, proposals)
