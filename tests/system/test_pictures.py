"""Pictures do not depend on the user's matplotlib: MPLBACKEND, matplotlibrc, styles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from runs import arguments

from utils.metrics.scores import Scores
from utils.metrics.summary import EvaluationOptions
from utils.run_files.results_json import seed_result
from utils.run_files.roc_png import pixels, roc_figure, save_figure

ROOT = Path(__file__).resolve().parents[2]
FOREIGN: Any = {"text.usetex": True, "font.size": 30, "lines.linewidth": 9, "figure.facecolor": "red"}


def picture(path: Path) -> bytes:
    rows, labels = np.arange(60), (np.arange(60) % 3 == 0).astype(np.int64)
    scores = Scores(rows, labels, np.sin(rows) + labels, ["test"] * 60, labels)
    options = EvaluationOptions(
        tprs=(0.9,), alpha=0.5, default_threshold=0.0, fprs=(0.1,), cost_ratio=10, class_counts=(40, 20)
    )
    result = seed_result(validation=scores, test=scores, options=options, stream="bootstrap", seed=1)
    save_figure(roc_figure({1: scores}, scores, result, title="run"), path)
    return path.read_bytes() + pixels(roc_figure({1: scores}, scores, result, title="run")).tobytes()


def test_a_picture_is_the_same_whatever_the_user_has_set(tmp_path: Path) -> None:
    plain = picture(tmp_path / "roc.png")
    with matplotlib.rc_context(FOREIGN):
        assert picture(tmp_path / "roc.png") == plain
        assert matplotlib.rcParams["font.size"] == 30  # which stays as it was


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["nonsense", "module://nonexistent", "tkagg"])
def test_a_run_ends_well_under_a_foreign_backend_and_matplotlibrc(tmp_path: Path, backend: str) -> None:
    """Also one that matplotlib does not know, which ends its import, and one with a font of LaTeX that is not there."""
    rc = tmp_path / "own" / "matplotlibrc"
    rc.parent.mkdir()
    rc.write_text("text.usetex: True\nfont.size: 30\nno.such.key: 1\n")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")  # read first, as it lies where the run is started
    environment = {**os.environ, "MPLBACKEND": backend, "MATPLOTLIBRC": str(rc)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *arguments(tmp_path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (tmp_path / "runs" / "run" / "roc.png").read_bytes().startswith(b"\x89PNG")
