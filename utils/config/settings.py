"""From the command line and the config files to one checked ``Config``, in which each value knows its origin.

A later source wins: defaults < base file < ALM file < command line.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UserError
from ..learners import LEARNERS
from ..registry import near, unknown
from ..system.text_files import UnreadableError, read_json_as_written
from ..system.yaml_files import read_yaml_as_written
from .options import GROUPS, OPTIONS, Config, convert

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
COMMAND_LINE = "the command line"
DEFAULT = "default"
ALM_OPTIONS = tuple(  # delta is the margin of the logged violation too
    name
    for name, item in OPTIONS.items()
    if item.metadata["group"] == "constraint" and name not in ("use_ALM", "delta")
)


@dataclass(frozen=True)
class Settings:
    """A checked ``Config``, where each of its values came from, and the command that led to it.

    ``notes`` are lines that the user should see, such as a flag that wins over a file.
    """

    config: Config
    origins: Mapping[str, str]
    command: str
    notes: tuple[str, ...] = ()

    def is_given(self, name: str) -> bool:
        """Whether the user said it, in a file or on the command line."""
        return self.origins[name] == COMMAND_LINE or self.origins[name].startswith("configs/")

    def completed(self, values: Mapping[str, Any], origin: str) -> Settings:
        """With the options that are still None filled in; those that are set stay."""
        new = {
            name: value for name, value in values.items() if getattr(self.config, name) is None and value is not None
        }
        return replace(self, config=replace(self.config, **new), origins={**self.origins, **dict.fromkeys(new, origin)})

    def as_yaml_ready(self) -> dict[str, dict[str, Any]]:
        """``{name: {"value": ..., "origin": ...}}`` with lists for tuples."""
        return {
            name: {"value": list(value) if isinstance(value, tuple) else value, "origin": self.origins[name]}
            for name, value in asdict(self.config).items()
        }


def resolve(argv: Sequence[str], *, configs: Path = CONFIGS) -> Settings:
    """The settings that a command line asks for.

    Raises:
        UserError: an option, a file or a value is not what it must be.
    """
    given = _parse(argv)
    values: dict[str, Any] = {name: item.default for name, item in OPTIONS.items()}
    origins = dict.fromkeys(OPTIONS, DEFAULT)
    notes: list[str] = []
    for flag, folder in (("name_file_bs", "baseline"), ("name_file_alm", "ALM")):
        name = _converted(flag, given.get(flag, ""), COMMAND_LINE)
        if name:
            path = find_config(configs / folder, name, flag=flag)
            origin = f"configs/{folder}/{path.name}"
            for key, value in read_config(path, origin).items():
                if origins[key] != DEFAULT and values[key] != value:
                    notes.append(f"{key} = {value} ({origin}) wins over {values[key]} ({origins[key]})")
                values[key], origins[key] = value, origin
    for key, value in given.items():
        converted = _converted(key, value, COMMAND_LINE)
        if origins[key] != DEFAULT and values[key] != converted:
            notes.append(f"{key} = {converted} (command line) wins over {values[key]} ({origins[key]})")
        values[key], origins[key] = converted, COMMAND_LINE
    if "hot_enc" in given:
        notes.append("hot_enc has no use; it is accepted and ignored")
    settings = Settings(Config(**values), origins, shlex.join(["python", "main.py", *argv]), tuple(notes))
    _check_together(settings)
    return settings


def find_config(folder: Path, name: str, *, flag: str) -> Path:
    """The .yaml, .yml or .json file of that name in ``folder``, without regard to case.

    Raises:
        UserError: there is none; the text lists the near names.
    """
    files = {path.stem.lower(): path for path in sorted(folder.glob("*")) if path.suffix in (".json", ".yml", ".yaml")}
    stem = name.lower()
    for ending in (".yaml", ".yml", ".json"):
        stem = stem.removesuffix(ending)
    if stem not in files:
        raise unknown(flag, name, [path.stem for path in files.values()])
    return files[stem]


def read_config(path: Path, origin: str) -> dict[str, Any]:
    """The options that a YAML or JSON file sets, checked.

    Raises:
        UserError: it is no mapping, holds an unknown key or a value of the wrong type.
    """
    try:
        content = read_json_as_written(path) if path.suffix == ".json" else read_yaml_as_written(path)
    except (OSError, UnreadableError) as error:
        raise UserError(f"cannot read {origin}: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{origin} must hold lines such as 'gamma: 2.0', got {type(content).__name__}")
    for key in content:
        if key not in OPTIONS or key in ("name_file_bs", "name_file_alm"):
            raise unknown("key", str(key), OPTIONS, origin=origin)
    return {key: _converted(key, value, origin) for key, value in content.items() if value is not None}


def default_model_name(config: Config, *, with_alm: bool = True) -> str:
    """Data set, configs and ratio, such as ``cifar10_baseline_bce_ALM_15_beg_delta0.5_1to200``."""
    fitted = config.resnet_type if config.resnet_type in LEARNERS else ""
    parts = [config.dataset_name, config.name_file_bs or fitted or config.training_type]
    if config.sampler != "natural" and config.sampler not in config.name_file_bs:
        parts.append(config.sampler)
    if with_alm and config.use_ALM:
        kind = "ALM" if config.constraint == "pairwise" else "rate"
        parts += [config.name_file_alm or f"{kind}_mu{config.mu:g}"]
        parts += [f"delta{config.delta:g}"] if config.constraint == "pairwise" else []
    if config.folds:
        parts += [f"subset{config.test_subset}_on_{config.train_on}", f"fold{config.fold}of{config.folds}"]
    else:
        parts.append(f"1to{config.ratio_pos_train}")
    return "_".join(parts)


def _check_together(settings: Settings) -> None:
    """Refuse options that contradict each other."""
    config, origins = settings.config, settings.origins
    explicit = {name for name, origin in origins.items() if origin == COMMAND_LINE}
    if settings.is_given("validation_fraction") and settings.is_given("validation_per_class"):
        _refuse("validation_fraction and validation_per_class", "exclude each other", "leave one of them out")
    _check_resampling(settings, explicit)
    if config.resume and not config.train:
        _refuse("resume 1 and train 0", "exclude each other", "resume needs --train 1")
    if config.continue_train and not config.train:
        _refuse("continue_train 1 and train 0", "exclude each other", "continue_train needs --train 1")
    unused = sorted(explicit.intersection(ALM_OPTIONS)) if not config.use_ALM else []
    if unused:
        _refuse(
            f"{', '.join(unused)} (from {COMMAND_LINE})",
            "cannot act with use_ALM 0",
            "add --use_ALM 1 or an ALM file",
        )
    if config.mu_limit is not None and config.mu_limit < config.mu:
        _refuse(f"mu_limit {config.mu_limit:g}", f"is below mu {config.mu:g}", "raise mu_limit or leave it out")
    if "momentum" in explicit and config.optimizer != "sgd":
        _refuse(
            f"momentum (from {COMMAND_LINE})",
            f"cannot act with optimizer {config.optimizer}",
            "it belongs to sgd",
        )
    if "hidden_widths" in explicit and config.resnet_type != "dense":
        _refuse(
            f"hidden_widths (from {COMMAND_LINE})",
            f"cannot act with {config.resnet_type}",
            "it belongs to dense",
        )
    if "patience_lr" in explicit and not config.lr_decrease:
        _refuse(f"patience_lr (from {COMMAND_LINE})", "cannot act with lr_decrease 0", "add --lr_decrease 1")
    continued = explicit & {"continue_train_epochs", "baseline_cont_train"}
    if continued and not config.continue_train:
        _refuse(f"{', '.join(sorted(continued))} (from {COMMAND_LINE})", "cannot act", "add --continue_train 1")
    if config.continue_train and "num_epochs" in explicit:
        _refuse("num_epochs and continue_train 1", "exclude each other", "use --continue_train_epochs")
    if config.continue_train and "introd_ALM_from" in explicit:
        _refuse("introd_ALM_from and continue_train 1", "exclude each other", "it follows from the baseline's epoch")


def _check_resampling(settings: Settings, explicit: set[str]) -> None:
    own = {name for name, item in OPTIONS.items() if item.metadata["group"] == "resampling"} - {"folds"}
    if not settings.config.folds:
        if explicit & own:
            _refuse(
                f"{', '.join(sorted(explicit & own))} (from {COMMAND_LINE})", "cannot act with folds 0", "add --folds K"
            )
        return
    for name in ("ratio_pos_train", "train_fraction", "validation_per_class"):
        if settings.is_given(name):
            _refuse(
                f"folds and {name}", "exclude each other", "the subsets decide (--subset_ratios, --validation_fraction)"
            )


def _refuse(what: str, why: str, remedy: str) -> NoReturn:
    raise UserError(f"{what} {why}; {remedy}")


def _converted(name: str, value: Any, origin: str) -> Any:
    try:
        return convert(name, value, origin)
    except ValueError as error:
        raise UserError(str(error)) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see python {self.prog} --help)")


def _parse(argv: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, as text."""
    parsed, rest = parser().parse_known_args(argv)
    if rest:
        flags = [f"--{name}" for name in OPTIONS]
        close = near(rest[0].split("=")[0], flags)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"unknown argument {rest[0]!r}{hint} (see python main.py --help)")
    return vars(parsed)


def parser() -> argparse.ArgumentParser:
    """The command line; flags that are not given leave no trace in what it returns."""
    result = _Parser(
        prog="main.py",
        description="Train and evaluate classifiers whose rare class must not be missed.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
    )
    groups = {name: result.add_argument_group(title) for name, title in GROUPS.items()}
    for name, item in OPTIONS.items():
        kind = item.metadata["kind"]
        several: dict[str, Any] = {"nargs": "+"} if kind.name in ("ints", "floats", "seeds") else {}
        groups[item.metadata["group"]].add_argument(
            f"--{name}", metavar=_metavar(kind.name, kind.choices), help=_help(item), **several
        )
    return result


def _metavar(kind: str, choices: tuple[str, ...]) -> str:
    return {"switch": "0|1", "int": "N", "float": "X", "ints": "N", "floats": "X", "seeds": "S"}.get(
        kind, "|".join(choices) or "TEXT"
    )


def _help(item: Any) -> str:
    if item.default is None or item.default == "":
        shown = ""
    elif item.name == "seeds":
        shown = f" (default: {item.default[0]}-{item.default[-1]})"
    else:
        value = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
        shown = f" (default: {value})"
    return str(item.metadata["help"] + shown).replace("%", "%%")
