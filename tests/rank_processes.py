"""W processes that form a gloo group and each run one function; as a program, one of them.

The group meets over a file, without a port or a wait for time; the timeouts end only what would hang for ever.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 240


def run_ranks(function: str, world: int, folder: Path) -> list[Any]:
    """What ``function`` ("module:name", without arguments) returns on each of ``world`` ranks; tensors and containers.

    Args:
        folder: an empty one.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "LOCAL_WORLD_SIZE": str(world),  # as torchrun tells them
    }
    command = [sys.executable, "-W", "error", __file__, function, str(world), str(folder)]
    logs = [folder / f"log{rank}" for rank in range(world)]
    processes = []
    for rank, log in enumerate(logs):
        with log.open("w") as stream:
            processes.append(
                subprocess.Popen([*command, str(rank)], env=environment, stdout=stream, stderr=subprocess.STDOUT)
            )
    try:
        codes = [process.wait(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0] * world, "\n".join(log.read_text() for log in logs)

    import torch

    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(world)]


def main() -> None:
    function, world, folder, rank = sys.argv[1:]

    import torch
    import torch.distributed as dist

    store = (Path(folder) / "store").as_uri()
    dist.init_process_group(
        "gloo", init_method=store, rank=int(rank), world_size=int(world), timeout=timedelta(seconds=SECONDS)
    )
    module, name = function.split(":")
    torch.save(getattr(importlib.import_module(module), name)(), Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
