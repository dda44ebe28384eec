"""A thousand epochs of three seeds, watched from outside: does anything grow that should not?

    python tests/faults/soak.py [--epochs 1000] [--seeds 3] [--out FILE]

Runs main.py on the embedded digits with the constraint, and reads the process's memory, open files and threads while
it trains. Each seed's last tenth of epochs is held against its second tenth (the first warms up). Prints a table; exit
code 1 if memory, open files, threads, event files or the time of an epoch grew beyond what ``LIMITS`` allows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EVERY = 0.2  # seconds between two samples
LIMITS = {"memory_mb": 20.0, "open_files": 0.0, "threads": 0.0, "epoch_ms": 0.3}  # epoch_ms: as a share
COMMAND = (
    "--dataset_name digits --resnet_type lenet5 --name_file_bs baseline_bce --name_file_alm ALM_13_beg --delta 0.5 "
    "--ratio_pos_train 20 --device cpu --threads 1 --parallel_seeds 1 --model_name soak"
)


@dataclass(frozen=True)
class Sample:
    """The process at one moment."""

    seed: int
    epoch: int  # finished epochs of that seed
    memory_mb: float
    open_files: int
    threads: int


@dataclass(frozen=True)
class Outcome:
    """One quantity of one seed, early and late."""

    seed: int
    quantity: str
    early: float
    late: float
    fits: bool


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def sample(pid: int, run: Path, seeds: int) -> Sample | None:
    """None where the process has ended, or no epoch has."""
    seed = max((seed for seed in range(1, seeds + 1) if lines_in(run / f"seed{seed}" / "history.jsonl")), default=0)
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        open_files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        memory, threads = int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
    except (OSError, KeyError):
        return None
    return Sample(seed, lines_in(run / f"seed{seed}" / "history.jsonl"), memory, open_files, threads) if seed else None


def watch(root: Path, *, epochs: int, seeds: int) -> tuple[int, list[Sample]]:
    """Run main.py; returns its exit code and what was seen."""
    length = f"--seeds 1-{seeds} --num_epochs {epochs} --patience_early_stopping {epochs} --checkpoint_root {root}"
    command = [sys.executable, str(ROOT / "main.py"), *COMMAND.split(), *length.split()]
    samples = []
    with open(root / "output.txt", "wb") as output, subprocess.Popen(command, cwd=ROOT, stdout=output) as process:
        while process.poll() is None:
            if found := sample(process.pid, root / "runs" / "soak", seeds):
                samples.append(found)
            time.sleep(EVERY)
    return process.returncode, samples


def tenths(values: list[float]) -> tuple[float, float]:
    """The medians of the second and of the last tenth."""
    size = max(1, len(values) // 10)
    return statistics.median(values[size : 2 * size] or values), statistics.median(values[-size:])


def outcomes(run: Path, samples: list[Sample], *, epochs: int, seeds: int) -> list[Outcome]:
    """What grew, seed by seed."""
    found = []
    for seed in range(1, seeds + 1):
        # while it trains: the scoring at a seed's end loads plotting, once
        own = [each for each in samples if each.seed == seed and each.epoch < epochs]
        for quantity in ("memory_mb", "open_files", "threads"):
            early, late = tenths([float(getattr(each, quantity)) for each in own]) if own else (0.0, 0.0)
            found.append(Outcome(seed, quantity, early, late, bool(own) and late - early <= LIMITS[quantity]))
        records = [json.loads(line) for line in (run / f"seed{seed}" / "history.jsonl").read_text().splitlines()]
        early, late = tenths([1000 * record["seconds"] for record in records])
        fits = len(records) == epochs and late <= early * (1 + LIMITS["epoch_ms"])
        found.append(Outcome(seed, "epoch_ms", early, late, fits))
        events = list((run / f"seed{seed}").glob("events.out.tfevents.*"))
        found.append(Outcome(seed, "event_files", 1, len(events), len(events) == 1))
        size = sum(path.stat().st_size for path in events) / 1000 / epochs
        found.append(Outcome(seed, "event_kb_an_epoch", size, size, fits=size < 20))
    return found


def table(found: list[Outcome]) -> str:
    rows = [f"{'seed':>4}  {'quantity':<18}{'early':>12}{'late':>12}"]
    rows += [
        f"{each.seed:>4}  {each.quantity:<18}{each.early:>12.2f}{each.late:>12.2f}{'' if each.fits else '  GREW'}"
        for each in found
    ]
    return "\n".join(rows)


def main(argv: list[str]) -> int:
    """Returns the exit code: 0 nothing grew, 1 something did or the run failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON with all samples")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        start = time.perf_counter()
        code, samples = watch(root, epochs=asked.epochs, seeds=asked.seeds)
        seconds = time.perf_counter() - start
        if code:
            print((root / "output.txt").read_text(errors="replace")[-2000:])
            return 1
        found = outcomes(root / "runs" / "soak", samples, epochs=asked.epochs, seeds=asked.seeds)
    print(f"{asked.seeds} seeds of {asked.epochs} epochs in {seconds:.0f} s, {len(samples)} samples\n{table(found)}")
    if asked.out:
        content: dict[str, Any] = {
            "epochs": asked.epochs,
            "seconds": seconds,
            "outcomes": [asdict(each) for each in found],
            "samples": [asdict(each) for each in samples],
        }
        asked.out.write_text(json.dumps(content, indent=1) + "\n")
    return 0 if all(each.fits for each in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
