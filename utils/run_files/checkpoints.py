"""Saving and loading checkpoints: the same bytes for the same content, and nothing in a file is executed."""

from __future__ import annotations

import io
import itertools
import pickletools
import re
import sys
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..system.files import write_atomically
from .paths import before

NAMES = re.compile(r"torch._utils _rebuild_tensor_v2|collections OrderedDict|torch \w+Storage")  # in a pickle of ours
MOST_VALUES = 200_000  # numbers, strings and tensors in a checkpoint, not counting the elements of tensors


@dataclass(frozen=True)
class Format:
    """A kind of checkpoint.

    Args:
        name: its name with the version of its content, stored in the file.
        content: names and types of the values that every file must hold.
        keeps_previous: whether saving keeps the previous version, as ``before(path)``.
    """

    name: str
    content: Mapping[str, type]
    keeps_previous: bool = False


def save(path: Path, kind: Format, content: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, and lists and dicts of them, atomically and reproducibly."""
    # into memory first: torch turns the error of a full disk into one of its own
    buffer = io.BytesIO()
    torch.save(_canonical({"format": kind.name, **content}), buffer)
    kept = before(path) if kind.keeps_previous else None
    write_atomically(path, lambda stream: stream.write(buffer.getbuffer()), before=kept)


def _canonical(value: Any) -> Any:
    """The value in plain containers with interned strings: otherwise a pickle shows what was loaded from a file."""
    if isinstance(value, dict):
        return {_canonical(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_canonical(item) for item in value)
    return sys.intern(value) if type(value) is str else value


def load(path: Path, kind: Format) -> dict[str, Any]:
    """Read what ``save`` wrote, onto the CPU; nothing in the file is executed.

    Raises:
        UserError: the file is missing, damaged or not a checkpoint of this program.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there")
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about foreign files, which are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
        _check_size(content)
    except PermissionError:
        raise UserError(f"cannot read {path}: no permission to; the file may be whole") from None
    except Exception as error:  # a damaged or foreign file can fail in any way
        raise UserError(
            f"{path} must be a checkpoint of this program, but it is foreign or damaged ({type(error).__name__}); "
            "restore it from a copy, or train anew under another --model_name"
        ) from None
    if not isinstance(content, dict) or content.get("format") != kind.name:
        found = content.get("format", "no format") if isinstance(content, dict) else type(content).__name__
        shown = found if isinstance(found, str) else type(found).__name__
        raise UserError(f"{path} must be a checkpoint of the format {kind.name!r}, got {shown:.60}")
    for name, needed in kind.content.items():
        if not isinstance(content.get(name), needed) or isinstance(content[name], bool):
            found = type(content[name]).__name__ if name in content else "nothing"
            raise UserError(f"{path} is not of this program: it must hold {name!r}, a {needed.__name__}, got {found}")
    return content


def load_sound(path: Path, kind: Format) -> dict[str, Any]:
    """``load``, then compare the checksum of every part of the file, which torch writes but does not verify.

    Raises:
        UserError: the file is missing, damaged or not a checkpoint of this program.
    """
    content = load(path, kind)
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        bad = type(error).__name__
    if bad:
        raise UserError(f"{path} is damaged ({bad} has another checksum); restore it from a copy")
    return content


def check_like(found: Any, expected: Any, *, at: str = "state") -> None:
    """Check that ``found`` has the structure of ``expected``: keys, types of values, shapes of tensors.

    Where None is expected, a number or a string passes; a tensor of one element counts as a number.

    Raises:
        ValueError: the structure differs; the message says where.
    """
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        for name, value in expected.items():
            check_like(found[name], value, at=f"{at}/{name}")
    elif isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)) and len(found) == len(expected):
        for number, value in enumerate(expected):
            check_like(found[number], value, at=f"{at}/{number}")
    elif isinstance(expected, torch.Tensor) and isinstance(found, torch.Tensor):
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            raise ValueError(f"{at} has another shape or type")
    elif _kind(found) not in ("number", "str", "NoneType") or _kind(expected) not in (_kind(found), "NoneType"):
        raise ValueError(f"{at} has another form")


def _kind(value: Any) -> str:
    one_element = isinstance(value, torch.Tensor) and value.numel() == 1
    return "number" if one_element or isinstance(value, (int, float)) else type(value).__name__


def _check_archive(path: Path) -> None:
    """Before torch reads the file, refuse compressed parts and pickles that name anything but tensors.

    Raises:
        ValueError: the file is not a zip archive of uncompressed parts, one of them a pickle of tensors in plain
            containers, as torch writes it.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise ValueError("parts that are compressed or overlap")
        for part in parts:
            if part.filename.endswith(".pkl"):
                _check_names(archive.read(part))


def _check_names(pickled: bytes) -> None:
    """Refuse a pickle that names anything but tensors and plain containers; it is parsed, not executed.

    Raises:
        ValueError: it names something else, or is damaged.
    """
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL") and not NAMES.fullmatch(str(argument)):
            raise ValueError(str(argument))


def _check_size(content: Any) -> None:
    """Refuse more values than any state has: a list that holds one list many times needs no memory until it is used.

    Raises:
        ValueError: there are more than ``MOST_VALUES``, or a container holds itself.
    """
    level, count = [content], 0
    while level:
        count += len(level)
        if count > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")
        containers = [value for value in level if isinstance(value, (dict, list, tuple, set))]
        level = list(itertools.islice(itertools.chain.from_iterable(map(_items, containers)), MOST_VALUES + 1))


def _items(container: Any) -> Iterable[Any]:
    return itertools.chain(container.keys(), container.values()) if isinstance(container, dict) else container


def restore(module: torch.nn.Module, state: dict[str, Any], *, path: Path, what: str) -> None:
    """``load_state_dict`` with a one-line error.

    Raises:
        UserError: names or shapes differ.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError, KeyError, ValueError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{path} belongs to another {what}: {first:.200}") from None


def plain(value: Any) -> Any:
    """A list for a tuple, as files hold it."""
    return list(value) if isinstance(value, tuple) else value
