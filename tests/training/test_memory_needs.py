"""The memory that a training needs, of one process and of several ranks, and what is said where it is not there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from utils.errors import UserError
from utils.system.devices import Machine
from utils.training import memory_needs
from utils.training.memory_needs import GAPS, PASSING, MemoryNeeds, check_memory, estimate

CPU = torch.device("cpu")


def needs_of(ranks: int, batch_size: int) -> MemoryNeeds:
    model = nn.Sequential(nn.Linear(10, 1000), nn.Sigmoid(), nn.Linear(1000, 1))
    machine = Machine(CPU, "fp32", 1, ranks=ranks)
    return estimate(model, input_shape=(10,), batch_size=batch_size, optimizer="adam", machine=machine, data=7)


@pytest.mark.parametrize("ranks, batch_size, own", [(1, 64, 64), (4, 64, 16), (4, 65, 17), (4, 3, 1)])
def test_a_rank_needs_memory_for_its_part_of_a_batch_and_the_images_of_the_whole(
    ranks: int, batch_size: int, own: int
) -> None:
    """By hand: of an image 10 inputs and 1000 outputs of the sigmoid are saved, float32; 1000 is the largest output."""
    needs = needs_of(ranks, batch_size)
    of_part = (4 * (10 + 1000) + PASSING * 4 * 1000) * own
    of_others = 4 * 10 * (batch_size - own)
    assert needs.activations == pytest.approx(GAPS["cpu"] * (of_part + of_others), abs=1)
    assert needs.weights == 3 * 4 * (11 * 1000 + 1001)  # gradients and two numbers of each weight
    assert (needs.batch_size, needs.ranks, needs.data) == (batch_size, ranks, 7)


def test_more_ranks_take_a_larger_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(CPU, "fp32", 1, ranks=4)
    monkeypatch.setattr(memory_needs, "memory_to_spare", lambda: 10_000_000)
    check_memory(needs_of(4, 1000), machine, at_once=2)
    with pytest.raises(UserError, match="on each of 4 ranks") as caught:
        check_memory(needs_of(4, 10_000), machine, at_once=2)
    text = str(caught.value)
    assert text.startswith("batches of 10000 images need about ")
    assert "parallel_seeds" not in text
    fits = int(text.rpartition("use --bsize ")[2])
    check_memory(needs_of(4, fits), machine, at_once=2)
    with pytest.raises(UserError):
        check_memory(needs_of(4, int(1.3 * fits)), machine, at_once=2)
    with pytest.raises(UserError, match="use --bsize"):
        check_memory(needs_of(1, fits), Machine(CPU, "fp32", 1), at_once=2)
