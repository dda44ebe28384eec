"""Check for symbolic links in a results folder through which a run would write elsewhere."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError


def check_inside(folder: Path, *, root: Path) -> None:
    """Refuse links through which writing to ``folder``, below ``root``, would write outside it.

    ``root`` and its parents may be links: the user chooses the disk.

    Raises:
        UserError: a folder between ``root`` and ``folder`` is a link; or ``folder`` or one of its subfolders contains
            a link that leads out of it.
    """
    for part in [folder, *folder.parents][: len(folder.relative_to(root).parts)]:
        if part.is_symlink():
            raise UserError(f"{part} is a link, expected a folder (only {root} may be a link); put the folder there")
    try:
        for pattern in ("*", "*/*"):  # in this order: a link is refused before its target is listed
            for item in folder.glob(pattern):
                if item.is_symlink() and not _leads_into(item, folder):
                    raise UserError(f"{item} is a link that leads out of {folder}; replace it by what it points to")
    except RuntimeError:  # a cycle of links, before Python 3.13
        raise UserError(f"a link in {folder} leads to itself; remove it") from None


def _leads_into(link: Path, folder: Path) -> bool:
    return link.resolve().is_relative_to(folder.resolve())
