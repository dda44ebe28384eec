"""From the command line and the config files to one complete, checked ``Config``, in which each value has its origin.

A later source wins: defaults < base file < ALM file < command line. What is still open then follows from the name of
the data set. Only what follows from the data themselves stays None: see ``with_defaults``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..constraints import name_part
from ..data import DATASETS, NATURAL, defaults_for
from ..errors import UserError
from ..registry import unknown
from ..system.installation import CONFIGS, typed
from ..system.text_files import UnreadableError, read_json_as_written
from ..system.yaml_files import read_yaml_as_written
from .command_line import parse
from .constructors import PACKAGES
from .options import ALIASES, OPTIONS, Config, convert
from .readers import unread
from .schedule_choice import check_schedule, contradict
from .synonyms import FLAGS, VALUES

COMMAND_LINE = "the command line"
DEFAULT = "default"
AS = " as "  # in an origin before the alias, if the user gave that
# what a run that continues takes from its baseline -> what to do instead
OF_THE_BASELINE = {
    "num_epochs": "use --continue_train_epochs",
    "introd_ALM_from": "it follows from the baseline's epoch",
}


@dataclass(frozen=True)
class Settings:
    """A checked ``Config``, where each of its values came from, and the command that led to it.

    ``notes`` are lines to print, such as a flag that overrides a file.
    """

    config: Config
    origins: Mapping[str, str]
    command: str
    notes: tuple[str, ...] = ()

    def is_given(self, name: str) -> bool:
        """Whether the user set it, in a file or on the command line."""
        return is_given(self.origins[name])

    def completed(self, values: Mapping[str, Any], origin: str) -> Settings:
        """A copy in which ``values`` replace those that are still None."""
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


def is_given(origin: str) -> bool:
    """Whether a value of this origin was given by the user, in a file or on the command line."""
    return is_typed(origin) or origin.startswith("configs/")


def is_typed(origin: str) -> bool:
    """Whether a value of this origin was given on the command line."""
    return origin.startswith(COMMAND_LINE)


def called(name: str, origin: str) -> str:
    """What the user called the option ``name``, whose value has this origin."""
    alias: str = OPTIONS[name].metadata["alias"]
    return alias if alias and origin.endswith(f"{AS}{alias}") else name


def resolve(argv: Sequence[str], *, configs: Path | None = None) -> Settings:
    """The settings that a command line asks for, with the files of ``configs`` or else of ``config_folders``.

    Raises:
        UserError: an option, a file or a value is not valid.
    """
    settings = _combined(argv, configs)
    check_names(settings)
    if settings.config.train:  # an evaluation compares what is given with best.pt
        check_read(settings)
    _check_together(settings)
    return with_defaults(settings)


def unread_in(argv: Sequence[str]) -> dict[str, str]:
    """Of the options on a command line those that its run would not read, and why; {} if it is not valid."""
    try:
        settings = _combined(argv, None)
        check_names(settings)
    except UserError:  # which ``resolve`` will say
        return {}
    found = {name: reason for name, (_, reason) in unread(settings.config).items()}
    if settings.config.continue_train:
        found |= {name: f"cannot act with continue_train 1; {remedy}" for name, remedy in OF_THE_BASELINE.items()}
    return {name: reason for name, reason in found.items() if is_typed(settings.origins[name])}


def _combined(argv: Sequence[str], configs: Path | None) -> Settings:
    """Defaults, files and command line together, each value checked by itself."""
    given = parse(argv)
    values: dict[str, Any] = {name: item.default for name, item in OPTIONS.items()}
    origins = dict.fromkeys(OPTIONS, DEFAULT)
    notes: list[str] = []
    folders = [configs] if configs else config_folders()
    for flag, folder in (("name_file_bs", "baseline"), ("name_file_alm", "ALM")):
        name = _converted(flag, given.get(flag, ""), COMMAND_LINE)
        if name:
            path = find_config([each / folder for each in folders], name, flag=flag)
            origin = f"configs/{folder}/{path.name}"
            if len(folders) > 1 and folders[0] in path.parents:
                notes.append(f"{flag} {name} is {origin} of the working folder")
            found = _checked(_content(path, origin), origin)
            notes += _merge(found, values, origins, place=origin)
    notes += _merge(_checked(given, COMMAND_LINE), values, origins, place="command line")
    if "hot_enc" in given:
        notes.append("hot_enc is ignored; it is accepted for alm-dnn compatibility")
    return Settings(Config(**values), origins, typed("train", argv), tuple(notes))


def _checked(content: Mapping[str, Any], origin: str) -> dict[str, tuple[Any, str]]:
    """Option -> its checked value and its origin, of what one place sets by name or alias.

    Raises:
        UserError: a value is not valid, or an option is set by both of its names.
    """
    found: dict[str, tuple[Any, str]] = {}
    for key, value in content.items():
        name = ALIASES.get(key, key)
        if name in found:
            raise UserError(f"{name} and {OPTIONS[name].metadata['alias']} are one option (from {origin}); give one")
        if value is not None:
            found[name] = _converted(name, value, origin, called=key), origin + (f"{AS}{key}" if key != name else "")
    return found


def _merge(
    found: Mapping[str, tuple[Any, str]], values: dict[str, Any], origins: dict[str, str], *, place: str
) -> list[str]:
    """Let what a place sets win over the places before it; the lines that say where it does."""
    notes = []
    for name, (value, origin) in found.items():
        if origins[name] != DEFAULT and values[name] != value:
            shown = called(name, origin)
            notes.append(f"{shown} = {value} ({place}) wins over {values[name]} ({origins[name]})")
        values[name], origins[name] = value, origin
    for name, other in (("schedule", "lr_decrease"), ("lr_decrease", "schedule")):  # one choice under two names
        if name in found and other not in found and origins[other] != DEFAULT and contradict(values):
            shown = f"{name} = {values[name]} ({place})"
            notes.append(f"{shown} wins over {other} = {values[other]} ({origins[other]})")
            values[other], origins[other] = OPTIONS[other].default, DEFAULT
    return notes


def with_defaults(settings: Settings) -> Settings:
    """With the values filled in that follow from the name of the data set and from other options.

    What follows from the data stays None until they are read: of a user's own file the classes, ``augment`` and
    ``validation_fraction`` (it may have its own validation set), under ``folds`` the ``ratio_pos_train``, and, where
    the classes of one side are given, those of the other.
    """
    config = settings.config
    defaults = defaults_for(config.dataset_name)
    origin = f"default of {config.dataset_name}"
    if config.has_classes:  # all images, unless an imbalance is asked for
        factor = None if config.imbalance == NATURAL else 0.01
        settings = settings.completed(
            {"train_fraction": 1.0, "subset_ratios": (NATURAL,), "imbalance_factor": factor}, "task classes"
        )
    names = ["lr", "augment", "train_fraction", "subset_ratios"]
    if config.freeze_epochs == "all":  # features that are computed once are of images as they are
        settings = settings.completed({"augment": "none"}, "freeze_epochs all")
    if not config.has_classes and config.negative_classes is None and config.positive_classes is None:
        names += ["negative_classes", "positive_classes"]  # of one side alone, the other is the rest
    names += [] if config.folds or config.has_classes else ["ratio_pos_train"]  # the subsets decide
    settings = settings.completed({name: getattr(defaults, name) for name in names}, origin)
    if not config.folds and config.validation_fraction is None:
        settings = settings.completed({"validation_per_class": defaults.validation_per_class}, origin)
    if settings.config.validation_per_class is None and (config.folds or config.dataset_name in DATASETS):
        settings = settings.completed({"validation_fraction": defaults.validation_fraction}, origin)
    settings = _with_schedule(settings)
    folders = {"model_name": default_model_name(settings.config)}
    if config.continue_train:
        folders["baseline_cont_train"] = default_model_name(settings.config, with_alm=False)
    return settings.completed(folders, DEFAULT)


def _with_schedule(settings: Settings) -> Settings:
    """With ``schedule`` and ``lr_decrease`` that say the same, and the factor of the schedule."""
    course = settings.config.lr_course
    origin = DEFAULT if course == "constant" else f"schedule {course}"
    settings = settings.completed({"schedule": course}, "lr_decrease 1" if course == "plateau" else origin)
    settings = settings.completed({"lr_factor": {"plateau": 0.5, "step": 0.1}.get(course)}, origin)
    if course == "plateau" and not settings.config.lr_decrease:
        origins = {**settings.origins, "lr_decrease": origin}
        settings = replace(settings, config=replace(settings.config, lr_decrease=1), origins=origins)
    return settings


def config_folders() -> list[Path]:
    """Where config files are looked for: configs/ of the working folder, if it has one, then that of the program."""
    own = Path("configs")
    return [own, CONFIGS] if own.is_dir() and own.resolve() != CONFIGS else [CONFIGS]


def find_config(folders: Sequence[Path], name: str, *, flag: str) -> Path:
    """The .yaml, .yml or .json file of that name in the first of ``folders`` that has one, ignoring case.

    Raises:
        UserError: there is none; the message lists similar names.
    """
    paths = [path for folder in reversed(folders) for path in sorted(folder.glob("*"))]
    files = {path.stem.lower(): path for path in paths if path.suffix in (".json", ".yml", ".yaml")}
    stem = name.lower()
    for ending in (".yaml", ".yml", ".json"):
        stem = stem.removesuffix(ending)
    if stem not in files:
        raise unknown(flag, name, [path.stem for path in files.values()], meanings=VALUES.get(flag, {}))
    return files[stem]


def read_config(path: Path, origin: str) -> dict[str, Any]:
    """The options that a YAML or JSON file sets, checked.

    Raises:
        UserError: it is not a mapping, or has an unknown key or an invalid value.
    """
    return {name: value for name, (value, _) in _checked(_content(path, origin), origin).items()}


def _content(path: Path, origin: str) -> dict[str, Any]:
    """What a YAML or JSON file sets, by known names."""
    try:
        content = read_json_as_written(path) if path.suffix == ".json" else read_yaml_as_written(path)
    except (OSError, UnreadableError) as error:
        raise UserError(f"cannot read {origin}: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{origin} must hold lines such as 'gamma: 2.0', got {type(content).__name__}")
    for key in content:
        if key not in {**OPTIONS, **ALIASES} or key in ("name_file_bs", "name_file_alm"):
            raise unknown("key", str(key), [*OPTIONS, *ALIASES], origin=origin, meanings=FLAGS)
    return content


def default_model_name(config: Config, *, with_alm: bool = True) -> str:
    """Data set, configs and ratio, such as ``cifar10_baseline_bce_ALM_15_beg_delta0.5_1to200``."""
    fitted = config.resnet_type if config.is_fitted else ""
    parts = [config.dataset_name, config.name_file_bs or fitted or config.training_type]
    if config.sampler != OPTIONS["sampler"].default and config.sampler not in config.name_file_bs:
        parts.append(config.sampler)
    if with_alm and config.use_ALM:
        parts.append(name_part(asdict(config)))
    if config.has_classes:
        factor = "" if config.imbalance_factor is None else f"{config.imbalance_factor:g}"
        parts.append(f"classes_{config.imbalance}{factor}")
        parts += [f"fold{config.fold}of{config.folds}"] if config.folds else []
    elif config.folds:
        parts += [f"subset{config.test_subset}_on_{config.train_on}", f"fold{config.fold}of{config.folds}"]
    else:
        ratio = config.ratio_pos_train
        parts.append(NATURAL if ratio == NATURAL else f"1to{ratio}")
    return "_".join(parts)


def check_names(settings: Settings) -> None:
    """Check the names of components.

    Raises:
        UserError: a name is not in its table.
    """
    for name, item in OPTIONS.items():
        known, value = item.metadata["names"], getattr(settings.config, name)
        if known and value not in known:
            origin = settings.origins[name]
            raise unknown(called(name, origin), value, known, origin=origin, meanings=VALUES.get(name, {}))


def check_read(settings: Settings) -> None:
    """Check that the run reads every option that was given.

    A base file may hold options of a constraint or an optimizer that another file or a flag would choose, and a flag
    may switch off what a file sets.

    Raises:
        UserError: it does not read one; the message says why, and the remedy.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, (decides, reason) in unread(settings.config).items():
        origin = settings.origins[name]
        chosen_later = is_typed(settings.origins[decides])
        may_wait = not is_typed(origin) and (origin.startswith("configs/baseline/") or chosen_later)
        if is_given(origin) and not (may_wait and decides not in PACKAGES):
            given = called(name, origin)
            found.setdefault((origin.removesuffix(f"{AS}{given}"), reason), []).append(given)
    for (origin, reason), names in found.items():
        raise UserError(f"{', '.join(sorted(names))} (from {origin}) {reason}")


def _check_together(settings: Settings) -> None:
    """Refuse options that exclude each other or cannot act."""
    config = settings.config
    explicit = {name: called(name, origin) for name, origin in settings.origins.items() if is_typed(origin)}
    for excluded, options, remedy in _exclusions(settings, explicit):
        if excluded:
            raise UserError(f"{options} exclude each other; {remedy}")
    if config.mu_limit is not None and config.mu_limit < config.mu:
        raise UserError(f"mu_limit {config.mu_limit:g} is below mu {config.mu:g}; raise mu_limit or leave it out")
    if config.train:
        check_schedule(config)


def _exclusions(settings: Settings, explicit: Mapping[str, str]) -> list[tuple[object, str, str]]:
    """Whether options exclude each other, which ones, and the remedy; ``explicit``: option -> the name typed for it."""
    config, given = settings.config, settings.is_given
    both_validations = given("validation_fraction") and given("validation_per_class")
    decide = "the subsets decide (--subset_ratios, --validation_fraction)"
    return [
        (both_validations, "validation_fraction and validation_per_class", "leave one of them out"),
        (
            given("schedule") and given("lr_decrease") and contradict(asdict(config)),
            f"schedule {config.schedule} and lr_decrease {config.lr_decrease}",
            "lr_decrease 1 is schedule plateau; leave one of them out",
        ),
        *(
            (config.folds and given(name), f"folds and {name}", decide)
            for name in ("ratio_pos_train", "train_fraction", "validation_per_class", "calibration_fraction")
        ),
        (config.dry_run and not config.train, "dry_run 1 and train 0", "dry_run is of a training"),
        *(
            (given(name) and excluded, f"{name} and {what}", remedy)
            for name, excluded, what, remedy in (
                ("weights", not config.train, "train 0", "best.pt holds the weights"),
                ("weights", config.continue_train, "continue_train 1", "the baseline holds the weights"),
                ("freeze_epochs", config.continue_train, "continue_train 1", "the baseline was trained with it"),
            )
        ),
        (
            config.freeze_epochs == "all" and given("augment") and config.augment != "none",
            f"freeze_epochs all and augment {config.augment}",
            "features are computed once, of images as they are; leave augment out, or freeze a number of epochs",
        ),
        (config.resume and not config.train, "resume 1 and train 0", "resume needs --train 1"),
        (config.continue_train and not config.train, "continue_train 1 and train 0", "continue_train needs --train 1"),
        *(
            (config.continue_train and name in explicit, f"{explicit.get(name)} and continue_train 1", remedy)
            for name, remedy in OF_THE_BASELINE.items()
        ),
    ]


def _converted(name: str, value: Any, origin: str, *, called: str = "") -> Any:
    try:
        return convert(name, value, origin, called=called)
    except ValueError as error:
        raise UserError(str(error)) from None
