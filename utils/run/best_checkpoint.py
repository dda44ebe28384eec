"""best.pt: what it holds, the settings in it, and the scores that its model gives."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from ..config.options import FREE, OPTIONS, Config, convert
from ..config.settings import Settings
from ..errors import UserError
from ..losses import loss_class
from ..metrics.scores import Scores
from ..metrics.summary import EvaluationOptions
from ..run_files.checkpoints import BEST, check_like, load, restore
from ..run_files.config_yaml import Facts
from ..run_files.paths import RunPaths, SeedPaths
from ..seeding import torch_stream
from ..training.evaluation import model_outputs
from ..training.state import TrainState
from .components import build_loss
from .experiment import Experiment, build_network, plain, plain_batches, run_facts

RECORDED = {"num_epochs", "name_file_bs", "name_file_alm"}  # of no matter to an evaluation, and taken from best.pt


def checkpoint_content(experiment: Experiment, seed: int, state: TrainState) -> dict[str, Any]:
    """What best.pt holds: the weights, all that is needed to rebuild the model, and what to go on with."""
    assert state.best is not None
    task = experiment.task
    return {
        "weights": state.model.state_dict(),
        "loss": state.loss.state_dict(),
        # scores are counted from here: the threshold that a constraint has learned is where a score is 0
        "threshold": state.constraint.threshold.detach() if state.constraint else torch.zeros(()),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict() if state.scheduler else None,
        "seed": seed,
        "epoch": state.best.epoch,
        "validation_auc": state.best.val_auc,
        "validation_loss": state.best.val_loss,
        "train_auc": state.best.train_auc,
        "config": {name: plain(value) for name, value in asdict(experiment.config).items()},
        "facts": {name: plain(value) for name, value in run_facts(experiment, task.split(seed)).items()},
        "command": experiment.settings.command,
        "data_checksum": task.checksum,
    }


def from_checkpoint(settings: Settings, checkpoint: dict[str, Any], files: SeedPaths) -> Settings:
    """The checkpoint's options, under those of the command that only say how to evaluate.

    Raises:
        UserError: the command asks for another model, objective or task than the checkpoint's; or the checkpoint's own
            options are not ours.
    """
    saved = checkpoint.get("config")
    if not isinstance(saved, dict) or set(saved) != set(OPTIONS):
        raise UserError(f"{files.best} holds the options of another version of this program")
    values = asdict(settings.config)
    origins = dict(settings.origins)
    for name, theirs in saved.items():
        if name in FREE - RECORDED or (name == "precision" and settings.is_given(name)):
            continue
        ours = values[name]
        theirs = None if theirs is None else _checked(name, theirs, files)
        if name not in RECORDED and settings.is_given(name) and ours != theirs:
            raise UserError(
                f"{files.best} was trained with {name} {theirs}, the command asks for {ours} (from {origins[name]})"
            )
        values[name], origins[name] = theirs, "best.pt"
    return replace(settings, config=Config(**values), origins=origins)


def _checked(name: str, value: Any, files: SeedPaths) -> Any:
    try:
        return convert(name, value, str(files.best))
    except ValueError as error:
        raise UserError(str(error)) from None


def score_checkpoint(
    experiment: Experiment, seed: int, checkpoint: dict[str, Any], files: SeedPaths
) -> dict[str, Scores]:
    """Scores of the validation and test set by the model that best.pt holds."""
    task, device = experiment.task, experiment.machine.device
    saved, expected = checkpoint["facts"], run_facts(experiment, task.split(seed))
    try:
        check_like(saved, {name: plain(value) for name, value in expected.items()})
    except ValueError as error:
        raise UserError(f"{files.best} holds facts of the data that are none: {error}") from None
    facts = {name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()}
    # what an objective remembers of each sample is made before it is filled: no more than the file holds, or the data
    sizes = [value.numel() for value in checkpoint["loss"].values() if isinstance(value, torch.Tensor)]
    if checkpoint["threshold"].shape or checkpoint["threshold"].dtype != torch.float32:
        raise UserError(f"{files.best} holds a threshold that is no float32 number")
    samples = facts["num_samples"]
    if not isinstance(samples, int) or samples > max([expected["num_samples"], *sizes]):
        raise UserError(f"{files.best} holds facts of the data that are none: {samples} samples")
    loss = build_loss(experiment.settings, facts)
    model = build_network(task, experiment.config, loss, torch_stream(seed, "initialisation"))
    restore(model, checkpoint["weights"], path=files.best, what="model")
    restore(loss, checkpoint["loss"], path=files.best, what="objective")
    model.to(device).to(memory_format=torch.channels_last)
    batches = plain_batches(experiment)
    split = task.split(seed)
    result = {}
    for part, rows in (("validation", split.validation), ("test", split.test)):
        outputs = model_outputs(model, batches, torch.from_numpy(rows).to(device), machine=experiment.machine)
        with torch.inference_mode():
            raw = loss.to(device).score(outputs).double().cpu()
        scores = (raw - checkpoint["threshold"].double()).numpy()
        if not np.isfinite(scores).all():
            raise UserError(f"the model in {files.best} gives scores of the {part} set that are not finite numbers")
        result[part] = Scores(
            index=task.original_index[rows],
            label=task.labels.cpu().numpy()[rows],
            score=scores,
            split=[str(name) for name in task.original_split[rows]],
            original_class=task.original_class[rows],
        )
    return result


def config_facts(experiment: Experiment) -> Facts:
    """What config.yaml records of this experiment beside the options."""
    task, machine = experiment.task, experiment.machine
    return Facts(
        class_counts=task.class_counts(task.split(experiment.config.seeds[0])),
        source=task.source,
        checksum=task.checksum,
        device=machine.name,
        threads=machine.threads,
    )


def evaluation_options(experiment: Experiment) -> EvaluationOptions:
    """How the scores of this experiment are read."""
    config, task = experiment.config, experiment.task
    counts = task.class_counts(task.split(config.seeds[0]))["train"]  # the same for every seed
    return EvaluationOptions(
        tprs=config.tpr,
        alpha=config.alpha,
        default_threshold=loss_class(config.training_type).default_threshold,
        fprs=config.fpr,
        cost_ratio=config.cost_ratio,
        class_counts=(counts["negative"], counts["positive"]),
    )


def result_facts(experiment: Experiment, paths: RunPaths, seed: int) -> dict[str, Any]:
    """What results.json says beside the numbers: the command that trained ``seed``, and the data."""
    return {
        "command": load(paths.seed(seed).best, BEST)["command"],
        "data_checksum": experiment.task.checksum,
        "class_counts": experiment.task.class_counts(experiment.task.split(seed)),
        "repeats": experiment.task.repeats,
    }
