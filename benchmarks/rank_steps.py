"""Take training steps of main.py whenever a line comes in, alone or as one of the ranks of torchrun.

``python -m benchmarks.rank_steps STEPS ARGUMENTS...`` with the arguments of main.py. For each line of its input it
takes STEPS steps and prints the seconds of one. With STEPS 0 it prints the messages of one step instead, as a line of
JSON. Of several ranks the first reads and prints.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.subject import Subject, start
from utils.config.settings import resolve
from utils.distributed import GlobalBatchNorm
from utils.distributed.ranks import rank_and_world
from utils.run.rank_group import agreed, rank_group

WARM_UP = 3
NUMBER_BYTES = {"outputs": 4, "targets": 8, "indices": 8}  # float32 and int64


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    steps, command = int(argv[0]), argv[1:]
    with rank_group(resolve(command).config):
        subject = start(command, whole_batches=True)
        subject.run(WARM_UP)
        if not steps:
            print(json.dumps(messages(subject)), flush=True)
            return 0
        is_first = rank_and_world()[0] == 0
        if is_first:
            print("ready", flush=True)
        while agreed(float(is_first and bool(sys.stdin.readline()))):
            begin = time.perf_counter()
            subject.run(steps)
            print((time.perf_counter() - begin) / steps, flush=True)
    return 0


def messages(subject: Subject) -> dict[str, Any]:
    """How many messages a step sends: gathers of outputs, targets and indices; those of batch norm; buckets; others.

    The buckets of DDP are told by their sizes, whose sum is the number of weights.
    """
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        subject.run(1)
    found = Counter(
        (event.name, tuple(event.input_shapes[0])) for event in profiled.events() if event.name.startswith("gloo:")
    )
    world = rank_and_world()[1]
    part = -(-subject.batch_size // world) * sum(NUMBER_BYTES.values())
    gathers = Counter({("gloo:all_gather", (part,)): 1})
    norms = Counter[tuple[str, tuple[int, ...]]]()
    for layer in subject.state.network.modules():
        if isinstance(layer, GlobalBatchNorm):
            norms["gloo:all_gather", (2 * layer.num_features + 1,)] += 1
            norms["gloo:all_reduce", (2, layer.num_features)] += 1
    rest = found - gathers - norms
    buckets = Counter({each: count for each, count in rest.items() if each[0] == "gloo:all_reduce"})
    weights = sum(value.numel() for value in subject.state.model.parameters() if value.requires_grad)
    if sum(shape[0] * count for (_, shape), count in buckets.items() if len(shape) == 1) != weights:
        buckets = Counter()
    return {
        "gathers": (found & gathers).total(),
        "batch norm": (found & norms).total(),
        "buckets": buckets.total(),
        "others": (rest - buckets).total() + (norms - found).total() + (gathers - found).total(),
        "bytes of the gather": part,
        "weights": weights,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
