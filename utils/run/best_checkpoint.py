"""From an experiment to best.pt, and from best.pt to scores."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from ..config.guarantees import compared, promises
from ..data.batches import Batches
from ..data.computed_features import ComputedFeatures
from ..data.raw import Int64Array
from ..data.task import Task
from ..errors import UserError
from ..losses import loss_class
from ..losses.base import Loss
from ..losses.softmax import SoftmaxLoss
from ..metrics.class_summary import ClassEvaluation
from ..metrics.decisions import decisions_of
from ..metrics.scores import ClassScores, Scores
from ..metrics.summary import EvaluationOptions
from ..run_files.best_pt import BEST, checked_facts
from ..run_files.checkpoints import load, plain, restore
from ..run_files.config_yaml import Facts
from ..run_files.model_pt import evaluation_dict, own_options, write_model
from ..run_files.paths import RunPaths, SeedPaths
from ..run_files.results_json import read_results
from ..seeding import torch_stream
from ..system.files import locked
from ..training.evaluation import model_outputs
from ..training.state import TrainState
from ..training.step import TrainingSteps
from .architectures import head_of
from .components import build_loss
from .experiment import Experiment, build_network, columns_of, obtained_ratio, plain_batches, run_facts


def checkpoint_content(experiment: Experiment, seed: int, state: TrainState) -> dict[str, Any]:
    """The content of best.pt: the weights, and what is needed to rebuild the model and to continue training."""
    assert state.best is not None
    task = experiment.task
    return {
        "weights": state.kept.state_dict(),
        "loss": state.loss.state_dict(),
        # subtracted from every score, so that a threshold learned by a constraint lies at score 0
        "threshold": state.constraint.threshold.detach() if state.constraint else torch.zeros(columns_of(state.loss)),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict() if state.scheduler else None,
        "seed": seed,
        "epoch": state.best.epoch,
        "epochs": None,  # trained in all: see ``record_end``
        "validation_auc": state.best.val_auc,
        "validation_loss": state.best.val_loss,
        "train_auc": state.best.train_auc,
        **({} if state.best.selected is None else {"selected": state.best.selected}),
        "config": {name: plain(value) for name, value in asdict(experiment.config).items()},
        "facts": {name: plain(value) for name, value in run_facts(experiment, task.split(seed)).items()},
        "command": experiment.settings.command,
        "data_checksum": task.checksum,
        "normalisation": normalisation(task),
        **standing_alone(experiment),
        **({"pretrained": experiment.weights.as_dict()} if experiment.weights else {}),
        **({"stem": experiment.stem} if experiment.stem else {}),
    }


def _of_network(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a best.pt says of its network beside the options: the file of its first weights, and its stem."""
    return {name: checkpoint[name] for name in ("pretrained", "stem") if name in checkpoint}


def standing_alone(experiment: Experiment) -> dict[str, Any]:
    """What best.pt and model.pt hold so that they need no data: form of the images, classes, how to evaluate."""
    task = experiment.task
    return {
        "input": task.image_format.as_dict(),
        "classes": classes_of(task),
        "evaluation": evaluation_dict(evaluation_options(experiment)),
    }


def classes_of(task: Task) -> dict[str, Any]:
    """The original classes of each side, or of each label with the critical labels; their names, if there are any."""
    names = {"names": list(task.class_names)} if task.class_names else {}
    if task.many:
        return {"labels": list(task.many.in_use), "critical": list(task.many.critical), **names}
    return {"negative": list(task.sides.negative), "positive": list(task.sides.positive), **names}


def bundle(experiment: Experiment, paths: RunPaths) -> None:
    """Write model.pt: the models of all seeds that count in results.json.

    Under the lock, and from results.json as it is then: another process may have added a seed since this one wrote it.
    """
    with locked(paths.lock, what=f"the results of {paths.folder}", wait=True):
        result = read_results(paths.results)
        checkpoints = {seed: load(paths.seed(int(seed)).best, BEST) for seed in result["seeds"]}
        ensemble = result["ensemble"]
        shared = {
            "run": paths.model_name,
            "command": result["command"],
            "data_checksum": experiment.task.checksum,
            "config": own_options(asdict(experiment.config)),
            "decisions": decisions_by_class(ensemble),
            "checksums": {seed: block["checksums"] for seed, block in result["seeds"].items()},
            **standing_alone(experiment),
            **_of_network(next(iter(checkpoints.values()))),
        }
        write_model(paths.model, shared, list(checkpoints.values()))


def decisions_by_class(result: dict[str, Any]) -> dict[str, Any]:
    """The thresholds of a block of results.json as best.pt and model.pt hold them; of K classes those of each critical.

    Args:
        result: with "validation" and "test".
    """
    views = result["test"].get("critical")
    if views is None:
        return decisions_of(result["test"], validation=result["validation"]).as_dict()
    of_validation = result["validation"]["critical"]
    return {name: decisions_of(test, validation=of_validation[name]).as_dict() for name, test in views.items()}


def normalisation(task: Task) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel, as best.pt and config.yaml record them."""
    return {"mean": list(task.mean), "std": list(task.std)}


def score_checkpoint(experiment: Experiment, seed: int, checkpoint: dict[str, Any], files: SeedPaths) -> dict[str, Any]:
    """Scores of every set but the training set by the model that best.pt holds."""
    task, device = experiment.task, experiment.machine.device
    expected = {name: plain(value) for name, value in run_facts(experiment, task.split(seed)).items()}
    facts = checked_facts(checkpoint, expected, files)
    loss = build_loss(experiment.settings, facts)
    model = build_network(task, experiment.config, loss, torch_stream(seed, "initialisation"))
    restore(model, checkpoint["weights"], path=files.best, what="model")
    restore(loss, checkpoint["loss"], path=files.best, what="objective")
    model.to(device).to(memory_format=torch.channels_last)
    batches: Batches | ComputedFeatures = plain_batches(experiment)
    if experiment.features is not None:
        model, batches = head_of(model), ComputedFeatures(experiment.features, image_size=batches.image_size)
    split = task.split(seed)
    result = {}
    for part, rows in split.parts().items():
        if part == "train":
            continue
        outputs = model_outputs(model, batches, torch.from_numpy(rows).to(device), machine=experiment.machine)
        result[part] = scored(task, rows, outputs, loss.to(device), threshold=checkpoint["threshold"])
        if not _is_finite(result[part]):
            raise UserError(f"the model in {files.best} gives scores of the {part} set that are not finite numbers")
    return result


def last_scores(
    experiment: Experiment, seed: int, runner: TrainingSteps, *, part: str = "test"
) -> Scores | ClassScores:
    """Scores of the set ``part`` by the weights as they are after the last epoch that was trained."""
    task, state = experiment.task, runner.state
    rows = task.split(seed).parts()[part]
    indices = torch.from_numpy(rows).to(experiment.machine.device)
    outputs = model_outputs(state.evaluated, runner.data.batches, indices, machine=experiment.machine)
    threshold = state.constraint.threshold if state.constraint else torch.zeros(columns_of(state.loss))
    return scored(task, rows, outputs, state.loss, threshold=threshold.detach().cpu())


def scored(
    task: Task, rows: Int64Array, outputs: torch.Tensor, loss: Loss, *, threshold: torch.Tensor
) -> Scores | ClassScores:
    """The scores of the samples ``rows`` (n,), from the ``outputs`` of a model for them."""
    about: dict[str, Any] = {
        "index": task.original_index[rows],
        "label": task.labels.cpu().numpy()[rows],
        "split": [str(name) for name in task.original_split[rows]],
        "original_class": task.original_class[rows],
        "path": None if task.paths is None else task.paths[rows].tolist(),
        "group": _groups(task, rows),
    }
    with torch.inference_mode():
        scores = (loss.score(outputs).double().cpu() - threshold.double()).numpy()
        if not task.many:
            return Scores(score=scores, **about)
        assert isinstance(loss, SoftmaxLoss)
        each = loss.class_outputs(outputs).double().cpu().numpy()
    columns = scores.reshape(len(rows), len(task.many.critical))
    return ClassScores(outputs=each, scores=columns, names=task.names, critical=task.many.critical, **about)


def _is_finite(scores: Scores | ClassScores) -> bool:
    numbers = [scores.score] if isinstance(scores, Scores) else [scores.scores, scores.outputs]
    return all(bool(np.isfinite(each).all()) for each in numbers)


def _groups(task: Task, rows: Int64Array) -> list[str] | None:
    """The group of each row, an empty text where there are none; None of other than prepared data."""
    if task.paths is None:
        return None
    names: list[str] = [""] * len(rows) if task.group_names is None else task.group_names[rows].tolist()
    return names


def config_facts(experiment: Experiment) -> Facts:
    """What config.yaml records of this experiment beside the options."""
    task, machine = experiment.task, experiment.machine
    counts = task.class_counts(task.split(experiment.config.seeds[0]))
    return Facts(
        class_counts=counts,
        ratio=obtained_ratio(tuple(counts["train"].values())),
        class_names=task.class_names,
        source=task.source,
        checksum=task.checksum,
        normalisation=normalisation(task),
        device=machine.name,
        threads=machine.threads,
        weights=experiment.weights.as_dict() if experiment.weights else None,
    )


def evaluation_options(experiment: Experiment) -> EvaluationOptions | ClassEvaluation:
    """How the scores of this experiment are evaluated."""
    config, task = experiment.config, experiment.task
    counts = tuple(task.class_counts(task.split(config.seeds[0]))["train"].values())  # the same for every seed

    def against(rest: int, own: int) -> EvaluationOptions:
        return EvaluationOptions(
            tprs=config.tpr,
            alpha=config.alpha,
            default_threshold=loss_class(config.training_type).default_threshold,
            fprs=config.fpr,
            cost_ratio=config.cost_ratio,
            class_counts=(rest, own),
            promises=promises(config),
            compared=compared(config),
        )

    if not task.many:
        return against(*counts)
    critical = {task.names[label]: against(sum(counts) - counts[label], counts[label]) for label in task.many.critical}
    return ClassEvaluation(task.names, counts, critical)


def result_facts(experiment: Experiment, paths: RunPaths, seed: int) -> dict[str, Any]:
    """What results.json records beside the numbers: the command that trained ``seed``, and the data."""
    task = experiment.task
    many = {"classes": list(task.names), "critical": [task.names[c] for c in task.many.critical]} if task.many else {}
    return {
        **({"task": experiment.config.task, **many} if task.many else {}),
        "command": load(paths.seed(seed).best, BEST)["command"],
        "data_checksum": experiment.task.checksum,
        "class_counts": experiment.task.class_counts(experiment.task.split(seed)),
        "repeats": experiment.task.repeats,
    }
