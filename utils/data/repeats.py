"""Count images that occur in two sets: a test image that was trained on makes the result too good."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .raw import Int64Array, UInt8Array

UInt64Array = npt.NDArray[np.uint64]
PAIRS = (
    ("test", "train"),
    ("test", "validation"),
    ("validation", "train"),
    ("calibration", "train"),
    ("calibration", "validation"),
    ("test", "calibration"),
    ("calibration", "calibration"),
)
_ROWS_AT_ONCE = 4096


def count_repeats(images: UInt8Array, sets: Mapping[str, Int64Array]) -> dict[str, int]:
    """How many images of one set also occur in another, byte for byte.

    Args:
        images: (M, H, W, C), contiguous.
        sets: the rows of each: "train", from which the seeds draw their training images, "validation", "test", and
            "calibration" if there is one.

    Returns:
        Of each of ``PAIRS`` that is there, such as "test in train"; "calibration in calibration" are those that equal
        an earlier one of their set.
    """
    rows = images.reshape(len(images), -1)
    hashes = row_hashes(rows)
    return {
        f"{own} in {other}": _shared(rows, hashes, sets[own], sets[other])
        if own != other
        else len(sets[own]) - len({rows[row].tobytes() for row in sets[own]})
        for own, other in PAIRS
        if {own, other} <= sets.keys()
    }


def shared_digests(digests: UInt64Array, sets: Mapping[str, Int64Array]) -> dict[str, int]:
    """The same by the ``digests`` (M,) of the images, without the images themselves."""
    return {
        f"{own} in {other}": int(np.isin(digests[sets[own]], digests[sets[other]]).sum())
        if own != other
        else len(sets[own]) - len(np.unique(digests[sets[own]]))
        for own, other in PAIRS
        if {own, other} <= sets.keys()
    }


def row_hashes(rows: UInt8Array) -> UInt64Array:
    """(M,) a hash of each row of (M, n).

    The sum of the row's 8-byte words times fixed odd factors, modulo 2^64: as fast as the rows can be read.
    """
    words = -(-rows.shape[1] // 8)
    factors = np.random.Generator(np.random.PCG64(0)).integers(0, 2**63, size=words, dtype=np.uint64) * 2 + 1
    hashes = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        chunk = rows[start : start + _ROWS_AT_ONCE]
        if chunk.shape[1] % 8:
            chunk = np.pad(chunk, ((0, 0), (0, 8 * words - chunk.shape[1])))
        numbers = chunk.view(np.uint64)
        # fold the high half in: a product carries bits upwards only
        hashes[start : start + _ROWS_AT_ONCE] = (numbers ^ (numbers >> np.uint64(32))) @ factors
    return hashes


def _shared(rows: UInt8Array, hashes: UInt64Array, wanted: Int64Array, among: Int64Array) -> int:
    """How many of the rows ``wanted`` equal one of the rows ``among``."""
    if not len(wanted) or not len(among):
        return 0
    found, first = np.unique(hashes[among], return_index=True)
    place = np.searchsorted(found, hashes[wanted]).clip(max=len(found) - 1)
    hit = np.flatnonzero(found[place] == hashes[wanted])
    pairs = zip(wanted[hit].tolist(), among[first[place[hit]]].tolist(), strict=True)
    return sum(bool(np.array_equal(rows[one], rows[other])) for one, other in pairs)
