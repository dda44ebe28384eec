"""The report of the stored runs, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_by_hand import STORED
from report_folders import Page

import report


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder."""
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
    return Page(text)
