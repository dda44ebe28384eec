"""Links in a folder of results, through which a run would write somewhere else."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError


def check_inside(folder: Path, *, root: Path) -> None:
    """Refuse links through which something written into ``folder``, below ``root``, would come to lie elsewhere.

    ``root`` itself and what stands above it may be links: whoever names it chooses the disk.

    Raises:
        UserError: a folder between ``root`` and ``folder`` is a link; or something in it, at most one folder deeper,
            is one that leads out of it.
    """
    for part in [folder, *folder.parents][: len(folder.relative_to(root).parts)]:
        if part.is_symlink():
            raise UserError(f"{part} is a link; only {root} may be one: put the folder itself there")
    try:
        for pattern in ("*", "*/*"):  # one after the other: what a link leads to is not looked into
            for item in folder.glob(pattern):
                if item.is_symlink() and not _leads_into(item, folder):
                    raise UserError(f"{item} is a link that leads out of {folder}; put what it names in its place")
    except RuntimeError:  # links in a circle, before Python 3.13
        raise UserError(f"a link in {folder} leads to itself; remove it") from None


def _leads_into(link: Path, folder: Path) -> bool:
    return link.resolve().is_relative_to(folder.resolve())
