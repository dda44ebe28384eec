"""Batch norm over the global batch: against torch's own layer, and what stays as it is without a process group."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models import build_model
from utils.distributed import GlobalBatchNorm, convert_batch_norm


def test_without_a_group_a_converted_network_keeps_its_bits_and_its_state() -> None:
    plain = build_model("resnet10", channels=1, image_size=(8, 8), generator=torch.Generator().manual_seed(1))
    ours = convert_batch_norm(copy.deepcopy(plain))
    were = [name for name, layer in plain.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert were == [name for name, layer in ours.named_modules() if isinstance(layer, GlobalBatchNorm)]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in ours.modules())
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    for _ in range(2):
        assert torch.equal(ours(images), plain(images))
    assert ours.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in ours.state_dict().items())
    assert torch.equal(ours.eval()(images), plain.eval()(images))


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d])
def test_a_converted_layer_shares_its_parameters_and_keeps_its_settings(kind: type[nn.BatchNorm2d]) -> None:
    plain = kind(3, eps=0.1, momentum=None).eval()
    ours = convert_batch_norm(plain)
    assert isinstance(ours, GlobalBatchNorm)
    assert (ours.eps, ours.momentum, ours.training) == (0.1, None, False)
    assert ours.weight is plain.weight
    assert ours.running_var is plain.running_var
    assert convert_batch_norm(ours) is ours
    bare = convert_batch_norm(kind(3, affine=False, track_running_stats=False))
    assert isinstance(bare, GlobalBatchNorm)
    assert bare.weight is bare.bias is bare.running_mean is bare.num_batches_tracked is None


def test_a_layer_that_does_more_than_batch_norm_is_refused() -> None:
    class WithActivation(nn.BatchNorm2d):
        pass

    with pytest.raises(ValueError, match=r"must be nn.BatchNorm1d, 2d or 3d .* got WithActivation; freeze it"):
        convert_batch_norm(nn.Sequential(WithActivation(3)))


def test_channels_are_checked() -> None:
    with pytest.raises(ValueError, match=r"shape \(B, 3, \.\.\.\), got \(2, 4\)"):
        GlobalBatchNorm(3)(torch.zeros(2, 4))
