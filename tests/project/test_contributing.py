"""The worked examples of CONTRIBUTING.md, followed in a copy of the tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import last_of_each

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def add_line(table: Path, line: str) -> None:
    """Add ``line`` as the first one of the table of names in a package."""
    text = table.read_text(encoding="utf-8")
    added = re.sub(r"^([A-Z]+: dict\[str, str\] = \{\n)", rf"\g<1>    {line}\n", text, flags=re.MULTILINE)
    assert added != text
    table.write_text(added, encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with the loss and the sampler of the page."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("utils", "models", "configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "main.py", copy)
    loss, sampler = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (config,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    for path, text in (
        ("utils/losses/brier.py", loss),
        ("utils/samplers/bootstrap.py", sampler),
        ("configs/baseline/baseline_brier.yaml", config),
    ):
        assert f"`{path}`" in PAGE
        (copy / path).write_text(text, encoding="utf-8")
    for package, name in (("losses", "BRIER"), ("samplers", "bootstrap")):
        (line,) = re.findall(rf'"{name}": "[\w:]+"', PAGE)
        add_line(copy / "utils" / package / "__init__.py", f"{line},")
    return copy


def run(tree: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_loss_and_the_sampler_train(tree: Path) -> None:
    (command,) = re.findall(r"^    python (main\.py .*)$", PAGE, flags=re.MULTILINE)
    arguments = last_of_each([*command.split(), "--sampler", "bootstrap", "--resnet_type", "linear", "--threads", "1"])
    assert "test AUC" in run(tree, *arguments)


def test_their_doctests_pass(tree: Path) -> None:
    code = "import doctest, utils.losses.brier as a, utils.samplers.bootstrap as b"
    printed = run(tree, "-c", f"{code}; print(*(doctest.testmod(each) for each in (a, b)))")
    assert len(re.findall(r"failed=0, attempted=[1-9]", printed)) == 2


def test_every_module_in_the_tree_exists() -> None:
    listed = PAGE.split("## The tree")[1].split("```")[1]
    for name in re.findall(r"[a-z_]+\.py", listed):
        assert [*ROOT.glob(name), *ROOT.glob(f"*/{name}")], name
