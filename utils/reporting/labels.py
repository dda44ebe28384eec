"""What a row is called, and which rows belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.options import OPTIONS
from ..constraints import label
from ..learners import LEARNERS
from .runs import Run

SHORT = {
    "BCE": "BCE",
    "SYM_LM": "S-LM",
    "SYM_FL": "S-FL",
    "ASYM_LM": "A-LM",
    "ASYM_FL": "A-FL",
    "cb_BCE": "CB-BCE",
    "WBCE": "W-BCE",
    "LDAM": "LDAM",
    "MBAUC": "MBAUC",
    "W_LOGISTIC": "W-logistic",
    "ALPHA_FL": "alpha-FL",
    "cb_FL": "CB-FL",
    "LDAM_DRW": "LDAM-DRW",
    "AUM_RATE": "AUM rate",
    "AUM_COUNT": "AUM count",
    "SQ_HINGE_PW": "all-pairs sq. hinge",
    "SQUARE_PW": "all-pairs square",
    "SAMPLING_FREE": "Sampling-Free",
    "ANYLOSS": "AnyLoss",
}
# What says nothing about what is computed: names, places, what to do, how results are read.
ASIDE = {name for name, item in OPTIONS.items() if item.metadata["group"] in ("run", "names", "evaluation")} - {
    "num_epochs",
    "evaluate_every_steps",
}
ASIDE |= {"device", "threads", "parallel_seeds", "compile", "deterministic", "keep_last", "hot_enc"}
ASIDE |= {"data_root", "download"}
CONSTRAINT = {name for name, item in OPTIONS.items() if item.metadata["group"] == "constraint"}
# ALM that goes on from the finished baseline is compared with that baseline.
RESAMPLING = {name for name, item in OPTIONS.items() if item.metadata["group"] == "resampling"}
CONTINUED = {name for name, item in OPTIONS.items() if item.metadata["group"] == "continue"}
OBJECTIVE = {name for name, item in OPTIONS.items() if item.metadata["group"] == "objective"}


def shown(value: Any) -> str:
    """A value of an option as a reader writes it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return " ".join(shown(item) for item in value)
    return str(value)[:80]


def has_constraint(options: Mapping[str, Any]) -> bool:
    """Whether the run trained with ALM."""
    return options.get("use_ALM") in (1, True)


def objective(options: Mapping[str, Any]) -> str:
    """The objective and its own options, such as ``S-LM m=0.5``."""
    if options.get("resnet_type") in LEARNERS:
        return shown(options["resnet_type"])
    name = shown(options.get("training_type", "?"))
    given = [
        f"{key}={shown(options[key])}" for key in sorted(OBJECTIVE - {"training_type"}) if options.get(key) is not None
    ]
    return " ".join([SHORT.get(name, name), *given])


def constraint(options: Mapping[str, Any]) -> str:
    """``ALM`` with the options that tell constraints apart, or nothing."""
    if not has_constraint(options):
        return ""
    continued = " continued" if options.get("continue_train") in (1, True) else ""
    return label(options, show=shown) + continued


def base_key(run: Run) -> tuple[Any, ...]:
    """Equal for a run and the same run with ALM: data and options, those of the constraint aside."""
    kept = {key: value for key, value in run.record.options.items() if key not in ASIDE | CONSTRAINT | CONTINUED}
    return (run.record.checksum, str(run.record.class_counts), *sorted((key, str(kept[key])) for key in kept))


def extras(runs: Sequence[Run]) -> dict[str, str]:
    """For each run's name what tells it apart beside objective and constraint; nothing where those are enough.

    Options that differ between the runs are named in every row that has them: in a folder with two ratios each says
    its own.
    """
    varying = varying_options([run.record.options for run in runs])
    found = {
        run.name: ", ".join(
            _extra(name, value) for name in varying if (value := run.record.options.get(name)) is not None
        )
        for run in runs
    }
    seen: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        options = run.record.options
        seen.setdefault((objective(options), constraint(options), found[run.name]), []).append(run.name)
    for names in seen.values():
        if len(names) > 1:
            found |= {name: f"{found[name]}, {name}".removeprefix(", ") for name in names}
    return found


def varying_options(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """The options beyond objective and constraint that are not the same in all runs."""
    names = [name for name in OPTIONS if name not in ASIDE | CONSTRAINT | CONTINUED | OBJECTIVE]
    varying = [name for name in names if len({str(each.get(name)) for each in options}) > 1]
    if "dataset_name" not in varying:
        return varying
    # the data set's name stands for what has one value in each data set, such as its ratio or number of epochs
    datasets = {str(each.get("dataset_name")) for each in options}
    return [
        name
        for name in varying
        if name == "dataset_name"
        or len({(str(each.get("dataset_name")), str(each.get(name))) for each in options}) > len(datasets)
    ]


def _extra(name: str, value: Any) -> str:
    if name in ("dataset_name", "resnet_type"):
        return shown(value)
    return f"1:{shown(value)}" if name == "ratio_pos_train" else f"{name}={shown(value)}"


def sort_key(run: Run) -> tuple[Any, ...]:
    """The order of the paper's tables: by objective, each without ALM first."""
    options = run.record.options
    name = str(options.get("training_type"))
    position = list(SHORT).index(name) if name in SHORT else len(SHORT)
    ratio = str(options.get("ratio_pos_train"))
    return (position, objective(options), ratio.rjust(9), base_key(run), has_constraint(options), run.name)
