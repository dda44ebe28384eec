"""config.yaml: what a run is, written once and compared with every later command. Imports no torch."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from ..config.options import FREE
from ..config.readers import unread
from ..config.settings import Settings
from ..data import TASKS
from ..errors import UserError
from ..system.files import write_text
from ..system.yaml_files import read_yaml
from .paths import PARTS

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "tensorboard")
MOST_TEXT = 2000  # characters of a value that a report shows


@dataclass(frozen=True)
class Facts:
    """What config.yaml records beside the options."""

    class_counts: Mapping[str, Mapping[str, int]]  # images by set and class, as in the file
    ratio: float  # negatives per positive of the training set, as obtained
    class_names: Sequence[str] | None  # by number, where the data have names
    source: str  # of the data
    checksum: str  # of the data
    normalisation: Mapping[str, list[float]]  # "mean" and "std" of each channel
    device: str
    threads: int  # of each seed
    weights: Mapping[str, str] | None = None  # the file that the network starts from: its name, SHA-256, how it matched


@dataclass(frozen=True)
class Record:
    """The content of config.yaml, reduced to plain values that are safe to show."""

    options: dict[str, Any]
    commands: tuple[str, ...]
    class_counts: dict[str, dict[str, int]]  # by set: "negative" and "positive"; of K classes see ``sizes``
    checksum: str
    source: str
    versions: dict[str, str]
    machine: str
    sizes: dict[str, dict[str, int]]  # by set: the K classes in their order; empty of a task of two sides

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of K classes; none of a task of two sides."""
        return tuple(self.sizes["train"]) if self.sizes else ()

    def of_class(self, name: str) -> Record:
        """The record of one of K classes against the rest."""
        counts = {
            part: {"negative": sum(sizes.values()) - sizes[name], "positive": sizes[name]}
            for part, sizes in self.sizes.items()
        }
        return replace(self, class_counts=counts)


def describe(settings: Settings, facts: Facts, commands: list[str]) -> dict[str, Any]:
    """The content of config.yaml."""
    return {
        "commands": commands,
        "options": settings.as_yaml_ready(),
        "class_counts": facts.class_counts,
        "data": {
            "source": facts.source,
            "checksum": facts.checksum,
            "normalisation": facts.normalisation,
            "negatives_per_positive": facts.ratio,
            **({"classes": list(facts.class_names)} if facts.class_names else {}),
        },
        **({"weights": dict(facts.weights)} if facts.weights else {}),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "device": facts.device,
        "threads": facts.threads,
        "platform": sys.platform,
    }


def write_config(path: Path, settings: Settings, facts: Facts) -> str:
    """Write config.yaml, after comparing with the one that is there; returns its text.

    Raises:
        UserError: the folder holds another run; the message lists the differences.
    """
    commands = [settings.command]
    if path.exists():
        old = read_config(path)
        compare(old, settings, path, checksum=facts.checksum, weights=facts.weights)
        commands = old["commands"] if settings.command in old["commands"] else [*old["commands"], settings.command]
    content = describe(settings, facts, commands)
    text = yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)
    write_text(path, text)
    return text


def read_config(path: Path) -> dict[str, Any]:
    """The content of config.yaml; what every command needs of it is checked, the rest is as it stands in the file.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return _content(path)
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"cannot read {path}: {type(error).__name__}; move the folder away to train anew") from None


def read_record(path: Path) -> Record:
    """The content of config.yaml for a report, in which every value must be plain.

    Raises:
        UserError: the file is missing or is not what a run writes.
    """
    try:
        content = _content(path)
        options = {str(name): _plain(item["value"]) for name, item in content["options"].items()}
        counts, has_classes = content["class_counts"], options.get("task") == TASKS[1]
        return Record(
            options=options,
            commands=tuple(_shown(command) for command in content["commands"]),
            class_counts={} if has_classes else _sides(counts),
            checksum=_shown(content["data"]["checksum"]),
            source=_shown(content["data"].get("source", "")),
            versions={str(name): _shown(value) for name, value in content["versions"].items()},
            machine=f"{_shown(content['device'])}, {_shown(content['threads'])} threads, {_shown(content['platform'])}",
            sizes=_sizes(counts) if has_classes else {},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not what a run writes ({type(error).__name__})"
        raise UserError(f"cannot read {path.name}: {reason}") from None


def recorded_threads(path: Path) -> int | None:
    """The CPU threads of each seed that config.yaml records, if this machine has as many cores."""
    if not path.exists():
        return None
    threads = read_config(path).get("threads")
    return threads if isinstance(threads, int) and 1 <= threads <= (os.cpu_count() or 1) else None


def compare(
    old: dict[str, Any], settings: Settings, path: Path, *, checksum: str, weights: Mapping[str, str] | None = None
) -> None:
    """Refuse to continue in the folder of another run. What is not given now, and nothing would read, may differ.

    Raises:
        UserError: options or data differ, or the number of epochs decreased, or increased without --resume 1.
    """
    ignored = {name for name in unread(settings.config) if not settings.is_given(name)}
    differences = []
    for name, item in settings.as_yaml_ready().items():
        theirs, ours = old["options"].get(name, {}).get("value"), item["value"]
        if name in FREE or theirs == ours or (name in ignored and type(theirs) is type(ours)):
            continue
        differences.append(f"{name} {_listed(theirs)} there, {_listed(ours)} now")
    if old["data"]["checksum"] != checksum:
        differences.append(f"data checksum {old['data']['checksum'][:12]} there, {checksum[:12]} now")
    theirs, ours = ((found or {}).get("sha256", "none") for found in (old.get("weights"), weights))
    if theirs != ours and settings.config.train:
        differences.append(f"weights with the SHA-256 {theirs:.12} there, {ours:.12} now")
    if differences:
        raise UserError(f"{path.parent} holds another run: {'; '.join(differences)}. Choose another --model_name")
    _compare_epochs(old, settings, path)


def _compare_epochs(old: dict[str, Any], settings: Settings, path: Path) -> None:
    before, now = old["options"]["num_epochs"]["value"], settings.config.num_epochs
    if settings.config.train and (now < before or (now > before and not settings.config.resume)):
        raise UserError(
            f"{path.parent} was trained for {before} epochs, num_epochs is {now} now; more epochs need --resume 1, "
            "fewer another --model_name"
        )
    if settings.config.train and now > before and settings.config.schedule == "cosine":
        raise UserError(
            f"{path.parent} was trained for {before} epochs with schedule cosine, whose learning rates depend on "
            f"num_epochs, {now} now; choose another --model_name"
        )


def _content(path: Path) -> dict[str, Any]:
    """The content of the file, in which every option has a value and commands and the data checksum are there."""
    content = read_yaml(path)
    options = {name: item["value"] for name, item in content["options"].items()}
    needed = ((options["num_epochs"], int), (content["data"]["checksum"], str), (content["commands"], list))
    if not all(isinstance(value, kind) for value, kind in needed):
        raise TypeError
    result: dict[str, Any] = content
    return result


def _sides(counts: Any) -> dict[str, dict[str, int]]:
    """The counts of a task of two sides."""
    return {part: {side: int(counts[part][side]) for side in ("negative", "positive")} for part in ("train", *PARTS)}


def _sizes(counts: Any) -> dict[str, dict[str, int]]:
    """Those of a task of K classes, which are the same in each set."""
    found = {part: {_shown(name): int(size) for name, size in counts[part].items()} for part in ("train", *PARTS)}
    names = list(found["train"])
    if len(names) < 2 or not all(list(sizes) == names and min(sizes.values()) >= 0 for sizes in found.values()):
        raise ValueError
    return found


def _plain(value: Any) -> Any:
    """A scalar, or a flat list of scalars as a tuple."""
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return tuple(value)
    if isinstance(value, (list, dict)):
        raise ValueError
    return value


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        raise ValueError
    return str(value)[:MOST_TEXT]


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
