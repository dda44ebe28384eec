"""Batch norm over the global batch, on any device.

W ranks; M values of a channel in the global batch, m_r of them on rank r.

torch's SyncBatchNorm needs a GPU. This one needs none, so that W processes compute on a CPU what one does, and models
can be tested without a GPU. Two messages a layer and step: (2 C + 1) numbers of each rank forward, 2 C backward.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from .ranks import all_gathered, rank_and_world

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class GlobalBatchNorm(_BatchNorm):
    """Batch norm with the mean and variance of the global batch, whatever part of it a rank holds.

        y = (x - mean) / sqrt(variance + eps) * weight + bias,   mean and variance over all samples and positions

    Arguments, parameters, buffers and state_dict are those of ``nn.BatchNorm2d``, and so are the results: with one
    process bit for bit, with more up to rounding. Parts may differ in size, and be empty: values count, not ranks. In
    evaluation mode there is no message. In training mode every rank must call it; the running statistics are then the
    same on all, so DDP needs no broadcast of them (``forward_sync_buffers=False``).

    A single value of a channel in the global batch, which torch refuses, gives the bias.

    The variance is merged from those of the parts about their own means, which cancels nothing; a sum of squares would
    lose digits wherever the mean is large. Parts in float16 or bfloat16 are computed in float32.

    Reference: Ioffe, Szegedy, "Batch normalization", ICML 2015; Chan, Golub, LeVeque, "Algorithms for computing the
    sample variance", The American Statistician 1983 (the merge).

    >>> layer = GlobalBatchNorm(1, eps=3.0)                            # one process: as nn.BatchNorm1d
    >>> layer(torch.tensor([[1.0], [3.0]])).flatten().tolist(), round(layer.running_mean.item(), 4)
    ([-0.5, 0.5], 0.2)
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2 or input.shape[1] != self.num_features:
            raise ValueError(f"expected input of shape (B, {self.num_features}, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape."""
        _, world = rank_and_world()
        if world == 1 or not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        outputs, mean, variance, number = _Normalise.apply(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._update_running(mean, variance, number)
        normalised: Tensor = outputs
        return normalised

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        """Move the running statistics as ``nn.BatchNorm2d`` does, the variance with divisor M - 1."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * (number / (number - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)


class _Normalise(torch.autograd.Function):
    """(B, C, ...) -> the normalised part, and (C,) mean, (C,) variance and () number of the global batch in float64."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values = inputs.float() if inputs.dtype in (torch.float16, torch.bfloat16) else inputs
        mean, variance, number = _global_moments(values)
        centre = _over_channels(mean.to(values.dtype), values)
        scale = _over_channels((variance + eps).rsqrt().to(values.dtype), values)
        outputs = (values - centre) * scale
        outputs = outputs if weight is None else outputs * _over_channels(weight, values)
        outputs = outputs if bias is None else outputs + _over_channels(bias, values)
        ctx.save_for_backward(inputs, centre, scale, weight, number)  # not the outputs: a ReLU may overwrite them
        ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(mean, variance, number)
        return outputs.to(inputs.dtype), mean, variance, number

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, centre, scale, weight, number = ctx.saved_tensors
        normalised, grad = (inputs - centre) * scale, grads[0].to(scale.dtype)
        own = torch.stack([_channel_sums(grad), _channel_sums(grad * normalised)])  # (2, C) of this part
        total = own.clone()
        dist.all_reduce(total)
        mean_grad, mean_product = (_over_channels(each, grad) for each in total / number.to(grad.dtype))
        slopes = (grad - mean_grad - normalised * mean_product) * scale
        if weight is not None:
            slopes = slopes * _over_channels(weight, slopes)
        # DDP averages those of the parameters over the ranks, so each gives its own part
        of_weight = own[1].to(weight.dtype) if weight is not None else None
        return slopes.to(inputs.dtype), of_weight, own[0] if ctx.has_bias else None, None


def _global_moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(C,) mean and (C,) variance with divisor M, and () M, in float64, from one message."""
    channels = values.shape[1]
    own_number = values.numel() // channels
    moments = values.new_zeros(2 * channels + 1, dtype=torch.float64)  # an empty part has none
    if own_number:
        variance, mean = torch.var_mean(values, dim=[0, *range(2, values.dim())], correction=0)
        moments[:-1] = torch.cat([mean, variance])
        moments[-1] = own_number
    means, variances, numbers = all_gathered(moments).split([channels, channels, 1], dim=1)  # (W, C), (W, C), (W, 1)
    shares = numbers / numbers.sum()
    mean = (shares * means).sum(dim=0)
    return mean, (shares * (variances + (means - mean) ** 2)).sum(dim=0), numbers.sum()


def _over_channels(per_channel: Tensor, like: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...), which broadcasts over a tensor (B, C, ...)."""
    return per_channel.view(1, -1, *(1 for _ in like.shape[2:]))


def _channel_sums(values: Tensor) -> Tensor:
    """(B, C, ...) -> (C,)."""
    return values.sum(dim=[0, *range(2, values.dim())])


def convert_batch_norm(model: nn.Module) -> nn.Module:
    """``model`` with a :class:`GlobalBatchNorm` in place of each batch norm, which shares its parameters and buffers.

    Call it before ``DistributedDataParallel`` and before the optimizer is built, or after: parameters stay the same.

    Returns:
        The same model, changed in place; a new layer if ``model`` itself is a batch norm.

    Raises:
        ValueError: a layer is of a subclass, such as one with a built-in activation, which would be lost.

    >>> model = convert_batch_norm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    >>> type(model[1]).__name__
    'GlobalBatchNorm'
    """
    for name, layer in list(model.named_children()):
        setattr(model, name, convert_batch_norm(layer))
    if not isinstance(model, _BatchNorm) or isinstance(model, (GlobalBatchNorm, nn.SyncBatchNorm)):
        return model
    if type(model) not in PLAIN:
        expected = "batch norm must be nn.BatchNorm1d, 2d or 3d to be taken over the global batch"
        raise ValueError(f"{expected}, got {type(model).__name__}; freeze it (layer.eval()) or replace it")
    layer = GlobalBatchNorm(
        model.num_features,
        eps=model.eps,
        momentum=model.momentum,
        affine=model.affine,
        track_running_stats=model.track_running_stats,
    )
    layer.weight, layer.bias = model.weight, model.bias
    layer.running_mean, layer.running_var = model.running_mean, model.running_var
    layer.num_batches_tracked = model.num_batches_tracked
    return layer.train(model.training)
