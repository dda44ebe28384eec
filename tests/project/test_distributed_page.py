"""The loop of docs/distributed.md, alone and on two ranks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def run(folder: Path, *launcher: str) -> str:
    """What the loop prints in ``folder``."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    folder.mkdir()
    (folder / "train_digits.py").write_text(code.replace("from rarecall.", "from utils."), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *launcher, "train_digits.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_loop_gives_the_same_alone_and_on_two_ranks(tmp_path: Path) -> None:
    alone, together = run(tmp_path / "alone"), run(tmp_path / "together", *TORCHRUN)
    assert alone.count("validation AUC") == 4
    assert together == alone
    expected, found = (torch.load(tmp_path / each / "state.pt", weights_only=True) for each in ("alone", "together"))
    for name, value in expected["model"].items():
        torch.testing.assert_close(found["model"][name], value, rtol=0, atol=1e-4)
    multipliers = expected["constraint"]["multipliers"]
    assert multipliers.count_nonzero() > 20  # of 30 positives
    torch.testing.assert_close(found["constraint"]["multipliers"], multipliers, rtol=1e-4, atol=1e-4)
    assert torch.equal(found["sampler"]["generator"], expected["sampler"]["generator"])


def test_the_page_says_how_to_run_it() -> None:
    assert "    torchrun --standalone --nproc_per_node 2 train_digits.py" in PAGE
