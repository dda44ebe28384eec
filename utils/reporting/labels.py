"""Names of rows, and which rows belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from ..config.options import OPTIONS, convert
from ..constraints import label
from ..data import NATURAL
from ..learners import LEARNERS
from .read_seeds import Run
from .tables import cut, exact

# Short names of objectives, in the order of the paper's tables; any other objective keeps its own name and comes last.
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


def _options(*groups: str) -> set[str]:
    return {name for name, item in OPTIONS.items() if item.metadata["group"] in groups}


# Options that do not affect what is trained: names, paths, what to run, how to evaluate.
ASIDE = _options("run", "names", "evaluation") - {"num_epochs", "evaluate_every_steps"}
ASIDE |= {"device", "threads", "parallel_seeds", "compile", "deterministic", "keep_last", "hot_enc"}
ASIDE |= {"data_root", "download"}
CONSTRAINT = _options("constraint")
RESAMPLING = _options("resampling")
CONTINUED = _options("continue")  # ALM that continues from a finished baseline is compared with that baseline
OBJECTIVE = _options("objective")
PREFIXES = {"dataset_name": "", "resnet_type": "", "ratio_pos_train": "1:"}  # in the name of a row; otherwise "name="


def asked(options: Mapping[str, Any], name: str) -> Any:
    """An option of the run; the default if config.yaml has no valid value."""
    try:
        return convert(name, options[name], "config.yaml")
    except (KeyError, ValueError):
        return OPTIONS[name].default


def shown(value: Any) -> str:
    """The value of an option as it was given; a long text is cut."""
    if isinstance(value, float):
        return exact(value)
    return " ".join(map(shown, value)) if isinstance(value, tuple) else cut(str(value), 80)


def named_classes(options: Mapping[str, Any]) -> str:
    """``tumour against benign, normal``, where the data have class names; else nothing."""
    positive, negative = (options.get(f"{side}_classes") or () for side in ("positive", "negative"))
    if not any(isinstance(name, str) for name in (*positive, *negative)):
        return ""
    return " against ".join(cut(", ".join(map(str, names)), 80) for names in (positive, negative))


def ratio(counts: Mapping[str, int]) -> str:
    """Negatives and positives."""
    return f"{counts['negative']} : {counts['positive']}"


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
    if options.get("use_ALM") not in (1, True):
        return ""
    continued = " continued" if options.get("continue_train") in (1, True) else ""
    return label(options, show=shown) + continued


def base_key(run: Run) -> tuple[Any, ...]:
    """Data and options without those of the constraint: equal for a run and the same run with ALM."""
    kept = {key: value for key, value in run.record.options.items() if key not in ASIDE | CONSTRAINT | CONTINUED}
    of = (run.record.checksum, run.critical, str(run.record.class_counts), str(run.record.sizes))
    return (*of, *sorted((key, str(kept[key])) for key in kept))


def extras(runs: Sequence[Run]) -> dict[str, str]:
    """What distinguishes each run beyond objective and constraint, by its name; empty if these suffice.

    Options that differ between runs are named in every row that has them: with two ratios in a folder, each row states
    its own. Rows that would still share a name are told apart by their folders.
    """
    varying = varying_options([run.record.options for run in runs])
    found, full = {}, {}
    for run in runs:
        options = run.record.options
        given = [(name, shown(_short(name, options[name]))) for name in varying if options.get(name) is not None]
        found[run.name] = ", ".join(f"{_prefix(name, value)}{value}" for name, value in given)
        full[run.name] = (objective(options), constraint(options), found[run.name], run.critical)
    folders = {run.name: run.folder for run in runs}
    repeated = Counter(full.values())
    for name in found:
        if repeated[full[name]] > 1:
            found[name] = ", ".join(filter(None, (found[name], folders[name])))
    return found


def _short(name: str, value: Any) -> Any:
    """A path by its last part."""
    return PurePath(str(value)).name if name == "weights" else value


def _prefix(name: str, value: str) -> str:
    if name == "ratio_pos_train" and value == NATURAL:
        return "ratio "
    return PREFIXES.get(name, f"{name}=")


def varying_options(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """The options besides objective and constraint that differ between the runs."""
    names = [name for name in OPTIONS if name not in ASIDE | CONSTRAINT | CONTINUED | OBJECTIVE]
    varying = [name for name in names if len({str(each.get(name)) for each in options}) > 1]
    if "dataset_name" not in varying:
        return varying
    # the data set's name also stands for options with a single value per data set, such as the number of epochs
    datasets = {str(each.get("dataset_name")) for each in options}
    return [
        name
        for name in varying
        if name == "dataset_name"
        or len({(str(each.get("dataset_name")), str(each.get(name))) for each in options}) > len(datasets)
    ]


def sort_key(run: Run) -> tuple[Any, ...]:
    """Order of the paper's tables: by objective, without ALM first."""
    options = run.record.options
    name = str(options.get("training_type"))
    position = list(SHORT).index(name) if name in SHORT else len(SHORT)
    ratio = str(options.get("ratio_pos_train"))
    return (position, objective(options), ratio.rjust(9), base_key(run), bool(constraint(options)), run.name)
