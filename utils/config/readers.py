"""Which options nothing in a run reads. Imports no torch."""

from __future__ import annotations

from ..data import NATURAL
from ..learners import FIXED, UNREAD
from .constructors import PACKAGES, takers
from .options import OPTIONS, SWITCHES, Config


def unread(config: Config) -> dict[str, tuple[str, str]]:
    """The options that have no reader in this run, whether they are given or not.

    Returns:
        Option -> the option that decides it, and the reason with its remedy, which completes "momentum (from ...) ".
    """
    found: dict[str, tuple[str, str]] = {}
    for names, acts, decides, reason in _requirements(config):
        if not acts:
            found |= dict.fromkeys(sorted(names - found.keys()), (decides, f"cannot act with {reason}"))
    for choice in PACKAGES:
        for name, reason in _without_taker(config, choice).items():
            found.setdefault(name, (choice, reason))
    return found


def _requirements(config: Config) -> list[tuple[set[str], object, str, str]]:
    """Options, whether they can act, the option that decides it, the setting with which they cannot and the remedy."""
    continued = {"continue_train_epochs", "baseline_cont_train"}
    course, decides = config.lr_course, "schedule" if config.schedule else "lr_decrease"
    scheduled = f"schedule {course}; it belongs to"
    fitted = f"{config.resnet_type}, which is fitted, not trained; leave"
    return [
        *(
            ({name}, _is_trained(config, name), "resnet_type", f"{fitted} it at {OPTIONS[name].default}")
            for name in FIXED
        ),
        (set(UNREAD), not config.is_fitted, "resnet_type", f"{fitted} it out"),
        *_of_classes(config),
        (_group("resampling"), config.folds, "folds", "folds 0; add --folds K"),
        (_group("constraint"), config.use_ALM, "use_ALM", "use_ALM 0; add --use_ALM 1 or an ALM file"),
        ({"momentum"}, config.optimizer == "sgd", "optimizer", f"optimizer {config.optimizer}; it belongs to sgd"),
        ({"hidden_widths"}, config.resnet_type == "dense", "resnet_type", f"{config.resnet_type}; it belongs to dense"),
        *_of_weights(config),
        ({"patience_lr"}, course == "plateau", decides, f"{scheduled} plateau, which is --lr_decrease 1"),
        ({"lr_steps"}, course == "step", decides, f"{scheduled} step"),
        ({"lr_factor"}, course in ("plateau", "step"), decides, f"{scheduled} plateau and step"),
        (continued, config.continue_train, "continue_train", "continue_train 0; add --continue_train 1"),
    ]


def _of_classes(config: Config) -> list[tuple[set[str], object, str, str]]:
    """The same of options that belong to a task of two sides, or to one of K classes."""
    sides = {"negative_classes", "positive_classes", "ratio_pos_train"}
    subsets = {"subset_ratios", "test_subset", "train_on", "downsample"}
    many = config.has_classes
    natural = "imbalance natural; add --imbalance exp or step"
    return [
        (_group("classes"), many, "task", "task binary; add --task classes"),
        ({"against"}, many, "task", "task binary, where both readings are one; add --task classes"),
        (sides, not many, "task", "task classes; use --classes, --critical_classes and --imbalance"),
        (subsets, not many, "task", "task classes, whose folds are of all images; leave it out"),
        ({"imbalance_factor"}, config.imbalance != NATURAL, "imbalance", natural),
        ({"imbalance"}, not config.folds or config.imbalance == NATURAL, "folds", "folds; leave one of them out"),
    ]


def _of_weights(config: Config) -> list[tuple[set[str], object, str, str]]:
    """The same of options about weights that were trained elsewhere."""
    model, frozen = config.resnet_type, config.freeze_epochs
    has_body = not config.is_fitted and model != "linear"
    without = "random weights, which freezing would keep; add --weights"
    return [
        ({"weights"}, has_body, "resnet_type", f"{model}, which is a last layer alone; weights of that are drawn anew"),
        ({"freeze_epochs"}, config.weights or not frozen, "weights", without),
        ({"compile"}, frozen != "all" or not config.compile, "freeze_epochs", "freeze_epochs all; leave it out"),
    ]


def _is_trained(config: Config, name: str) -> bool:
    """Whether the model is trained, or the option is at its default."""
    return not config.is_fitted or getattr(config, name) == OPTIONS[name].default


def _group(group: str) -> set[str]:
    """The options of a group that act only where its switch is on."""
    return {name for name, item in OPTIONS.items() if item.metadata["group"] == group} - {SWITCHES[group]}


def _without_taker(config: Config, choice: str) -> dict[str, str]:
    """The options of a component's group that it does not take, and why."""
    name, group = getattr(config, choice), OPTIONS[choice].metadata["group"]
    known = [option for option, item in OPTIONS.items() if item.metadata["group"] == group and option in takers()]
    takes = [option for option in known if name in takers()[option]]
    return {
        option: f"has no use in {name}, which takes {', '.join(takes) or 'no options'}; "
        f"it belongs to {', '.join(takers()[option])}"
        for option in known
        if option not in takes
    }
