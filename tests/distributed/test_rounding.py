"""Two ranks differ from one process by rounding alone: three epochs, in float64 as in float32."""

from __future__ import annotations

import pytest
import torch
from rank_processes import run_ranks
from rank_training import CONSTRAINTS, ODD, train_all
from torch import Tensor

pytestmark = pytest.mark.slow
Outputs = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outputs]:
    """Those of two ranks, and of one process with the one thread of a rank."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = train_all()
    torch.set_num_threads(threads)
    first, second = run_ranks("rank_training:train_all", 2, tmp_path_factory.mktemp("ranks"))
    assert all(torch.equal(first[name], second[name]) for name in alone)
    found = {name: (first[name], value) for name, value in alone.items()}
    for name, pair in found.items():  # pytest -s shows them
        print(f"{name}: {difference(pair):.1e} of at most {pair[1].abs().max():.2g}")
    return found


def difference(found: Outputs) -> float:
    """The largest."""
    assert found[0].shape == found[1].shape
    return (found[0] - found[1]).abs().max().item()


@pytest.mark.parametrize("kind", CONSTRAINTS)
def test_in_float64_three_epochs_on_two_ranks_are_those_of_one_process(kind: str, outputs: dict[str, Outputs]) -> None:
    """float64 rounds 2^29 = 5e8 times finer than float32, and so small is the difference; another cause would stay."""
    narrow, wide = outputs[f"float32, {kind}"], outputs[f"float64, {kind}"]
    assert wide[1].abs().max() > 1  # something was learnt
    assert difference(wide) <= 1e-12
    assert difference(wide) <= 1e-7 * difference(narrow)
    assert difference(narrow) <= 1e-4


def test_batch_norm_of_a_run_is_over_the_batches_of_all_ranks(outputs: dict[str, Outputs]) -> None:
    assert difference(outputs["batch norm"]) <= 1e-10


def test_an_odd_number_of_images_is_evaluated_each_once(outputs: dict[str, Outputs]) -> None:
    assert len(outputs["evaluation"][0]) == ODD
    assert difference(outputs["evaluation"]) <= 1e-6
