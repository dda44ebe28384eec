"""The study of the order of four losses: its choice and its answer, on lines made by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from studies.mnist_order import LRS, PIXELS, SEEDS, cells, text
from studies.published_mnist_lenet5 import THEIRS


def made(best: dict[tuple[str, str], str]) -> list[dict[str, Any]]:
    """Lines in which each choice finds the loss ``best`` names at .9, and the others at .8."""
    lines = []
    for seed, loss, lr, pixels in product(SEEDS, THEIRS, LRS, PIXELS):
        moments = []
        for name in ("all", "few"):
            test = 0.9 if best[pixels, name] == loss else 0.8
            other = "few" if name == "all" else "all"
            moments.append({name: 0.99 if lr == 0.1 else 0.6, other: 0.5, "test": test if lr == 0.1 else 1.0})
        lines.append({"seed": seed, "loss": loss, "lr": lr, "pixels": pixels, "moments": moments})
    return lines


@pytest.mark.parametrize(
    ("few", "zero", "both", "answer"),
    [
        ("AUM_RATE", "BCE", "AUM_RATE", "first place: validation, both."),
        ("BCE", "AUM_RATE", "BCE", "first place: pixels."),
        ("BCE", "BCE", "BCE", "first place: neither, nor both together."),
    ],
)
def test_what_moves_the_order(few: str, zero: str, both: str, answer: str) -> None:
    best = {("scaled", "all"): "W_LOGISTIC", ("scaled", "few"): few, ("0..1", "all"): zero, ("0..1", "few"): both}
    found = cells(made(best))
    cell = next(each for each in found if each["loss"] == "W_LOGISTIC")
    assert (cell["mean"], cell["n"], cell["seeds"][0]["lr"]) == (pytest.approx(0.9), 4, 0.1)
    assert answer in text(found)


def test_a_loss_of_which_a_run_is_missing_has_no_cell() -> None:
    lines = made(dict.fromkeys(product(PIXELS, ("all", "few")), "BCE"))[1:]
    found = cells(lines)
    assert found[0]["n"] == len(SEEDS) - 1
    assert "not whole" in text(found)
    assert "Moves AUM" not in text(found)
