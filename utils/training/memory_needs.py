"""How much memory a training needs, estimated before it starts: data, weights, and activations at a batch size.

The activations are counted by a forward pass of two images: what autograd keeps of them, and the largest output of a
layer. ``benchmarks/bench_memory.py`` compares the estimate with the peak that the system reports.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..system.devices import Machine
from ..system.memory import memory_to_spare

STATE = {"sgd": 1, "adam": 2, "adamw": 2}  # optimizer -> numbers that it keeps of each weight
TRIED = 2  # images of the pass; BatchNorm needs more than one
PASSING = 2.0  # times the largest activation: gradients on their way back, and what an operation needs for itself
GAPS = {"cpu": 1.3, "cuda": 1.1}  # what the heap takes beyond what is in use; on a CPU 1.0 to 1.65 were measured
IMAGE_BYTES = 4  # of a number of an image in a batch, float32
SPARE = 0.9  # of the free memory that may be asked for


@dataclass(frozen=True)
class MemoryNeeds:
    """Bytes that a training needs beside what the process has already.

    ``data``: images that are still to be loaded or copied. ``weights``: gradients and the state of the optimizer.
    ``activations``: of a batch of ``batch_size`` images, saved for the backward pass and on the way. Of ``ranks`` that
    train one model together, each needs as much: its part of a batch, and the images of the whole batch.
    """

    data: int
    weights: int
    activations: int
    batch_size: int
    ranks: int = 1

    @property
    def total(self) -> int:
        """All of it."""
        return self.data + self.weights + self.activations

    def largest_batch(self, spare: int) -> int:
        """The largest batch size, of two digits, that needs ``spare`` bytes in all; 0 if not one image does."""
        each = self.activations / self.batch_size
        most = int((spare - self.data - self.weights) / each) if each else self.batch_size
        scale: int = 10 ** max(0, len(str(max(most, 0))) - 2)
        return max(0, most // scale * scale)


def estimate(
    model: nn.Module, *, input_shape: tuple[int, ...], batch_size: int, optimizer: str, machine: Machine, data: int
) -> MemoryNeeds:
    """The needs of a training of ``model``.

    Args:
        model: on the machine's device; it is not changed.
        input_shape: channels, height and width of an image, or the number of features.
        batch_size: images a batch; of several ranks of the machine each computes its part.
        optimizer: a key of ``STATE``.
        machine: where it is trained, and in which precision.
        data: bytes of images that are still to be allocated.
    """
    saved, largest = _saved_bytes(model, (TRIED, *input_shape), machine)
    parameters = sum(value.numel() * value.element_size() for value in model.parameters() if value.requires_grad)
    own = -(-batch_size // machine.ranks)
    of_others = (batch_size - own) * math.prod(input_shape) * IMAGE_BYTES  # every rank draws the whole batch
    gaps = GAPS.get(machine.device.type, 1.0)
    return MemoryNeeds(
        data=data,
        weights=parameters * (1 + STATE[optimizer]),
        activations=int(gaps * ((saved + PASSING * largest) * own / TRIED + of_others)),
        batch_size=batch_size,
        ranks=machine.ranks,
    )


def _saved_bytes(model: nn.Module, shape: tuple[int, ...], machine: Machine) -> tuple[int, int]:
    """Bytes that autograd keeps of a forward pass beside the weights, and those of the largest output of a layer."""
    twin = copy.deepcopy(model).train()  # its running means change
    own = {value.untyped_storage().data_ptr() for value in (*twin.parameters(), *twin.buffers())}
    kept: dict[int, Tensor] = {}  # by address, and kept so that no address is used twice
    largest = 0

    def pack(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value
        return value

    def measure(_: nn.Module, __: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel() * output.element_size())

    for layer in twin.modules():
        layer.register_forward_hook(measure)
    images = torch.zeros(shape, device=machine.device)
    if images.dim() == 4:
        images = images.to(memory_format=torch.channels_last)
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value)
    with torch.enable_grad(), machine.autocast(), hooks:
        twin.forward(images)  # not as compiled
    return sum(value.untyped_storage().nbytes() for place, value in kept.items() if place not in own), largest


def free_memory(machine: Machine) -> tuple[int, str]:
    """Bytes that the device has free for this process, and the name of that memory."""
    if machine.device.type == "cuda":
        return int(torch.cuda.mem_get_info(machine.device)[0]), f"memory of {machine.name}"
    return memory_to_spare(), "memory"


def check_memory(needs: MemoryNeeds, machine: Machine, *, at_once: int) -> None:
    """Refuse a training that would be ended by the system for want of memory.

    Args:
        at_once: how many processes on the machine's device need as much: seeds, or ranks.

    Raises:
        UserError: it would; the text names a batch size that fits.
    """
    free, where = free_memory(machine)
    if needs.total * at_once <= SPARE * free:
        return
    fits = needs.largest_batch(int(SPARE * free / at_once))
    each = f" for each of {at_once} seeds at once" if at_once > 1 else ""
    each = f" on each of {needs.ranks} ranks" if needs.ranks > 1 else each
    remedies = [f"use --bsize {fits}"] if fits else ["use smaller images or a smaller model"]
    remedies += ["--parallel_seeds 1"] if at_once > 1 and needs.ranks == 1 else []
    raise UserError(
        f"batches of {needs.batch_size} images need about {_gigabytes(needs.total)}{each} (activations"
        f" {_gigabytes(needs.activations)}, weights {_gigabytes(needs.weights)}, images {_gigabytes(needs.data)}), but"
        f" {_gigabytes(free)} of {where} are free; {', or '.join(remedies)}"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2g} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"
