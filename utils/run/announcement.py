"""What a run prints before it trains."""

from __future__ import annotations

from ..config.options import Config
from ..run_files.paths import RunPaths
from ..system.devices import Machine
from ..training.notices import data_notices
from .experiment import Experiment


def announce(experiment: Experiment, paths: RunPaths) -> None:
    """Print the sets, the objective, the machine, and the notices about the data."""
    task, config = experiment.task, experiment.config
    counts = task.class_counts(task.split(config.seeds[0]))
    shown = ", ".join(f"{part} {count['negative']} : {count['positive']}" for part, count in counts.items())
    constraint = f" + {_constraint(config)}" if config.use_ALM else ""
    sampler = f", {config.sampler} sampler" if config.sampler != "natural" else ""
    print(f"{task.name} 1:{config.ratio_pos_train}  negatives : positives  {shown}")
    print(
        f"{config.resnet_type}, {config.training_type}{constraint}{sampler}, seeds {' '.join(map(str, config.seeds))}, "
        f"on {_shown(experiment.machine)} -> {paths.folder}"
    )
    for line in data_notices(counts, tprs=config.tpr, repeats=task.repeats):
        print(f"note: {line}")


def _constraint(config: Config) -> str:
    if config.constraint == "pairwise":
        return f"ALM (delta {config.delta:g}, mu {config.mu:g})"
    asked = f"TPR >= {config.tpr_at_least:g}"
    asked += f", FPR <= {config.fpr_at_most:g}" if config.fpr_at_most is not None else ""
    return f"rate constraint ({asked}, mu {config.mu:g})"


def _shown(machine: Machine) -> str:
    threads = f"{machine.threads} thread{'s' if machine.threads > 1 else ''}"
    at_once = f"{machine.seeds_at_once} seeds at once, {threads} each" if machine.seeds_at_once > 1 else threads
    return f"{machine.name} ({at_once}, {machine.precision})"
