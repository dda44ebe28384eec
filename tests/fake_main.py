"""Stands in for main.py in tests of sweep.py: same flags, files and locks, but no torch and nothing to learn.

A row whose name begins with ``fails`` ends with an error, ``dies`` by a signal. With FAKE_HOLD=NAME:N a row whose name
begins with NAME waits after N epochs until there is a file ``go`` in the checkpoint folder. The validation AUC is best
at lr 0.01; the test AUC, which no selection may look at, is best at the other end. Every start adds a line to
``starts.txt`` in the checkpoint folder.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.config.options import FREE
from utils.config.settings import Settings, resolve
from utils.errors import UserError
from utils.run_files.paths import RunPaths
from utils.system.child_processes import end_with_parent
from utils.system.files import locked, make_folder, write_json, write_text


def train(settings: Settings) -> None:
    """One seed, from where it ended."""
    config, paths = settings.config, RunPaths.of(settings.config)
    (seed,) = config.seeds
    files = paths.seed(seed)
    make_folder(files.folder)
    with locked(files.lock, what=f"seed {seed} of {paths.folder}"):
        start = files.history.read_bytes().count(b"\n") if files.last.exists() else 0
        with open(paths.root / "starts.txt", "a") as stream:
            stream.write(f"{paths.model_name} {seed} {start}\n")
        _record(settings, paths)
        if paths.model_name.startswith("fails"):
            raise UserError("it never works")
        if paths.model_name.startswith("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        files.failed.unlink(missing_ok=True)
        for epoch in range(start, config.num_epochs):
            _hold(paths, epoch)
            with open(files.history, "a") as stream:
                stream.write(json.dumps({"epoch": epoch, "seconds": 0.01}) + "\n")
            write_text(files.last, str(epoch))
        gpu = {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
        write_json(files.done, {"epochs": config.num_epochs, "best_epoch": 0, "stopped_early": False, **gpu})
    with locked(paths.lock, what="results", wait=True):
        found = paths.seeds_with("done")
        write_json(paths.results, {"seeds": {str(k): _result(config.lr or 0.01, k) for k in found}})


def _hold(paths: RunPaths, epoch: int) -> None:
    name, _, epochs = os.environ.get("FAKE_HOLD", "").rpartition(":")
    while epochs == str(epoch) and paths.model_name.startswith(name) and not (paths.root / "go").exists():
        time.sleep(0.02)


def _record(settings: Settings, paths: RunPaths) -> None:
    options = settings.as_yaml_ready()
    with locked(paths.lock, what="config", wait=True):
        if paths.config.exists():
            old = yaml.safe_load(paths.config.read_text())["options"]
            if any(old[name]["value"] != item["value"] for name, item in options.items() if name not in FREE):
                raise UserError(f"{paths.folder} holds another run: something differs. Choose another --model_name")
        write_text(paths.config, yaml.safe_dump({"commands": [], "options": options, "data": {"checksum": ""}}))


def _result(lr: float, seed: int) -> dict[str, Any]:
    distance = abs(math.log10(lr) + 2) / 10
    validation = {"auc": 1 - distance + seed / 1000, "fpr_at_tpr": {"0.98": distance, "0.95": 0.5 - distance}}
    return {"validation": validation, "test": {"auc": distance}}


if __name__ == "__main__":
    end_with_parent()
    try:
        train(resolve(sys.argv[1:]))
    except UserError as error:
        print("error:", error, file=sys.stderr)
        sys.exit(2)
