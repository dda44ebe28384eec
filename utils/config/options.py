"""Every option of a run: its name, type, range, default, unit and help. One line of ``Config`` is one flag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from ..constraints import CONSTRAINTS
from ..constraints import DEFAULT as DEFAULT_CONSTRAINT
from ..data import DATASETS, NATURAL, PLACES, TASKS, TRANSFORMS
from ..data.class_names import spelled_out
from ..data.imbalance import PROFILES
from ..learners import LEARNERS
from ..learners import MODEL as FITTED_MODEL
from ..losses import LOSSES
from ..metrics import SELECTIONS
from ..samplers import SAMPLERS
from .kinds import (
    AUGMENT,
    CLASSES,
    COUNT,
    EPOCHS,
    FPRS,
    NAME,
    NON_NEGATIVE,
    PATH,
    POSITIVE,
    PROMISES,
    RATE,
    RATIO,
    RATIOS,
    SHARE,
    SWITCH,
    TEXT,
    TPRS,
    UNIT,
    WHOLE,
    Kind,
    choice,
    read,
)

GROUPS = {
    "run": "what to do",
    "names": "configs and folders",
    "data": "data and splits",
    "classes": "several classes, of which some are critical",
    "resampling": "cross-validation over all images of a data set, instead of its own test set",
    "model": "model",
    "objective": "objective (which options apply depends on training_type)",
    "constraint": "constraint (ALM)",
    "sampling": "sampling (which options apply depends on sampler)",
    "optimisation": "optimisation",
    "continue": "continue from a finished baseline",
    "evaluation": "evaluation",
    "machine": "machine",
}

NO_TABLE: Mapping[str, str] = {}


def _option(
    group: str, kind: Kind, default: Any, text: str, *, names: Mapping[str, str] = NO_TABLE, alias: str = ""
) -> Any:
    """A field of ``Config``. Default None: it follows from another option or the data, or is up to the component.

    Args:
        text: the help; ``{names}`` stands for those of ``names``, ``{takers}`` for the components that take the option.
        names: the table of names that the value is chosen from.
        alias: a second name, on the command line and in files.
    """
    metadata = {"group": group, "kind": kind, "help": text, "names": names, "alias": alias}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """One run. All values are checked; None: it follows from the data, or the component's own default applies."""

    # fmt: off
    train: int = _option("run", SWITCH, 1, "1 trains and evaluates; 0 evaluates seed<k>/best.pt")
    seeds: tuple[int, ...] = _option("run", Kind("seeds", "seeds such as 1-10 or 1,3,5", low=0), tuple(range(1, 11)),
        "one run each: its own training subset, initialisation and order")
    resume: int = _option("run", SWITCH, 0, "1 resumes each seed from its last completed epoch")
    num_epochs: int = _option("run", COUNT, 100, "maximum number of epochs (passes over the training set)",
        alias="epochs")
    evaluate_every_steps: int = _option("run", WHOLE, 0,
        "k > 0: an epoch is k steps instead of a pass, for validation, patience, mu and history")

    dry_run: int = _option("run", SWITCH, 0,
        "1 says what would be trained, in what memory and time; writes only dry_run.png, a batch as it is trained on")

    name_file_bs: str = _option("names", TEXT, "", "base config: a file of configs/baseline, without its suffix")
    name_file_alm: str = _option("names", TEXT, "", "ALM config: a file of configs/ALM, without its suffix")
    model_name: str | None = _option("names", NAME, None,
        "folder of the run (default: made from data set, configs and ratio)")
    subfolder_name: str = _option("names", NAME, "runs", "folder under checkpoint/ that holds the run's folder")
    checkpoint_root: str = _option("names", PATH, "checkpoint", "root folder of all results")

    dataset_name: str = _option("data", NAME, "cifar10",
        f"{', '.join(DATASETS)} (digits is embedded), or NAME for <data_root>/NAME/manifest.yaml, which prepare.py "
        "wrote, or <data_root>/NAME.npz", alias="dataset")
    data_root: str = _option("data", PATH, "datasets",
        "folder of the data; <data_root>/<dataset_name>/ is searched too")
    download: int = _option("data", SWITCH, 1, "1 downloads a missing data set")
    negative_classes: tuple[int | str, ...] | None = _option("data", CLASSES, None,
        "classes of the majority (default: depends on the data set; with positive_classes alone, the rest)")
    positive_classes: tuple[int | str, ...] | None = _option("data", CLASSES, None,
        "classes of the rare, critical class (default: depends on the data set; with negative_classes alone, the rest; "
        "of two classes of prepared data that which is marked, else the rarer)")
    ratio_pos_train: int | float | str | None = _option("data", RATIO, None,
        "negatives per positive in the training set; natural uses all images (default: 100; digits 20; own data "
        "natural)")
    validation_fraction: float | None = _option("data", SHARE, None,
        "fraction of each class of the training file used for validation (default: 0.1; not for CIFAR)")
    validation_per_class: int | None = _option("data", COUNT, None,
        "validation images per class, instead of a fraction (default: cifar10 100, cifar100 50)")
    calibration_fraction: float = _option("data", Kind("float", "a fraction in [0, 1)", low=0, high=0.999), 0.0,
        "fraction of each class of the training file that only the promised thresholds look at")
    train_fraction: float | None = _option("data",
        Kind("float", "a fraction in (0, 1]", low=0, high=1, open_low=True), None,
        "fraction of the remaining negatives that each seed draws, with ratio natural of the positives too "
        "(default: 0.9; own data 1)")
    augment: str | None = _option("data", AUGMENT, None,
        f"random changes of training images: a name, or several of {', '.join(TRANSFORMS)} with commas between "
        "(default: crop_flip for CIFAR and own colour images, else none)")
    images: str = _option("data", choice(*PLACES), "auto",
        "where prepared images are kept: on the device, or on the disk (mapped), from where batches are read ahead; "
        "auto: on the device if they fit")

    task: str = _option("classes", choice(*TASKS), TASKS[0],
        "binary: negative against positive classes; classes: each class for itself, some of them critical")
    classes: tuple[int | str, ...] | None = _option("classes", CLASSES, None,
        "classes in use, in the order of the imbalance, the largest first (default: all of the data)")
    critical_classes: tuple[int | str, ...] | None = _option("classes", CLASSES, None,
        "those of them that must not be missed (default: the one that prepared data mark, else the rarest in training; "
        "of two that are given the second)")
    imbalance: str = _option("classes", choice(NATURAL, *PROFILES), NATURAL,
        "size of each class in training: natural uses all images, exp falls by equal factors from class to class, step "
        "is small in the last half of the classes; validation is drawn first")
    imbalance_factor: float | None = _option("classes",
        Kind("float", "a number in (0, 1]", low=0, high=1, open_low=True), None,
        "smallest class over the largest; 0.01 is what publications call 100 (default: 0.01)")
    select: str = _option("classes", choice(*SELECTIONS), SELECTIONS[0],
        "number of the validation set by which the best epoch is chosen, also for patience and plateau: auc is the "
        "mean over all classes against the rest, critical_auc that over the critical ones")

    folds: int = _option("resampling", WHOLE, 0, "K >= 2: K-fold cross-validation; 0: the data set's own test set")
    fold: int = _option("resampling", COUNT, 1, "test fold, 1..K")
    subset_ratios: tuple[int | float | str, ...] | None = _option("resampling", RATIOS, None,
        "negatives per positive in each of the disjoint subsets that the images are divided into; natural: one subset "
        "of all images (default: 1; own data natural)")
    test_subset: int = _option("resampling", COUNT, 1, "test subset, counted from 1")
    train_on: str = _option("resampling", choice("same", "other", "all"), "same",
        "train on the test subset, on the other subsets, or on all, always without the test fold")
    downsample: int = _option("resampling", SWITCH, 0,
        "1 reduces the training set to the size of the smallest of those three")

    resnet_type: str = _option("model", TEXT, "resnet10",
        f"trained: {{models}}, torchvision:NAME, timm:NAME; fitted at once: {', '.join(LEARNERS)}", alias="model")
    hidden_widths: tuple[int, ...] = _option("model",
        Kind("ints", "layer widths in 1..65536, such as 128 64", low=1, high=65536), (128, 64),
        "hidden layer widths of dense")
    weights: str | None = _option("model", PATH, None,
        "weights to start from, all but the last layer: a state dict (.pt, .pth, .safetensors), best.pt of a run, or "
        "default for those of torchvision or timm (default: random)")
    freeze_epochs: int | str = _option("model", EPOCHS, 0,
        "epochs that train the last layer alone; all: on features that are computed once")
    image_size: int | None = _option("model", Kind("int", "an integer in 1..4096", low=1, high=4096), None,
        "side in pixels to which images are resized for the model (default: as they are; sides below 28 become 32)")
    normalisation: str | None = _option("model", choice("data", "weights", "imagenet", "half", "lite"), None,
        "mean and SD of the pixels: of the training set, as the backbone's own weights expect, of ImageNet, 1/2 and "
        "1/2, 127/255 and 128/255 (default: weights for a backbone with --weights, else data)")

    training_type: str = _option("objective", TEXT, "BCE",
        "{names}", names=LOSSES, alias="loss")
    gamma: float | None = _option("objective", NON_NEGATIVE, None,
        "focusing exponent, or exponent of the class sizes ({takers})")
    m: float | None = _option("objective", NON_NEGATIVE, None,
        "margin, in units of what the loss compares: logits, or for some probabilities ({takers})")
    c: float | None = _option("objective", POSITIVE, None,
        "weight of a positive, in units of ratio_pos_train ({takers})")
    beta: float | None = _option("objective", Kind("float", "a number in [0, 1)", low=0, high=1 - 1e-15), None,
        "base of the effective number of samples ({takers})")
    tau: float | None = _option("objective", NON_NEGATIVE, None,
        "strength of the prior's logarithm in the logits ({takers}; default 1)")
    focal_alpha: float | None = _option("objective", UNIT, None,
        "weight of the positives, 1 - focal_alpha of the negatives ({takers}; default 0.25)")
    max_fpr: float | None = _option("objective", RATE, None,
        "only the fraction max_fpr of the negatives with the highest scores counts ({takers}; default 0.1)")
    anyloss_metric: str | None = _option("objective",
        choice("f_beta", "balanced_accuracy", "geometric_mean", "accuracy"), None,
        "metric of the smoothed confusion matrix to maximise ({takers}; default f_beta)")
    f_beta: float | None = _option("objective", POSITIVE, None,
        "weight of recall relative to precision in f_beta ({takers}; default 1)")
    amplification: float | None = _option("objective", POSITIVE, None,
        "steepness of the smoothed confusion matrix ({takers}; default 73)")
    drw_from: int | None = _option("objective", WHOLE, None,
        "epoch from which the classes are reweighted ({takers}; default 80)")
    eps: float | None = _option("objective", NON_NEGATIVE, None,
        "added inside the logarithm ({takers}; alm-dnn uses 1e-4; default 0, the exact form)")
    max_margin: float | None = _option("objective", POSITIVE, None,
        "largest cosine margin ({takers}; default 0.5)")
    scale: float | None = _option("objective", POSITIVE, None, "factor on the cosines ({takers}; default 30)")

    use_ALM: int = _option("constraint", SWITCH, 0, "1 adds the constraint")
    constraint: str = _option("constraint", TEXT, DEFAULT_CONSTRAINT,
        "constraint on the scores: {names}", names=CONSTRAINTS)
    tpr_at_least: float = _option("constraint", RATE, 0.98, "TPR that the learned threshold must reach")
    fpr_at_most: float | None = _option("constraint", RATE, None,
        "FPR that the learned threshold may have (default: not constrained)")
    introd_ALM_from: int = _option("constraint", WHOLE, 0, "number of epochs by which the growth of mu is delayed")
    p2_norm: float = _option("constraint", Kind("float", "a number >= 0.5", low=0.5), 1.0,
        "half the exponent of the quadratic term")
    mu: float = _option("constraint", POSITIVE, 0.1, "initial weight of the quadratic term")
    mu_limit: float | None = _option("constraint", POSITIVE, None,
        "largest mu (default: mu * rho^5, or mu * rho^3 where mu >= 1e-3)")
    rho: float = _option("constraint", Kind("float", "a number in [1, 1e6]", low=1, high=1e6), 2.0,
        "factor by which mu grows")
    delta: float = _option("constraint", NON_NEGATIVE, 0.0,
        "margin in logits by which positives must outrank negatives, also in the logged violation")
    against: str | None = _option("constraint", choice("rest", "classes"), None,
        "of several classes, whom a critical sample must outrank: the rest, or each other class by itself ({takers}; "
        "default rest)")
    cap_mu: int = _option("constraint", SWITCH, 1, "1 stops the growth of mu once the validation AUC is 1")

    sampler: str = _option("sampling", TEXT, "natural",
        "how batches are drawn: {names}", names=SAMPLERS)
    positive_share: float | None = _option("sampling", SHARE, None,
        "fraction of positives in a batch ({takers}; default 0.5)")
    least_positives: int | None = _option("sampling", COUNT, None,
        "minimum number of positives in a batch ({takers}; default 1)")
    natural_from: int | None = _option("sampling", WHOLE, None,
        "pass over the data from which sampling is natural ({takers}; default 80)")
    temperature: float | None = _option("sampling", Kind("float", "a number >= 1", low=1), None,
        "initially, a class is drawn in proportion to its size to the power 1/temperature ({takers}; default 10)")
    cool_down: int | None = _option("sampling", COUNT, None,
        "passes over the data until the temperature is 1 ({takers}; default 80)")
    neighbours: int | None = _option("sampling", COUNT, None,
        "number of nearest positives used for interpolation ({takers}; default 5)")

    optimizer: str = _option("optimisation", choice("sgd", "adam", "adamw"), "sgd", "update rule")
    lr: float | None = _option("optimisation", POSITIVE, None, "learning rate (default: 0.01; cifar100 0.001)")
    momentum: float = _option("optimisation", Kind("float", "a number in [0, 1)", low=0, high=1 - 1e-15), 0.9,
        "momentum of sgd")
    weight_dec: float = _option("optimisation", NON_NEGATIVE, 2e-4, "weight decay")
    bsize: int = _option("optimisation", COUNT, 64, "batch size", alias="batch_size")
    lr_decrease: int = _option("optimisation", SWITCH, 0,
        "1 halves lr when the validation AUC stops improving; the same as --schedule plateau")
    patience_lr: int = _option("optimisation", WHOLE, 10, "epochs without improvement before lr is halved")
    schedule: str | None = _option("optimisation", choice("constant", "plateau", "step", "cosine"), None,
        "lr by epoch: plateau is lr_decrease 1, step needs lr_steps, cosine falls to 0 over num_epochs (default: "
        "constant)")
    warm_up: int = _option("optimisation", WHOLE, 0, "n > 0: lr rises linearly over the first n epochs, from lr / n")
    lr_steps: tuple[int, ...] | None = _option("optimisation",
        Kind("ints", "epochs >= 1, such as 160 180", low=1), None,
        "epochs after each of which schedule step multiplies lr by lr_factor")
    lr_factor: float | None = _option("optimisation", SHARE, None,
        "by which lr is multiplied (default: plateau 0.5, step 0.1)")
    ema: float = _option("optimisation", Kind("float", "a number in [0, 1)", low=0, high=1 - 1e-15), 0.0,
        "decay a step of the average of the weights, such as 0.999, that validation, test and best.pt use; 0: none")
    patience_early_stopping: int = _option("optimisation", WHOLE, 30,
        "stop after more than this many epochs without improvement")

    continue_train: int = _option("continue", SWITCH, 0,
        "1 starts from the best checkpoint of a baseline with the same seed")
    continue_train_epochs: int = _option("continue", COUNT, 50, "epochs to add to the baseline")
    baseline_cont_train: str | None = _option("continue", NAME, None,
        "model_name of that baseline (default: the name this run would have without ALM)")

    tpr: tuple[float, ...] = _option("evaluation", TPRS,
        (0.98, 0.95, 0.90), "true positive rates at which the false positive rate is reported")
    fpr: tuple[float, ...] = _option("evaluation", FPRS, (0.01, 0.05, 0.10),
        "false positive rates at which TPR and error are reported and thresholds are chosen on validation")
    promise: tuple[float, ...] | None = _option("evaluation", PROMISES, None,
        "TPR that a threshold is to reach on new images, and the allowed probability of missing it; several pairs "
        "(default: each --tpr below 1 with 0.05)")
    cost_ratio: float = _option("evaluation", POSITIVE, 10.0,
        "cost of a false negative relative to a false positive, for the expected cost and its threshold")
    alpha: float = _option("evaluation", UNIT, 0.5,
        "weight of the TPR in the weighted rate alpha * TPR + (1 - alpha) * TNR")

    device: str = _option("machine", Kind("text", "auto, cpu, cuda or cuda:N"), "auto",
        "auto uses the GPU if there is one")
    precision: str = _option("machine", choice("fp32", "tf32", "bf16"), "fp32", "arithmetic of the model")
    threads: int = _option("machine", Kind("int", "an integer in 0..1024", low=0, high=1024), 0,
        "CPU threads per seed (changes rounding); 0: the cores are shared by the seeds trained in parallel")
    parallel_seeds: int = _option("machine", Kind("int", "an integer in 0..1024", low=0, high=1024), 0,
        "seeds trained in parallel, one process each; 0: as many as the CPU has cores for, one on a GPU")
    compile: int = _option("machine", SWITCH, 0, "1 compiles the model with torch.compile (changes rounding)")
    deterministic: int = _option("machine", SWITCH, 0,
        "1 uses deterministic algorithms, for bitwise reproducible results on a GPU too (slower)")
    keep_last: int = _option("machine", SWITCH, 1, "0 deletes seed<k>/last.pt when the seed is finished")
    hot_enc: int = _option("machine", Kind("int", "an integer"), 0, "ignored; kept for alm-dnn compatibility")
    # fmt: on

    @property
    def is_fitted(self) -> bool:
        """Whether a learner fits the model at once, instead of training steps."""
        return self.resnet_type in LEARNERS

    @property
    def for_one_process(self) -> str:
        """What is asked for that several ranks of torchrun do not share, such as ``--compile 1``; '' if nothing is."""
        asked = {
            "--train 0": not self.train,
            "--compile 1": self.compile,
            f"--parallel_seeds {self.parallel_seeds}": self.parallel_seeds > 1,
            f"--resnet_type {self.resnet_type}": self.is_fitted,
        }
        return next((option for option, found in asked.items() if found), "")

    @property
    def has_classes(self) -> bool:
        """Whether the task is one of K classes instead of two sides."""
        return self.task == TASKS[1]

    @property
    def lr_course(self) -> str:
        """``schedule``, also before it is filled in: lr_decrease 1 is a plateau."""
        return self.schedule or ("plateau" if self.lr_decrease else "constant")

    @property
    def architecture(self) -> str:
        """The name of the model in ``models.MODELS``."""
        return FITTED_MODEL if self.is_fitted else self.resnet_type

    @property
    def frozen_epochs(self) -> float:
        """The epochs that train the last layer alone; infinite for all."""
        return math.inf if self.freeze_epochs == "all" else float(self.freeze_epochs)


# what --help shows; --help all shows the rest too
MOST_USED = (
    *("train", "seeds", "resume", "num_epochs", "dry_run"),
    *("name_file_bs", "name_file_alm", "model_name"),
    *("dataset_name", "positive_classes", "ratio_pos_train", "calibration_fraction"),
    "task",
    *("resnet_type", "weights"),
    "training_type",
    *("use_ALM", "delta"),
    "sampler",
    "device",
)
# group -> the option without which its others cannot act
SWITCHES = {"classes": "task", "resampling": "folds", "constraint": "use_ALM"}
OPTIONS: dict[str, Field[Any]] = {item.name: item for item in fields(Config)}
ALIASES: dict[str, str] = {item.metadata["alias"]: name for name, item in OPTIONS.items() if item.metadata["alias"]}
# may differ between the commands of one run: they say what to do, where, and how to evaluate, not what is computed
FREE = {
    *("train", "seeds", "resume", "dry_run"),
    *("num_epochs", "name_file_bs", "name_file_alm", "model_name", "subfolder_name"),
    *("checkpoint_root", "data_root", "download", "tpr", "fpr", "promise", "cost_ratio", "alpha"),
    "weights",  # compared by their checksum
    *("device", "threads", "deterministic", "keep_last", "images"),
    *("parallel_seeds", "compile", "hot_enc"),
}


def spelled(name: str, value: Any) -> Any:
    """``value`` of an option to compare: of classes with what lists and ranges mean where they are no names."""
    if OPTIONS[name].metadata["kind"].name != "classes" or not isinstance(value, (list, tuple)):
        return value
    try:
        return [each for item in value for each in spelled_out(item)]
    except ValueError:
        return value


def convert(name: str, value: Any, origin: str, *, called: str = "") -> Any:
    """``value``, from the command line or a YAML file, converted to the type of the option ``name``.

    Args:
        called: the name that the user gave it, if it is the alias.

    Raises:
        ValueError: it is not valid; the message says what was expected, what was given and where.
    """
    kind: Kind = OPTIONS[name].metadata["kind"]
    try:
        converted = read(kind, value)
    except (ValueError, TypeError, OverflowError) as error:
        shown = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        shown = shown[:80] if shown and shown.isprintable() else repr(shown[:80])
        rule = f": {error}" if isinstance(error, ValueError) and str(error) else ""
        raise ValueError(f"{called or name} must be {kind.expected}, got {shown} (from {origin}){rule}") from None
    return converted
