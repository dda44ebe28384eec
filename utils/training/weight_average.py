"""An exponential moving average of the weights, which validation, test and best.pt use in their place."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average a of the weights w of ``network``: a = w after the first step, then a <- decay a + (1 - decay) w.

    Parameters and floating-point buffers (the running mean and variance of BatchNorm) are averaged, other buffers are
    copied. There is no synchronisation, so ``update`` can be part of a captured step.

    Reference: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control and
    Optimization 1992; the same numbers as torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn and
    use_buffers=True.

    Attributes:
        network: a copy of ``network`` with the averaged weights.
        model: what ``model`` is of ``network``, of that copy.

    Args:
        network: from images to outputs, on its device; its tensors must stay the same objects.
        model: what the steps train: the network itself, or a module of it.
        decay: in [0, 1).
    """

    def __init__(self, network: nn.Module, model: nn.Module, *, decay: float) -> None:
        self.network, self.model = copy.deepcopy((network, model))  # together: of one copy
        self.network.requires_grad_(False)
        self.decay = decay
        self._started = False
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        self._ours = [ours for ours, _ in pairs if ours.is_floating_point()]
        self._theirs = [theirs for ours, theirs in pairs if ours.is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights that the model has now, after a step."""
        for ours, theirs in self._copied:
            ours.copy_(theirs)
        if self._started:
            torch._foreach_lerp_(self._ours, self._theirs, 1 - self.decay)
        else:  # eager on a GPU too: the first steps of a batch size are not captured
            torch._foreach_copy_(self._ours, self._theirs)
            self._started = True

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights, and whether there were any to average."""
        return {"weights": self.network.state_dict(), "started": int(self._started)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore from ``state_dict``, in place."""
        self.network.load_state_dict(state["weights"])
        self._started = bool(state["started"])


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*(parameter.detach() for parameter in network.parameters()), *network.buffers()]
