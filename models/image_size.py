"""Check of the image size that an architecture supports."""

from __future__ import annotations


def check_image_size(image_size: tuple[int, int], *, smallest: int, model: str) -> None:
    """Raise ValueError if height or width is below ``smallest`` pixels."""
    height, width = image_size
    if min(image_size) < smallest:
        raise ValueError(
            f"{model} needs images of at least {smallest} x {smallest} pixels, got {height} x {width}; "
            "resize them or choose another model"
        )
