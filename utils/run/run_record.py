"""config.yaml: what a run is, written once and compared ever after."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from ..config.options import FREE
from ..config.settings import Settings
from ..errors import UserError
from ..system.files import write_text
from ..system.yaml_files import read_yaml
from .experiment import Experiment

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "tensorboard")


def describe(experiment: Experiment, commands: list[str]) -> dict[str, Any]:
    """The content of config.yaml."""
    task, machine = experiment.task, experiment.machine
    return {
        "commands": commands,
        "options": experiment.settings.as_yaml_ready(),
        "class_counts": task.class_counts(task.split(experiment.config.seeds[0])),
        "data": {"source": task.source, "checksum": task.checksum},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "device": machine.name,
        "threads": machine.threads,
        "platform": sys.platform,
    }


def record(path: Path, experiment: Experiment) -> str:
    """Write config.yaml, or compare with the one that is there; returns its text.

    Raises:
        UserError: the run in this folder is another one; the text lists what differs.
    """
    command = experiment.settings.command
    commands = [command]
    if path.exists():
        old = read(path)
        compare(old, experiment, path)
        commands = old["commands"] if command in old["commands"] else [*old["commands"], command]
    text = yaml.safe_dump(describe(experiment, commands), sort_keys=False, width=120, allow_unicode=True)
    write_text(path, text)
    return text


def read(path: Path) -> dict[str, Any]:
    """The content of config.yaml.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = read_yaml(path)
        options = {name: item["value"] for name, item in content["options"].items()}
        needed = ((options["num_epochs"], int), (content["data"]["checksum"], str), (content["commands"], list))
        if not all(isinstance(value, kind) for value, kind in needed):
            raise TypeError
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"cannot read {path}: {type(error).__name__}; move the folder away to train anew") from None
    result: dict[str, Any] = content
    return result


def recorded_threads(path: Path) -> int | None:
    """The CPU threads of each seed that config.yaml records, if this machine has as many cores."""
    if not path.exists():
        return None
    threads = read(path).get("threads")
    return threads if isinstance(threads, int) and 1 <= threads <= (os.cpu_count() or 1) else None


def compare(old: dict[str, Any], experiment: Experiment, path: Path) -> None:
    """Refuse to go on in the folder of another run.

    Raises:
        UserError: options or data differ, or the number of epochs went down or up without --resume 1.
    """
    new = experiment.settings.as_yaml_ready()
    differences = [
        f"{name} {_shown(old['options'].get(name, {}).get('value'))} there, {_shown(item['value'])} now"
        for name, item in new.items()
        if name not in FREE and old["options"].get(name, {}).get("value") != item["value"]
    ]
    if old["data"]["checksum"] != experiment.task.checksum:
        differences.append(f"data checksum {old['data']['checksum'][:12]} there, {experiment.task.checksum[:12]} now")
    if differences:
        raise UserError(f"{path.parent} holds another run: {'; '.join(differences)}. Choose another --model_name")
    _compare_epochs(old, experiment.settings, path)


def _compare_epochs(old: dict[str, Any], settings: Settings, path: Path) -> None:
    before, now = old["options"]["num_epochs"]["value"], settings.config.num_epochs
    if settings.config.train and (now < before or (now > before and not settings.config.resume)):
        raise UserError(
            f"{path.parent} was trained for {before} epochs, num_epochs is {now} now; more epochs need --resume 1, "
            "fewer another --model_name"
        )


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
