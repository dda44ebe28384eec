"""A table file: title, common options, and rows with the options of one run of main.py each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.options import ALIASES, OPTIONS, Config, convert
from ..config.settings import unread_in
from ..config.synonyms import ABSENT, FLAGS
from ..errors import UserError
from ..registry import unknown
from ..system.installation import CONFIGS, config_file
from ..system.yaml_files import read_yaml_as_written

SHORT = {"objective": "name_file_bs", "alm": "name_file_alm", "delta": "delta"}
RESERVED = {  # options that the sweep sets for each job
    "seeds": "it is a key of the table, a row or a grid of its own, and the flag --seeds",
    "model_name": "it follows from the row's name",
    "subfolder_name": "it is the table's name",
    "resume": "an unfinished job is always resumed",
    "train": "a sweep trains",
    "dry_run": "see the flag --dry_run of the sweep",
}
TABLE_KEYS = ("title", "name", "seeds", "common", "rows")
ROW_KEYS = ("name", *SHORT, "set", "seeds")
# key in a table file -> "module:class"; see blocks.py
BLOCKS: dict[str, str] = {
    "grid": "grid:Grid",
    "search": "search:Search",
    "resampling": "cross_validation:Resampling",
}


NONE: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Row:
    """One line of the table: the options of main.py, checked one by one, and the seeds.

    Of the options that it shares with other rows, those that its run does not read are ``left_out``; ``shared`` are the
    names of the others.
    """

    name: str
    options: Mapping[str, Any]
    seeds: tuple[int, ...]
    shared: frozenset[str] = frozenset()
    left_out: Mapping[str, Any] = field(default_factory=dict)
    trial: bool = False  # a run of a grid or a search


@dataclass(frozen=True)
class Table:
    """A table file. ``block`` is the name and content of its grid or search, if it has one.

    Those of ``lines`` without seeds have the table's. ``overrides`` take precedence over the rows' own options and
    ``machine`` (where the command line says that jobs run) over both, ``forced_seeds`` over all seeds.
    """

    name: str
    path: Path
    title: str = ""
    common: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = Config().seeds
    lines: tuple[Row, ...] = ()
    block: tuple[str, Mapping[str, Any]] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    forced_seeds: tuple[int, ...] = ()

    def rows(self, chosen: Mapping[str, Any] | None = None, *, suffix: str = "") -> tuple[Row, ...]:
        """The rows that the file lists, each with the options that a block has chosen."""
        return tuple(self.row(line.name + suffix, line.options, line.seeds, chosen=chosen or {}) for line in self.lines)

    def row(
        self, name: str, options: Mapping[str, Any], seeds: tuple[int, ...] = (), *, chosen: Mapping[str, Any] = NONE
    ) -> Row:
        """A row of this table: common settings < those that a block has ``chosen`` < its own < the command line's."""
        common = {key: value for key, value in self.common.items() if key not in {**chosen, **options}}
        checked = _value("model_name", name, f"row {name!r} of {self.path}")
        merged = {**chosen, **options, **common, **self.overrides, **self.machine}
        shared = {*(chosen.keys() - options.keys()), *common, *self.overrides}
        unread = _unread(tuple(arguments(merged))).keys() & shared
        left_out = {key: value for key, value in merged.items() if key in unread}
        merged = {key: value for key, value in merged.items() if key not in unread}
        return Row(checked, merged, self.forced_seeds or seeds or self.seeds, frozenset(shared - unread), left_out)

    @property
    def checkpoint_root(self) -> Path:
        """The folder of all results."""
        return Path({**self.common, **self.overrides}.get("checkpoint_root", Config().checkpoint_root))


def read_table(path: Path, **changes: Any) -> Table:
    """Read and check a table file; ``changes`` are the fields of ``Table`` that the command line sets.

    Raises:
        UserError: it cannot be read, or has an unknown key or an invalid value.
    """
    content = mapping(_read(path), str(path), "title: ..., common: {...} and rows: [...]")
    check_keys(content, (*TABLE_KEYS, *BLOCKS), str(path), place="common")
    blocks = [name for name in BLOCKS if name in content]
    if len(blocks) > 1:
        raise UserError(f"{path} has both {' and '.join(blocks)}; give each a file of its own")
    common = options_of(content.get("common", {}), f"common of {path}")
    lines = _lines(content.get("rows", []), path)
    if not lines and not blocks:
        raise UserError(f"{path} needs rows: a list such as - {{name: BCE, objective: baseline_bce}}")
    return Table(
        title=str(content.get("title") or path.stem),
        name=_value("subfolder_name", content.get("name", path.stem), f"name of {path}"),
        path=path,
        common=common,
        seeds=seeds_of(content, str(path)) or Config().seeds,
        lines=lines,
        block=(blocks[0], mapping(content[blocks[0]], f"{blocks[0]} of {path}", "keys")) if blocks else None,
        **changes,
    )


def options_of(content: Any, origin: str, *, extra: Sequence[str] = ()) -> dict[str, Any]:
    """A mapping of options, with short names expanded and each value checked; none of ``extra``."""
    result: dict[str, Any] = {}
    for given, value in mapping(content, origin, "options such as num_epochs: 20").items():
        key = option_name(given, origin)
        if key in extra:
            raise UserError(f"{given} cannot stand in {origin}; it belongs into common, for all rows")
        if key in result:
            raise UserError(f"{given} stands twice in {origin}")
        if value is not None:
            result[key] = _value(key, value, origin, called=given if given in ALIASES else key)
    return result


def option_name(given: Any, origin: str) -> str:
    """The option that a key of a table file stands for, unless the sweep sets it itself."""
    key = {**SHORT, **ALIASES}.get(given, given) if isinstance(given, str) else str(given)
    if key in RESERVED:
        raise UserError(f"{key} cannot be set (from {origin}): {RESERVED[key]}")
    if key not in OPTIONS:
        raise unknown_option(given, origin)
    return key


def unknown_option(given: Any, origin: str) -> UserError:
    """The error for a key that is no option; names of other programs suggest ours."""
    if reason := ABSENT.get(str(given).lower().replace("-", "_")):
        return UserError(f"unknown key {str(given)!r} (from {origin}); {reason}")
    return unknown("key", str(given), [*OPTIONS, *ALIASES, *SHORT], origin=origin, meanings=FLAGS)


def check_shared(rows: Sequence[Row]) -> None:
    """Refuse an option that rows share and none of them reads.

    Raises:
        UserError: there is one; the message says why the first row does not read it.
    """
    read = {name for row in rows for name in row.shared}
    for row in rows:
        for name in row.left_out:
            if name not in read:
                raise UserError(f"{name} is read by no row; in {row.name!r} it {why_left_out(row, name)}")


def why_left_out(row: Row, name: str) -> str:
    """Why a row does not read an option that is left out of it, and the remedy."""
    return _unread(tuple(arguments({**row.options, **row.left_out})))[name]


def seeds_of(content: Mapping[str, Any], origin: str) -> tuple[int, ...]:
    """The seeds in a mapping, if any."""
    return () if content.get("seeds") is None else tuple(_value("seeds", content["seeds"], origin))


def pairs(items: Sequence[str], flag: str, example: str) -> dict[str, str]:
    """The values of a flag that takes ``name=value`` several times."""
    result: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise UserError(f"{flag} must be name=value, such as {example}, got {item!r}")
        if key in result:
            raise UserError(f"{flag} has {key} twice; remove one")
        result[key] = value
    return result


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


@functools.cache
def _unread(argv: tuple[str, ...]) -> dict[str, str]:
    """See ``unread_in``; kept, as a sweep makes its rows again in each round."""
    return unread_in(argv)


def mapping(content: Any, origin: str, example: str) -> dict[Any, Any]:
    """``content``, which must be a mapping."""
    if not isinstance(content, dict):
        raise UserError(f"{origin} must hold {example}, got {type(content).__name__}")
    return content


def check_keys(content: Mapping[Any, Any], known: Sequence[str], origin: str, *, place: str = "") -> None:
    """Refuse a key that is not known; ``place`` is the key under which options stand, to suggest it for one."""
    for key in content:
        if key in known:
            continue
        plain = str(key).lower().replace("-", "_")
        meant = [key] if key in {**OPTIONS, **ALIASES} else FLAGS.get(plain, ())
        if place and meant and not set(meant) & set(known):
            places = " or ".join(f"{place}: {{{name}: ...}}" for name in meant)
            raise UserError(f"unknown key {str(key)!r} (from {origin}); did you mean {places}?")
        raise unknown("key", str(key), known, origin=origin, meanings=FLAGS)


def _lines(content: Any, path: Path) -> tuple[Row, ...]:
    if not isinstance(content, list):
        raise UserError(f"rows of {path} must be a list, got {type(content).__name__}")
    lines: list[Row] = []
    for number, item in enumerate(content, start=1):
        line = mapping(item, f"row {number} of {path}", "name: BCE, objective: baseline_bce")
        origin = f"row {line.get('name', number)!r} of {path}"
        check_keys(line, ROW_KEYS, origin, place="set")
        if "name" not in line:
            raise UserError(f"row {number} of {path} needs a name: its folder under checkpoint/")
        options = options_of({key: value for key, value in line.items() if key in SHORT}, origin)
        more = options_of(line.get("set", {}), origin, extra=("checkpoint_root",))
        if both := sorted(set(options) & set(more)):
            raise UserError(f"{both[0]} stands twice in {origin}, in set and beside it; remove one")
        options |= more
        lines.append(Row(str(line["name"]), options, seeds_of(line, origin)))
    names = [line.name for line in lines]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path} has two rows named {', '.join(twice)}; each needs a folder of its own")
    return tuple(lines)


def _read(path: Path) -> Any:
    try:
        return read_yaml_as_written(config_file(path))
    except FileNotFoundError:
        near = path.with_name(f"{path.name}.yaml")
        hint = f"did you mean {near}?" if config_file(near).is_file() else f"{CONFIGS / 'table'} has some"
        raise UserError(f"there is no table file {path}; {hint}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def _value(name: str, value: Any, origin: str, *, called: str = "") -> Any:
    try:
        return convert(name, value, origin, called=called)
    except ValueError as error:
        raise UserError(str(error)) from None
