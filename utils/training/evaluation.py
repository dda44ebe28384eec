"""Outputs of a model in evaluation mode."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..data.batches import Batches
from ..data.computed_features import ComputedFeatures
from ..distributed import gather, shard
from ..system.devices import Machine

BATCH = 512  # images of 32 x 32; fewer of larger ones, so that memory stays about the same


@torch.inference_mode()
def model_outputs(
    model: nn.Module, batches: Batches | ComputedFeatures, indices: Tensor, *, machine: Machine
) -> Tensor:
    """(n, K) float32 outputs of ``model`` in evaluation mode for the images ``indices``, in that order.

    With computed features ``model`` is the last layer.
    """
    model.eval()
    parts = []
    for images in batches.in_order(indices, batch_size(*batches.image_size)):
        with machine.autocast():
            parts.append(model(images).float())
    return torch.cat(parts)


def outputs_by_ranks(
    model: nn.Module, batches: Batches | ComputedFeatures, indices: Tensor, *, machine: Machine
) -> Tensor:
    """The same on every rank, each of which computes its part."""
    own = shard(indices)
    outputs = model_outputs(model, batches, own, machine=machine)
    return gather(outputs, own, size=len(indices))[0]


def batch_size(height: int, width: int) -> int:
    """How many images of this size are evaluated at once."""
    return max(1, BATCH * 32 * 32 // (height * width))
