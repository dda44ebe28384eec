"""The documentation site: built with warnings as errors, its tutorials executed, its links whole, its API complete."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

import utils

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api"
PACKAGES = [*(name for name in utils.__all__ if name not in ("__version__", "load")), "learners"]


def module_of(name: str) -> ModuleType:
    return importlib.import_module(name if name.partition(".")[0] == "models" else f"utils.{name}")


def modules_without_table() -> list[str]:
    """``metrics.roc`` and the like: public packages that have no ``__all__`` are imported by module."""
    return [
        f"{name}.{module.name}"
        for name in PACKAGES
        if not hasattr(module_of(name), "__all__")
        for module in pkgutil.iter_modules(module_of(name).__path__)
    ]


def public_names() -> set[str]:
    """``rarecall.losses.BCE`` and the like: the names of each ``__all__``, else what a module defines."""
    names = {f"rarecall.{name}" for name in ("load", *PACKAGES)}
    for package in PACKAGES:
        names |= {f"rarecall.{package}.{name}" for name in getattr(module_of(package), "__all__", ())}
    for name in modules_without_table():
        module = module_of(name)
        defined = inspect.getmembers(module, lambda thing: inspect.isclass(thing) or inspect.isfunction(thing))
        own = [key for key, thing in defined if thing.__module__ == module.__name__ and not key.startswith("_")]
        names |= {f"rarecall.{name}", *(f"rarecall.{name}.{key}" for key in own)}
    return names


def test_public_names_are_what_users_import() -> None:
    names = public_names()
    assert {"rarecall.losses.BCE", "rarecall.metrics.roc.auc", "rarecall.models.build_model", "rarecall.load"} <= names
    assert len(names) > 200


@pytest.mark.parametrize("name", [*PACKAGES, *modules_without_table()])
def test_every_public_module_has_a_place(name: str) -> None:
    """Known without a build, which then finds names that lack a docstring."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in API.glob("*.md"))
    assert re.search(rf"^\.\. automodule:: rarecall\.{re.escape(name)}$", pages, flags=re.MULTILINE), name


@pytest.mark.parametrize("name", [name for name in PACKAGES if hasattr(module_of(name), "__all__")])
def test_a_package_lists_its_names(name: str) -> None:
    module = module_of(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    assert all(hasattr(module, each) for each in module.__all__)


EXAMPLES = [f"{name}.{each.name}" for name in PACKAGES for each in pkgutil.iter_modules(module_of(name).__path__)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_docstrings_hold(name: str) -> None:
    found = doctest.testmod(module_of(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


# --- the build -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-j", "2", "-c", "docs"]
    command += ["-d", str(folder / "doctrees"), "-b", "html", ".", str(folder / "html")]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1150)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return folder / "html"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_public_name_has_an_entry(site: Path) -> None:
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)  # four lines of text before it
    lines = zlib.decompress(packed).decode("utf-8").splitlines()
    entries = {line.split()[0] for line in lines if line.split()[1].startswith("py:")}
    assert not sorted(public_names() - entries)


class Page(HTMLParser):
    """The targets and the anchors of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


def broken(site: Path) -> Iterator[str]:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = unquote(link.partition("?")[0] if "#" not in link else link).partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                yield f"{path.relative_to(site)}: {link}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_link_inside_the_site_leads_somewhere(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > 40
    assert not sorted(set(broken(site)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_cells_were_executed(site: Path) -> None:
    assert "FPR@98TPR" in (site / "docs" / "start.html").read_text(encoding="utf-8")
    assert "lack a class" in (site / "docs" / "failure_modes.html").read_text(encoding="utf-8")
