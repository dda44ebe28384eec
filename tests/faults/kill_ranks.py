"""Two ranks of torchrun train one model; one of them is killed at random and the run resumed, again and again.

    python tests/faults/kill_ranks.py [--kills 50] [--seed 1]

After each run that was killed, and resumed until it ended, all its files must be those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from comparing import Files, broken_sums, differences, snapshot  # noqa: E402 (after the path)

from benchmarks.processes import last_of_each  # noqa: E402

OF_CONSTRAINT = "--name_file_alm ALM_12_beg --delta 1"
COMMAND = (
    "--dataset_name digits --ratio_pos_train 20 --resnet_type lenet5 --device cpu --threads 1 --model_name run "
    "--seeds 1 --num_epochs 3 --bsize 31 --augment crop --name_file_bs baseline_bce --resume 1 "
    f"{OF_CONSTRAINT}"
)
SECONDS = 600  # ends only what would hang for ever


class Ranks:
    """main.py on ``world`` ranks in ``folder``, where its checkpoints go; ``held`` after so many epochs, for good."""

    def __init__(self, folder: Path, command: str = COMMAND, *, world: int = 2, held: int | None = None) -> None:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(world)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        program = ROOT / "main.py"
        if held is not None:
            program, hold = ROOT / "tests" / "held_main.py", folder / "hold"
            hold.write_text(str(held))
            environment["HELD_MAIN"] = str(hold)
        self.errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, *launcher, str(program), *last_of_each(command.split())],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def wait_for(self, text: str) -> str:
        """Read what is printed up to the line that holds ``text``; '' if the run ends before it."""
        assert self.process.stdout
        return next((line for line in self.process.stdout if text in line), "")

    def kill(self, rank: int) -> None:
        """SIGKILL to one rank, if it is there."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
                if f"\0RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text():
                    os.kill(int(child), signal.SIGKILL)

    def end(self) -> tuple[int, str, str]:
        """Exit code, the rest of what was printed, and the lines of main.py among the errors, without torchrun's."""
        printed, _ = self.process.communicate(timeout=SECONDS)
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.startswith(("error:", "interrupted"))]
        self.errors.close()
        return self.process.returncode, printed, "\n".join(lines)


def undisturbed(folder: Path) -> Files:
    """The files of a run that nobody kills."""
    folder.mkdir()
    code, printed, errors = Ranks(folder).end()
    assert code == 0, printed + errors
    return snapshot(folder / "checkpoint" / "runs" / "run")


def wrong_after_resuming(folder: Path, expected: Files, *, world: int = 2) -> list[str]:
    """Resume the run in ``folder`` to its end; what differs from the files ``expected``."""
    run = folder / "checkpoint" / "runs" / "run"
    code, printed, errors = Ranks(folder, world=world).end()
    assert code == 0, printed + errors
    return differences(snapshot(run), expected) + broken_sums(run)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stream, found, hits, number = random.Random(options.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as root:
        begun = time.monotonic()
        expected = undisturbed(Path(root) / "undisturbed")
        seconds = time.monotonic() - begun
        while hits < options.kills:
            number += 1
            folder = Path(root) / str(number)
            folder.mkdir()
            begun, rank, after = time.monotonic(), stream.randrange(2), stream.uniform(0.3, 1) * seconds
            ranks = Ranks(folder)
            time.sleep(after)
            if ranks.process.poll() is None:
                ranks.kill(rank)
            code, _, errors = ranks.end()
            if code == 0:  # it ended before: no kill, but it says how fast the machine is now
                seconds = time.monotonic() - begun
                continue
            hits += 1
            wrong = wrong_after_resuming(folder, expected)
            found += bool(wrong)
            said = errors.replace("\n", " | ")[:70]
            print(f"{hits}: rank {rank} after {after:.1f} s, code {code}, {said!r}; {wrong or 'equal'}", flush=True)
    print(f"{hits - found} of {hits} killed runs, resumed, are as the undisturbed one; {number - hits} ended before")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
