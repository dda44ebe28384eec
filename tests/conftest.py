"""Shared by all tests: the repository root on the path, and few threads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from report_folders import Page

ROOT = Path(__file__).resolve().parents[1]
# First, so that `utils` and `models` are ours even if the environment holds a package of that name.
sys.path.insert(0, str(ROOT))
# The same examples in every run, so that a change is what makes a test fail; --hypothesis-profile new draws others.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("new", derandomize=False, print_blob=True)
settings.load_profile("repeatable")
# A shell without job control starts what runs in its background with Ctrl-C ignored, and every child inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # likewise nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process of pytest-xdist is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """Tensors in tests are small: more threads cost time. With pytest-xdist each process has one."""
    import torch

    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For whole runs: bit for bit needs an equal number of threads, and small models are fastest with one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def blank_pictures() -> Iterator[None]:
    """Empty pictures: drawing takes most of a small run's time. Tests of pictures go without."""
    from matplotlib.figure import Figure

    from utils.run_files.results_json import K_CLASSES, TWO_SIDES

    with pytest.MonkeyPatch.context() as patch:
        for figures in (TWO_SIDES.figures, K_CLASSES.figures):
            for name in figures:
                patch.setitem(figures, name, lambda *args, **kwargs: Figure(figsize=(1, 1)))
        yield


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report of the stored runs, made once."""
    from report_by_hand import STORED

    import report

    folder = tmp_path_factory.mktemp("report")
    assert report.main([str(STORED), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def text(out: Path) -> str:
    """Its page."""
    return (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(text: str) -> Page:
    """The tables of its page."""
    from report_folders import Page

    return Page(text)
