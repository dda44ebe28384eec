"""A network whose layers below the last one keep their weights for the first epochs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.batches import Batches
from ..errors import UserError
from ..system.devices import Machine
from ..system.interruption import check
from .evaluation import batch_size


@dataclass(frozen=True)
class Freezing:
    """Which part of ``network`` is trained in which epoch.

    Attributes:
        network: the whole.
        head: its last layer, which is always trained.
        body: the parameters below it that are trained when they are not frozen.
        epochs: the epochs in which the rest is frozen; ``math.inf`` for all.
    """

    network: nn.Module
    head: nn.Linear
    body: tuple[nn.Parameter, ...]
    epochs: float

    def applies(self, epoch: int) -> bool:
        """Whether the body is frozen in this epoch."""
        return epoch < self.epochs

    def set_mode(self, epoch: int) -> None:
        """Training mode for what is trained in ``epoch``.

        A frozen body has no gradients, so that the optimizer leaves it and its state alone, and is in evaluation mode:
        its batch norm normalises with its running statistics and does not change them.
        """
        frozen = self.applies(epoch)
        self.network.train(not frozen)
        self.head.train()
        for parameter in self.body:
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None

    @torch.inference_mode()
    def features(self, images: Tensor, machine: Machine) -> Tensor:
        """(B, F) float32, what the last layer takes for normalised ``images`` in evaluation mode.

        Raises:
            UserError: a feature is not finite, or the network does something with what that layer gives.
        """
        taken: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
        self.network.eval()
        try:
            with machine.autocast():
                outputs = self.network(images)
        finally:
            hook.remove()
        if not outputs.isfinite().all():
            raise UserError("the frozen network gives outputs that are not finite; its weights are damaged (--weights)")
        if len(taken) != 1 or taken[0].ndim != 2 or not torch.equal(outputs, self.head(taken[0])):
            raise UserError(
                "freeze_epochs all needs a network that ends in one layer on vectors of features, this one does not; "
                "freeze a number of epochs instead (--freeze_epochs)"
            )
        return taken[0].float()

    def fill(self, features: Tensor, batches: Batches, rows: Tensor, *, machine: Machine) -> None:
        """Compute ``features[rows]``, (n, F), in the chunks in which an evaluation of these ``rows`` takes images."""
        size = batch_size(*batches.image_size)
        for chunk, images in zip(rows.split(size), batches.in_order(rows, size), strict=True):
            check()
            features[chunk] = self.features(images, machine)


def body_of(network: nn.Module, head: nn.Module) -> list[nn.Parameter]:
    """The parameters of ``network`` below its last layer ``head`` that are trained, in order."""
    own = set(head.parameters())
    return [each for each in network.parameters() if each.requires_grad and each not in own]
