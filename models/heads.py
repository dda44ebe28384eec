"""Last layers: features (B, F) -> outputs (B, K)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

HeadFactory = Callable[[int], nn.Linear]


class LinearHead(nn.Linear):
    """A linear layer that computes in the precision of its weights.

    Under bfloat16 autocast ``nn.Linear`` would round the scores to 8 bits, and the resulting ties change the ROC curve.
    """

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(device_type=input.device.type, enabled=False):
            return functional.linear(input.to(self.weight.dtype), self.weight, self.bias)


class NormalisedHead(nn.Linear):
    """The cosine between the features and each class vector, in [-1, 1]; no bias.

    ``output[b, c] = <x_b, w_c> / (|x_b| |w_c|)``; 0 for features that are all zero.

    Reference: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
    NeurIPS 2019, section 3.1 and its code's ``NormedLinear``.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(device_type=input.device.type, enabled=False):
            features = functional.normalize(input.to(self.weight.dtype), dim=1)
            return functional.linear(features, functional.normalize(self.weight, dim=1))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Uniform in a cube, normalised: outputs do not depend on the length, but gradients are divided by it."""
        nn.init.uniform_(self.weight, -1.0, 1.0, generator=generator)
        self.weight.div_(self.weight.norm(dim=1, keepdim=True))


def head_of(model: nn.Module) -> nn.Linear:
    """The last layer, as a ``head_factory`` created it."""
    (head,) = (module for module in model.modules() if isinstance(module, (LinearHead, NormalisedHead)))
    return head


@torch.no_grad()
def set_bias(model: nn.Module, value: float) -> None:
    """Set the biases of the last layer to ``value``.

    Raises:
        ValueError: the last layer has no bias.
    """
    head = head_of(model)
    if head.bias is None:
        raise ValueError("the last layer must have a bias to set, got a normalised head, whose outputs are cosines")
    head.bias.fill_(value)


def head_factory(*, outputs: int, normalised: bool) -> HeadFactory:
    """A function that creates the last layer for a given number of features."""
    if outputs < 1:
        raise ValueError(f"outputs of a model must be at least 1, got {outputs}")
    kind = NormalisedHead if normalised else LinearHead
    return lambda features: kind(features, outputs)
