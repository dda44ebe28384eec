"""Batch norm over the global batch, the messages of a step, and what is refused, on each rank of a process group.

Where there is a truth, it is torch's own layer on the global batch in the same process, which sends nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from rank_losses import build_sampler, distance, gathered_streams, train_some
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile

from models import build_model
from utils.constraints import AugmentedLagrangian
from utils.distributed import ShardedSampler, convert_batch_norm, gather, shard

CHANNELS = 3
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "1d": (nn.BatchNorm1d(CHANNELS), ()),
    "1d of sequences": (nn.BatchNorm1d(CHANNELS, momentum=0.3, eps=0.1), (5,)),
    "2d": (nn.BatchNorm2d(CHANNELS), (4, 5)),
    "3d": (nn.BatchNorm3d(CHANNELS), (2, 3, 2)),
    "cumulative": (nn.BatchNorm2d(CHANNELS, momentum=None), (4, 5)),
    "not affine": (nn.BatchNorm2d(CHANNELS, affine=False), (4, 5)),
    "not tracked": (nn.BatchNorm2d(CHANNELS, track_running_stats=False), (4, 5)),
}
SIZES = (12, 13, 7, 3, 2)  # common and uneven parts, and of four ranks one and two without a sample


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _layer_distances(plain: nn.Module, positions: tuple[int, ...]) -> dict[str, float]:
    """How far the layer over the global batch is from the plain one, after batches of all ``SIZES``."""
    plain = copy.deepcopy(plain).double()
    for seed, parameter in enumerate(plain.parameters()):
        parameter.data = _normal(CHANNELS, seed=seed)
    ours = convert_batch_norm(copy.deepcopy(plain))
    found: dict[str, float] = {}
    for size in SIZES:
        whole = (3 + 2 * _normal(size, CHANNELS, *positions, seed=10)).requires_grad_()
        part = shard(whole.detach()).clone().requires_grad_()
        slopes = _normal(*whole.shape, seed=11)
        expected, outputs = plain(whole), ours(part)
        (expected * slopes).sum().backward()
        (outputs * shard(slopes)).sum().backward()
        assert whole.grad is not None
        assert part.grad is not None
        found[f"outputs {size}"] = distance(outputs, shard(expected))
        found[f"gradient {size}"] = distance(part.grad, shard(whole.grad))
    for (name, truth), parameter in zip(plain.named_parameters(), ours.parameters(), strict=True):
        assert parameter.grad is not None
        assert truth.grad is not None
        dist.all_reduce(parameter.grad)
        found[f"gradient of {name}"] = distance(parameter.grad, truth.grad)
    for name, buffer in plain.named_buffers():
        found[name] = distance(dict(ours.named_buffers())[name].double(), buffer.double())
    plain.eval()
    ours.eval()
    if dist.get_rank() == 0:  # alone: it would hang if it sent a message
        found["evaluation"] = distance(ours(whole.detach()), plain(whole.detach()))
    return found


def layers() -> dict[str, dict[str, float]]:
    return {name: _layer_distances(layer, positions) for name, (layer, positions) in LAYERS.items()}


def narrow() -> dict[str, Any]:
    """Values of a mean that is large beside their SD in float32, and values in bfloat16 before an in-place ReLU."""
    large = (1e4 + _normal(64, CHANNELS, 4, 4, seed=1)).float()
    truth = nn.BatchNorm2d(CHANNELS).double()(large.double())
    layer = convert_batch_norm(nn.BatchNorm2d(CHANNELS))
    half = _normal(8, CHANNELS, 4, 4, seed=2).bfloat16()
    network = nn.Sequential(convert_batch_norm(nn.BatchNorm2d(CHANNELS)), nn.ReLU(inplace=True))
    part = shard(half).clone().requires_grad_()
    outputs = network(part)
    outputs.float().square().sum().backward()
    assert part.grad is not None
    expected = nn.BatchNorm2d(CHANNELS)(half.float()).relu()
    return {
        "large": distance(layer(shard(large)).double(), shard(truth)),
        "half": distance(outputs.detach().float(), shard(expected.detach())),
        "types": [str(outputs.dtype), str(part.grad.dtype)],
    }


def network() -> dict[str, float]:
    """A ResNet-10 with the pairwise constraint: the largest differences from one process, over three steps."""
    images, labels = _normal(40, 1, 8, 8, seed=3), (torch.arange(40) % 3 == 0).long()
    generator = torch.Generator().manual_seed(4)
    plain = build_model("resnet10", channels=1, image_size=(8, 8), generator=generator).double()
    ours = DistributedDataParallel(convert_batch_norm(copy.deepcopy(plain)), forward_sync_buffers=False)
    constraints = [AugmentedLagrangian(40, delta=1.0, mu=0.01).double() for _ in range(2)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in (ours, plain)]
    found: dict[str, float] = {}
    for step, batch in enumerate(torch.randperm(40, generator=generator).split([16, 17, 7])):
        own = shard(batch)
        gathered = gather(ours(images[own])[:, 0], labels[own], own, size=len(batch))
        for (scores, targets, indices), constraint, optimizer in zip(
            (gathered, (plain(images[batch])[:, 0], labels[batch], batch)), constraints, optimizers, strict=True
        ):
            objective = binary_cross_entropy_with_logits(scores, targets.double())
            optimizer.zero_grad()
            (objective + constraint.penalty(scores, targets, indices)).backward()
            optimizer.step()
            constraint.update_multipliers()
        states = ours.module.state_dict()
        for name, truth in plain.state_dict().items():
            found[f"{step} {name}"] = distance(states[name].double(), truth.double())
        for (name, correct), parameter in zip(plain.named_parameters(), ours.parameters(), strict=True):
            assert parameter.grad is not None
            assert correct.grad is not None
            found[f"{step} gradient of {name}"] = distance(parameter.grad, correct.grad)
        found[f"{step} multipliers"] = distance(constraints[0].multipliers, constraints[1].multipliers)
    return found


def _messages(model: nn.Module, *inputs: int, size: int | None) -> list[str]:
    """Kind and size of each message of one step, the buckets of DDP being settled."""
    wrapped = DistributedDataParallel(model, forward_sync_buffers=False)
    batch = torch.arange(24)
    own = shard(batch)
    images = torch.zeros(len(own), *inputs)

    def step() -> None:
        outputs, targets, _ = gather(wrapped(images), torch.zeros(len(own), dtype=torch.int64), own, size=size)
        binary_cross_entropy_with_logits(outputs[:, 0], targets.float()).backward()

    for _ in range(2):
        step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        step()
    events = [event for event in profiled.events() if event.name.startswith("gloo:")]
    events.sort(key=lambda event: event.time_range.start)
    return [f"{event.name} {event.input_shapes[0][0]}" for event in events]


def messages() -> dict[str, list[str]]:
    normalised = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    normalised(torch.zeros(2, 1, 4, 4))
    return {
        "plain": _messages(nn.Linear(6, 1), 6, size=24),
        "sizes unknown": _messages(nn.Linear(6, 1), 6, size=None),
        "batch norm": _messages(convert_batch_norm(normalised), 1, 4, 4, size=24),
    }


def _refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return "accepted"


def refused() -> dict[str, str]:
    rank = dist.get_rank()
    resumed = ShardedSampler(build_sampler("natural"))
    others = build_sampler("natural", seed=rank).state_dict()
    few = torch.zeros(1 + 2 * rank)
    return {
        "seeds": _refusal(lambda: ShardedSampler(build_sampler("natural", seed=rank))),
        "states": _refusal(lambda: resumed.load_state_dict(others)),
        "sizes": _refusal(lambda: gather(few, few)),
        "nothing": _refusal(lambda: gather(few[:0], few[:0])),
    }


def everything() -> dict[str, Any]:
    """All of this module and the quick part of rank_losses.py, so that processes are started once."""
    return {
        "layers": layers(),
        "narrow": narrow(),
        "network": network(),
        "messages": messages(),
        "refused": refused(),
        "streams": gathered_streams(),
        "trained": train_some(),
    }
