"""What two runs of the same command must have in common: every byte, but for clock times and process numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from utils.run_files.model_pt import read_model
from utils.run_files.paths import RunPaths
from utils.system.files import sha256

Files = dict[str, bytes | list[tuple[str, list[tuple[int, float]]]]]


def without(*keys: str) -> Callable[[bytes], bytes]:
    """Of one JSON record a line, or of a single one: all but ``keys``."""

    def strip(content: bytes) -> bytes:
        text = content.decode()
        records = [json.loads(text)] if text.startswith("{\n") else [json.loads(line) for line in text.splitlines()]
        return "\n".join(json.dumps({k: v for k, v in r.items() if k not in keys}) for r in records).encode()

    return strip


TIMES = {"history.jsonl": without("seconds"), "done": without("finished")}


def snapshot(folder: Path) -> Files:
    """The files of a run, without clock times, and what TensorBoard shows of each seed."""
    files: Files = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and path.name != ".lock" and "tfevents" not in path.name:
            files[name] = TIMES.get(path.name, bytes)(path.read_bytes())
    for seed in sorted(folder.glob("seed*")):
        files[f"{seed.name}/events"] = scalars(seed)
    return files


def scalars(folder: Path) -> list[tuple[str, list[tuple[int, float]]]]:
    """The curves that TensorBoard shows: name, steps, values."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [
        (name, [(item.step, item.value) for item in events.Scalars(name)]) for name in sorted(events.Tags()["scalars"])
    ]


def differences(found: Files, expected: Files) -> list[str]:
    """Names of the files that differ, are missing or too many."""
    return [
        f"{name} {'differs' if name in found and name in expected else 'is missing' if name in expected else 'is new'}"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]


def broken_sums(folder: Path) -> list[str]:
    """Where results.json or model.pt does not belong to the weights and scores beside it."""
    paths = RunPaths(folder.parent.parent, folder.parent.name, folder.name)
    content = json.loads(paths.results.read_text())
    sums = {seed: values["checksums"] for seed, values in content["seeds"].items()}
    other = [] if read_model(paths.model).checksums == sums else ["model.pt is not of the seeds in results.json"]
    return other + [
        f"seed{seed}/{name} is not what results.json says"
        for seed, recorded_sums in sums.items()
        for name, recorded in recorded_sums.items()
        if sha256(paths.seed(int(seed)).folder / name) != recorded
    ]
