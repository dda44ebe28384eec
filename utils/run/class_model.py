"""A trained run of K classes as an object: new images in, a class and the scores of the critical ones out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..losses.base import Loss
from ..losses.softmax import SoftmaxLoss
from ..metrics.decisions import Pair, Threshold, chosen_for_each
from ..metrics.multiclass import Labels, decide, softmax
from ..metrics.roc import Array
from ..metrics.scores import mean_of_seeds
from ..run_files.model_pt import ClassesFile
from ..system.devices import Machine
from .seed_models import SeedModels


@dataclass(frozen=True)
class DecidedClasses:
    """What a model of K classes, C of them critical, says of n images.

    Args:
        names: of the K classes.
        critical: labels of the C critical ones.
        score: (n, C) mean over the seeds of the log-odds of each critical class against the rest.
        outputs: (n, K) mean over the seeds of the outputs.
        label: (n,) the class, 0..K-1: that critical class whose score reaches its threshold, of several the one with
            the largest excess, else the other class with the largest output.
        share: (n,) softmax share of that class in the outputs; not calibrated.
        thresholds: of each critical class, by its name.
        probability: of each critical class, by its name: (n,) probability against the rest, calibrated on the run's
            validation set, for the class mix of that set, or None where no temperature could be fitted.
        referral: ``rule out``, ``refer`` or ``rule in`` of each image as to the one critical class; None where there
            are several, or the run has no two thresholds.
    """

    names: tuple[str, ...]
    critical: tuple[int, ...]
    score: Array
    outputs: Array
    label: Labels
    share: Array
    thresholds: Mapping[str, Threshold]
    probability: Mapping[str, Array | None]
    referral: list[str] | None

    @property
    def name(self) -> list[str]:
        """The class of each image by its name."""
        return [self.names[label] for label in self.label.tolist()]


class ClassModel(SeedModels):
    """The models of all seeds of a run with K classes, with preprocessing and thresholds.

        model = load("checkpoint/runs/scans")
        decided = model.decide(images, promise=0.98)
        decided.name, decided.score

    Args:
        content: of model.pt, or of one seed's best.pt.
        machine: where to score, and in which precision.
    """

    def __init__(self, content: ClassesFile, machine: Machine) -> None:
        self.names, self.critical = content.names, content.critical
        super().__init__(content, machine, columns=(len(self.critical) + len(self.names),))
        self.content = content
        self.decisions = content.decisions

    def numbers(self, loss: Loss, outputs: Tensor, threshold: Tensor) -> Tensor:
        """(B, C + K) float64: scores of the critical classes, less the thresholds that were learned; the outputs."""
        assert isinstance(loss, SoftmaxLoss)
        scores = loss.score(outputs).double().cpu() - threshold
        each = loss.class_outputs(outputs).double().cpu()
        return torch.cat([scores.reshape(len(each), len(self.critical)), each], dim=1)

    def parts(self, numbers: Array) -> tuple[Array, Array]:
        """(..., C) scores and (..., K) outputs, of what ``numbers`` gave."""
        return numbers[..., : len(self.critical)], numbers[..., len(self.critical) :]

    def score(self, images: Any) -> Array:
        """(n, C) float64 scores of the critical classes, the mean of those of the seeds; see ``of_seeds``.

        Raises:
            UserError: the images are of another form than the model's.
        """
        return mean_of_seeds(self.score_seeds(images))

    def score_seeds(self, images: Any) -> Array:
        """(seeds, n, C) float64 scores of each seed's model."""
        return self.parts(self.of_seeds(images))[0]

    def outputs(self, images: Any) -> Array:
        """(n, K) float64 outputs, whose softmax are the shares of the classes: the mean of those of the seeds."""
        return mean_of_seeds(self.output_seeds(images))

    def output_seeds(self, images: Any) -> Array:
        """(seeds, n, K) float64 outputs of each seed's model."""
        return self.parts(self.of_seeds(images))[1]

    def decide(self, images: Any, *, promise: float | None = None, rule: str | None = None) -> DecidedClasses:
        """Classes and scores and, where the run has them, probabilities and what is to be referred.

        Args:
            images: see ``of_seeds``.
            promise: the target of the rule, such as a recall of 0.98 of each critical class.
            rule: how the thresholds were chosen; see ``metrics.decisions.chosen_for_each``.

        Raises:
            UserError: see ``score``; or a critical class has no such threshold, as when it had too few positives.
        """
        thresholds = chosen_for_each(self.decisions, rule=rule, target=promise)
        return self.decided(mean_of_seeds(self.of_seeds(images)), thresholds, self.pair(thresholds))

    def pair(self, thresholds: Mapping[str, Threshold]) -> Pair | None:
        """The two thresholds of the one critical class; None of several."""
        if len(thresholds) > 1:
            return None
        ((name, threshold),) = thresholds.items()
        return self.decisions[name].pair(tpr=threshold.target if threshold.rule == "NP" else None)

    def decided(self, numbers: Array, thresholds: Mapping[str, Threshold], pair: Pair | None) -> DecidedClasses:
        """What the ``numbers`` (n, C + K) of n images say."""
        scores, outputs = self.parts(numbers)
        values = [threshold.value for threshold in thresholds.values() if threshold.value is not None]
        label = decide(outputs, scores, critical=self.critical, thresholds=values)
        return DecidedClasses(
            names=self.names,
            critical=self.critical,
            score=scores,
            outputs=outputs,
            label=label,
            share=softmax(outputs)[np.arange(len(label)), label],
            thresholds=thresholds,
            probability={
                name: self.decisions[name].probabilities(scores[:, column]) for column, name in enumerate(thresholds)
            },
            referral=pair.referral(scores[:, 0]) if pair else None,
        )
