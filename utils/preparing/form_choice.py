"""Size, colour and depth of the prepared images, from what was found and what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ..data.prepared_files import PreparedForm
from ..errors import UserError
from .collection import Survey
from .request import Request

RESIZED = "letterbox"  # where --size is given and --fit is not


def choose(request: Request, survey: Survey, *, kind: str, classes: Sequence[str]) -> PreparedForm:
    """What the prepared samples will have in common.

    Sizes: without ``--size`` all images must have one. Colour: grey if every image is, unless asked otherwise. Depth:
    16 bits if every image has them; a mix needs ``--bits``.

    Raises:
        UserError: the images differ, and nothing says what to make of them.
    """
    common = {"name": request.out.name, "kind": kind, "classes": tuple(classes), "positive": request.positive}
    if kind == "features":
        form = PreparedForm(
            **common, size=(1, 1), channels=survey.channels, bits=32, fit="exact", colour="grey"  # type: ignore[arg-type]
        )  # fmt: skip
        return replace(form, features=survey.features)
    colour = request.colour if request.colour != "auto" else "grey" if survey.grey else "rgb"
    bits = _bits(request, survey.depths)
    if colour == "grey" and survey.channels == 3 and bits == 16:
        raise UserError("--colour grey cannot be made of a table's 16-bit colours; leave it out")
    size, fit = _size(request, survey.sizes)
    form = PreparedForm(
        **common, size=size, channels=1 if colour == "grey" else 3, bits=bits, fit=fit, colour=colour  # type: ignore[arg-type]
    )  # fmt: skip
    of_files = request.pixels is None
    return replace(
        form, any_depth=of_files and request.bits is not None, first_frame=of_files and request.frames == "first"
    )


def _bits(request: Request, depths: Counter[int]) -> int:
    if request.bits is not None:
        return request.bits
    if len(depths) > 1:
        raise UserError(
            f"the images must have one depth, got {depths[8]:,} of 8 bits and {depths[16]:,} of 16; add --bits 8"
            " (which rounds the deep ones) or --bits 16 (which multiplies the others by 257)"
        )
    return next(iter(depths))


def _size(request: Request, sizes: Counter[tuple[int, int]]) -> tuple[tuple[int, int], str]:
    """Height and width, and the fit."""
    if request.size is not None:
        return request.size, "exact" if set(sizes) == {request.size} else request.fit or RESIZED
    if len(sizes) > 1:
        asked = f"--fit {request.fit}" if request.fit else "--fit letterbox, crop or squeeze"
        raise UserError(
            f"the images must have one size, got {described(sizes)}; add --size 224 or --size HxW, and {asked}"
        )
    if request.fit is not None:
        raise UserError(f"--fit {request.fit} resizes images: add --size 224 or --size HxW, or leave it out")
    return next(iter(sizes)), "exact"


def described(sizes: Counter[tuple[int, int]]) -> str:
    """The sizes in words, height x width."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    smallest, largest = (f"{height} x {width}" for height, width in (ordered[0], ordered[-1]))
    return smallest if len(sizes) == 1 else f"{len(sizes):,} sizes from {smallest} to {largest}"
