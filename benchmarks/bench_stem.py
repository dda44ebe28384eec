"""Memory and time of a training step of ResNet-18 with each stem, batch 64.

python -m benchmarks.bench_stem

Each case runs in a process of its own, whose largest resident memory is that of the step; CPU time of one thread.
"""

from __future__ import annotations

import functools
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

CASES = ((32, "3x3"), (64, "3x3"), (64, "7x7"), (96, "3x3"), (96, "7x7"), (224, "7x7"))
BATCH = 64


def main(argv: Sequence[str]) -> int:
    """Without arguments all cases; with a size and a stem that one."""
    if argv:
        measure(int(argv[0]), argv[1])
        return 0
    print("| pixels | stem | memory of the step, GiB | CPU time, s |\n|---|---|---|---|")
    for size, stem in CASES:
        subprocess.run([sys.executable, "-m", "benchmarks.bench_stem", str(size), stem], check=True)
    return 0


def measure(size: int, stem: str) -> None:
    """Print the row of one case."""
    import torch

    from models import resnet
    from models.heads import head_factory

    torch.set_num_threads(1)
    options = {"large_from": float("inf")} if stem == "3x3" else {}
    build = functools.partial(resnet.resnet18, channels=3, image_size=(size, size), **options)
    with torch.random.fork_rng(devices=[]):
        model = build(head=head_factory(outputs=1, normalised=False)).to(memory_format=torch.channels_last)
    assert model.stem.kernel_size == (int(stem[0]),) * 2
    images = torch.zeros(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    before, start = peak(), time.process_time()
    model(images).mean().backward()
    print(f"| {size} | {stem} | {peak() - before:.2f} | {time.process_time() - start:.1f} |", flush=True)


def peak() -> float:
    """The largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
