"""A table file: title, common options, and rows with the options of one run of main.py each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..config.options import OPTIONS, Config, convert
from ..errors import UserError
from ..registry import unknown
from ..system.yaml_files import read_yaml_as_written

SHORT = {"objective": "name_file_bs", "alm": "name_file_alm", "delta": "delta"}
RESERVED = {  # options that the sweep sets for each job
    "seeds": "it is a key of the table, a row or a grid of its own, and the flag --seeds",
    "model_name": "it follows from the row's name",
    "subfolder_name": "it is the table's name",
    "resume": "an unfinished job is always resumed",
    "train": "a sweep trains",
}
TABLE_KEYS = ("title", "name", "seeds", "common", "rows")
ROW_KEYS = ("name", *SHORT, "set", "seeds")


@dataclass(frozen=True)
class Row:
    """One line of the table: the options of main.py, checked one by one, and the seeds."""

    name: str
    options: Mapping[str, Any]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """A table file. ``block`` is the name and content of its grid or search, if it has one.

    ``overrides`` take precedence over the rows' own options, ``forced_seeds`` over all seeds.
    """

    title: str
    name: str
    path: Path
    common: Mapping[str, Any]
    seeds: tuple[int, ...]
    lines: tuple[Mapping[str, Any], ...]
    block: tuple[str, Mapping[str, Any]] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    forced_seeds: tuple[int, ...] | None = None

    def rows(self) -> tuple[Row, ...]:
        """The rows that the file lists."""
        return tuple(self.row(line["name"], line["options"], line["seeds"]) for line in self.lines)

    def row(self, name: str, options: Mapping[str, Any], seeds: tuple[int, ...] | None = None) -> Row:
        """A row of this table: common settings < its own < overrides.

        Raises:
            UserError: its name is not a valid folder name.
        """
        merged = {**options, **{key: value for key, value in self.common.items() if key not in options}}
        merged |= self.overrides
        checked = _value("model_name", name, f"row {name!r} of {self.path}")
        return Row(checked, merged, self.forced_seeds or seeds or self.seeds)

    def changed(self, *, overrides: Mapping[str, Any], seeds: tuple[int, ...] | None) -> Table:
        """With the options and seeds of the command line, which take precedence."""
        return replace(self, overrides=overrides, forced_seeds=seeds)

    @property
    def checkpoint_root(self) -> Path:
        """The folder of all results."""
        given = {**self.common, **self.overrides}
        return Path(given.get("checkpoint_root", Config().checkpoint_root))


def read_table(path: Path, *, blocks: Sequence[str]) -> Table:
    """Read and check a table file; ``blocks`` are the keys of grids, searches and the like.

    Raises:
        UserError: it cannot be read, or has an unknown key or an invalid value.
    """
    content = _mapping(_read(path), f"{path}", "title: ..., common: {...} and rows: [...]")
    _known(content, (*TABLE_KEYS, *blocks), str(path))
    present = [name for name in blocks if name in content]
    if len(present) > 1:
        raise UserError(f"{path} has both {' and '.join(present)}; give each a file of its own")
    common = options_of(content.get("common", {}), f"common of {path}")
    lines = _lines(content.get("rows", []), path)
    if not lines and not present:
        raise UserError(f"{path} needs rows: a list such as - {{name: BCE, objective: baseline_bce}}")
    block = (present[0], _mapping(content[present[0]], f"{present[0]} of {path}", "keys")) if present else None
    return Table(
        title=str(content.get("title") or path.stem),
        name=_value("subfolder_name", content.get("name", path.stem), f"name of {path}"),
        path=path,
        common=common,
        seeds=seeds_of(content, str(path)) or Config().seeds,
        lines=lines,
        block=block,
    )


def options_of(content: Any, origin: str, *, extra: Sequence[str] = ()) -> dict[str, Any]:
    """A mapping of options, with short names expanded and each value checked.

    Raises:
        UserError: an unknown or reserved key, or an invalid value.
    """
    result: dict[str, Any] = {}
    for given, value in _mapping(content, origin, "options such as num_epochs: 20").items():
        key = option_name(given, origin)
        if key in extra:
            raise UserError(f"{given} cannot stand in {origin}; it belongs into common, for all rows")
        if key in result:
            raise UserError(f"{given} stands twice in {origin}")
        if value is not None:
            result[key] = _value(key, value, origin)
    return result


def option_name(given: Any, origin: str) -> str:
    """The option that a key of a table file stands for.

    Raises:
        UserError: the key is unknown, or the sweep sets that option itself.
    """
    key = SHORT.get(given, given) if isinstance(given, str) else str(given)
    if key in RESERVED:
        raise UserError(f"{key} cannot be set (from {origin}): {RESERVED[key]}")
    if key not in OPTIONS:
        raise unknown("key", str(given), [*OPTIONS, *SHORT], origin=origin)
    return key


def seeds_of(content: Mapping[str, Any], origin: str) -> tuple[int, ...] | None:
    """The seeds in a mapping, or None."""
    seeds = content.get("seeds")
    return None if seeds is None else tuple(_value("seeds", seeds, origin))


def parse_set(items: Sequence[str]) -> dict[str, Any]:
    """The options of ``--set flag=value``; several numbers are separated by commas.

    Raises:
        UserError: ``=`` is missing, or the option or value is not valid.
    """
    pairs = [item.partition("=") for item in items]
    for item, (_, equals, _) in zip(items, pairs, strict=True):
        if not equals:
            raise UserError(f"--set must be flag=value, such as num_epochs=5, got {item!r}")
    return options_of({key: value for key, _, value in pairs}, "--set")


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Options as arguments of main.py; an empty text, which is a default, is left out."""
    result: list[str] = []
    for name, value in options.items():
        if value != "":
            result += [f"--{name}", *(shown(item) for item in (value if isinstance(value, tuple) else (value,)))]
    return result


def shown(value: Any) -> str:
    """A value as text: 1 for 1.0, several separated by commas."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _lines(content: Any, path: Path) -> tuple[dict[str, Any], ...]:
    if not isinstance(content, list):
        raise UserError(f"rows of {path} must be a list, got {type(content).__name__}")
    lines: list[dict[str, Any]] = []
    for number, item in enumerate(content, start=1):
        line = _mapping(item, f"row {number} of {path}", "name: BCE, objective: baseline_bce")
        origin = f"row {line.get('name', number)!r} of {path}"
        _known(line, ROW_KEYS, origin)
        if "name" not in line:
            raise UserError(f"row {number} of {path} needs a name: its folder under checkpoint/")
        own = {key: value for key, value in line.items() if key in SHORT}
        options = options_of(own, origin) | options_of(line.get("set", {}), origin, extra=("checkpoint_root",))
        lines.append({"name": str(line["name"]), "options": options, "seeds": seeds_of(line, origin)})
    names = [line["name"] for line in lines]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path} has two rows named {', '.join(twice)}; each needs a folder of its own")
    return tuple(lines)


def _read(path: Path) -> Any:
    try:
        return read_yaml_as_written(path)
    except FileNotFoundError:
        near = path.with_name(f"{path.name}.yaml")
        hint = f"did you mean {near}?" if near.is_file() else "those of the project are in configs/table/"
        raise UserError(f"there is no table file {path}; {hint}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def _mapping(content: Any, origin: str, example: str) -> dict[Any, Any]:
    if not isinstance(content, dict):
        raise UserError(f"{origin} must hold {example}, got {type(content).__name__}")
    return content


def _known(content: Mapping[Any, Any], known: Sequence[str], origin: str) -> None:
    for key in content:
        if key not in known:
            raise unknown("key", str(key), known, origin=origin)


def _value(name: str, value: Any, origin: str) -> Any:
    try:
        return convert(name, value, origin)
    except ValueError as error:
        raise UserError(str(error)) from None
