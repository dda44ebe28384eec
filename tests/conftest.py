"""Shared by all tests: the repository root on the path, and few threads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# First, so that `utils` and `models` are ours even if the environment holds a package of that name.
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """Tensors in tests are small: more threads cost time, and their number changes rounding."""
    import torch

    torch.set_num_threads(2)
