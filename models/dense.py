"""Fully connected networks on flattened images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from .heads import HeadFactory
from .initialisation import drawn_by_generator


class Dense(nn.Module):
    """Flatten, then linear layers with ReLU between them; a linear model without hidden layers."""

    def __init__(self, *, inputs: int, hidden_widths: Sequence[int], head: HeadFactory) -> None:
        super().__init__()
        widths = (inputs, *hidden_widths)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.head = head(widths[-1])

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)  # (B, C*H*W)
        for layer in self.hidden:
            x = functional.relu(layer(x))
        outputs: Tensor = self.head(x)
        return outputs


@drawn_by_generator
def linear(
    *, channels: int, image_size: tuple[int, int], head: HeadFactory, hidden_widths: Sequence[int] = ()
) -> Dense:
    """A single linear layer on the pixels."""
    return Dense(inputs=channels * image_size[0] * image_size[1], hidden_widths=(), head=head)


@drawn_by_generator
def dense(*, channels: int, image_size: tuple[int, int], head: HeadFactory, hidden_widths: Sequence[int] = ()) -> Dense:
    """Fully connected layers of the given hidden widths.

    Raises:
        ValueError: no width, or one below 1.
    """
    if not hidden_widths or min(hidden_widths) < 1:
        raise ValueError(
            f"hidden_widths of the dense model must be one or more integers >= 1, got {list(hidden_widths)}"
        )
    return Dense(inputs=channels * image_size[0] * image_size[1], hidden_widths=hidden_widths, head=head)
