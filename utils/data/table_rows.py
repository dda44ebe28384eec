"""The rows of a text table: commas, semicolons, tabs or spaces between values; plain or gzip; of any encoding.

prepare.py and predict.py share it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ..errors import UserError, one_line
from ..registry import near
from ..system.text_files import UnreadableError

LINE_CHARACTERS = 2**24  # of a line
MOST_CHARACTERS = 2**36  # of all lines, unpacked
GUESSED = ("utf-8", "cp1252")  # the encodings of a table of which nothing is said; Excel writes the second
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how its "Unicode text" begins
DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Table:
    """A table in a file: its first row, and how its values are separated (None: by spaces)."""

    path: Path
    encoding: str
    delimiter: str | None
    first: list[str]
    most: int = MOST_CHARACTERS

    def rows(self) -> Iterator[list[str]]:
        """All rows that are not empty, one at a time.

        Raises:
            UserError: the file cannot be read.
        """
        with _readable(self.path, self.encoding, self.most) as lines:
            if self.delimiter is None:
                yield from (line.split() for line in lines if line.strip())
                return
            before = csv.field_size_limit(LINE_CHARACTERS)  # of the whole process
            try:
                for row in csv.reader(lines, delimiter=self.delimiter, strict=True):
                    if any(cell.strip() for cell in row):
                        yield [cell.strip() for cell in row]
            finally:
                csv.field_size_limit(before)

    def column(self, header: Sequence[str] | None, text: str, *, flag: str) -> int:
        """The place of a column that is named, in capitals or not, or counted from 1.

        Raises:
            UserError: there is none, or there are two.
        """
        names = list(header or ())
        found = places_of(text, names)
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"{self.path} has {len(found)} columns {one_line(text)}; rename one ({flag})")
        if text.isdigit() and 1 <= int(text) <= len(self.first):
            return int(text) - 1
        if header is None:
            known = f"a number from 1 to {len(self.first)}, as the columns have no names"
            raise UserError(f"{flag} must be {known} in {self.path}, got {one_line(text)!r}")
        close = near(text, names)
        hint = f"; did you mean {flag} {one_line(close[0])}?" if close else ""
        shown = one_line(", ".join(names))[:300]
        raise UserError(f"{self.path} must have the column {one_line(text)} ({flag}), got {shown}{hint}")


def places_of(text: str, names: Sequence[str]) -> list[int]:
    """The places of the columns of that name or, where there are none, of those that differ in capitals alone.

    >>> places_of("path", ["label", "Path"]), places_of("path", ["path", "Path"])
    ([1], [0])
    """
    exact = [place for place, name in enumerate(names) if name == text]
    return exact or [place for place, name in enumerate(names) if name.casefold() == text.casefold()]


def is_number(cell: str) -> bool:
    """Whether a value is a number, NaN and infinity among them."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def counts_columns(row: Sequence[str]) -> bool:
    """Whether a row of two values or more is 0 1 2 ... or 1 2 3 ..., as tools write for columns without names."""
    return len(row) > 1 and [*row] in ([str(place + first) for place in range(len(row))] for first in (0, 1))


def open_table(path: Path, *, encoding: str | None, flag: str = "--csv", most: int = MOST_CHARACTERS) -> Table:
    """The first row of a table, by which its values are separated.

    Args:
        path: of the table.
        encoding: of its text; None: UTF-8, or cp1252 where it is none.
        flag: that names the table.
        most: characters of all lines.

    Raises:
        UserError: the file is missing, empty or cannot be read.
    """
    check_file(path, flag=flag)
    encoding = encoding or encoding_of(path, most=most)
    with _readable(path, encoding, most) as lines:
        line = next((line for line in lines if line.strip()), "")
    if not line:
        raise UserError(f"{path} must begin with the names of its columns, or with a row of values, got an empty file")
    counts = [line.count(delimiter) for delimiter in DELIMITERS]
    delimiter = DELIMITERS[counts.index(max(counts))] if any(counts) else None
    table = Table(path, encoding, delimiter, [], most)
    return replace(table, first=next(table.rows()))


def check_file(path: Path, *, flag: str) -> None:
    """Refuse a table that is no file.

    Raises:
        UserError: it is missing, a folder or a pipe.
    """
    if not os.path.exists(path):
        raise UserError(f"{flag} must be a table, got {path}, which is not there")
    if not path.is_file():  # opening a pipe would block
        raise UserError(f"{flag} must be a table, got {path}, which is not a regular file")


def encoding_of(path: Path, *, most: int) -> str:
    """The first of ``GUESSED`` that the whole file is in, or utf-16 where it has a mark of it.

    Raises:
        UserError: it is in none, or cannot be read.
    """
    decoders = {name: codecs.getincrementaldecoder(name)() for name in GUESSED}
    with _readable(path, "latin-1", most) as lines:  # in which each byte is a character
        for number, line in enumerate(lines):
            if number == 0 and line.encode("latin-1").startswith(MARKS):
                return "utf-16"
            decoders = {name: decoder for name, decoder in decoders.items() if _fits(decoder, line.encode("latin-1"))}
    for name, decoder in decoders.items():
        if _fits(decoder, b"", final=True):
            return name
    raise UserError(f"{path} is neither {' nor '.join(GUESSED)} text; save it as UTF-8")


def _fits(decoder: codecs.IncrementalDecoder, content: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(content, final)
    except UnicodeDecodeError:
        return False
    return True


def text_lines(path: Path, *, flag: str, most: int) -> list[str]:
    """The lines of a text file, in one of the encodings of ``encoding_of``.

    Raises:
        UserError: see ``encoding_of``.
    """
    check_file(path, flag=flag)
    with _readable(path, encoding_of(path, most=most), most) as lines:
        return [line.strip() for line in lines]


class _readable:
    """The lines of a text file; what it raises, and what is raised while they are read, is one line."""

    def __init__(self, path: Path, encoding: str, most: int) -> None:
        self.path, self.encoding, self.most = path, encoding, most

    def __enter__(self) -> Iterator[str]:
        opened: IO[bytes]
        try:
            opened = open(self.path, "rb")
            packed = opened.read(2) == b"\x1f\x8b"
            opened.seek(0)
            self._file = opened
            self._binary = gzip.GzipFile(fileobj=opened) if packed else opened
            encoding = "utf-8-sig" if self.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else self.encoding
            self._text = io.TextIOWrapper(self._binary, encoding=encoding, newline="")
        except (OSError, LookupError) as error:
            if not isinstance(error, OSError):
                opened.close()
            raise UserError(_said(self.path, self.encoding, error)) from None
        return self._lines()

    def _lines(self) -> Iterator[str]:
        total = 0
        while line := self._text.readline(LINE_CHARACTERS + 1):
            total += len(line)
            if len(line) > LINE_CHARACTERS or total > self.most:
                raise UnreadableError("it has a line, or lines together, beyond all measure")
            yield line

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._text.close()
        self._file.close()
        if isinstance(error, (OSError, EOFError, zlib.error, csv.Error, UnicodeError, UnreadableError)):
            raise UserError(_said(self.path, self.encoding, error)) from None


def _said(path: Path, encoding: str, error: BaseException) -> str:
    if isinstance(error, LookupError) and not isinstance(error, UnicodeError):
        return f"--encoding must be the name of a text encoding, such as latin-1, got {one_line(encoding)}"
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start : error.start + 1].hex()
        return (
            f"{path} is not {encoding} text (byte 0x{byte}: {one_line(error.reason)}); say how it is encoded, such as"
            " --encoding cp1252 or --encoding utf-16, or save it as UTF-8"
        )
    if isinstance(error, UnicodeError):
        return f"{path} is not {encoding} text ({one_line(error)}); say how it is encoded with --encoding"
    return f"cannot read {path}: {one_line(getattr(error, 'strerror', None) or error)}"
