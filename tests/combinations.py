"""What a run can be put together from: the factors, read from the tables of names, and combinations of their levels."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

from runs import OPTIONS_OF

from utils.config.options import OPTIONS
from utils.constraints import CONSTRAINTS
from utils.losses import LOSSES, many_classes
from utils.samplers import SAMPLERS
from utils.samplers import many_classes as samplers_of_many

_CONSTRAINED = [f"--use_ALM 1 --mu 0.01 --constraint {name}" for name in CONSTRAINTS]
# factor -> what each of its levels is on the command line
FACTORS: dict[str, list[str]] = {
    "objective": [f"--training_type {name} {OPTIONS_OF.get(name, '')}".strip() for name in LOSSES],
    "constraint": ["", *_CONSTRAINED, "--use_ALM 1 --mu 0.01 --constraint rate --fpr_at_most 0.1"],
    "sampler": [f"--sampler {name}" for name in SAMPLERS],
    "optimizer": [f"--optimizer {name}" for name in OPTIONS["optimizer"].metadata["kind"].choices],
    "scheduler": [
        "",
        "--lr_decrease 1 --patience_lr 0",
        "--schedule step --lr_steps 2 --lr_factor 0.1 --warm_up 2",
        "--schedule cosine --warm_up 1",
    ],
    "average": ["", "--ema 0.9"],
    "augmentation": ["--augment crop_flip", "--augment medical,autocontrast", ""],
}
# the same of runs with K classes
CLASS_FACTORS: dict[str, list[str]] = {
    "task": [
        "--task classes --classes 1 9",
        "--task classes --classes 3 1 7 --imbalance exp --imbalance_factor 0.2 --critical_classes 7",
        "--task classes --imbalance step --imbalance_factor 0.3 --critical_classes 9 4 --select balanced_accuracy",
    ],
    "objective": [f"--training_type {name} {OPTIONS_OF.get(name, '')}".strip() for name in many_classes()],
    "constraint": [*FACTORS["constraint"], "--use_ALM 1 --mu 0.01 --delta 1 --against classes"],
    "sampler": [f"--sampler {name}" for name in samplers_of_many()],
    **{factor: FACTORS[factor] for factor in ("optimizer", "scheduler", "average", "augmentation")},
}
COUNT, CLASS_COUNT = (math.prod(map(len, factors.values())) for factors in (FACTORS, CLASS_FACTORS))


def drawn(stream: random.Random, count: int, factors: Mapping[str, list[str]] = FACTORS) -> list[str]:
    """``count`` different combinations, each as a command line.

    The levels of a factor come up equally often: each is drawn again only when all others have been.
    """
    decks = {factor: _deck(levels, stream) for factor, levels in factors.items()}
    found: dict[str, None] = {}
    while len(found) < min(count, math.prod(map(len, factors.values()))):
        found[" ".join(filter(None, map(next, decks.values())))] = None
    return list(found)


def _deck(levels: list[str], stream: random.Random) -> Iterator[str]:
    while True:
        yield from stream.sample(levels, len(levels))
