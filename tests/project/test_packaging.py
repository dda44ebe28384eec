"""The wheel: what it holds, what it depends on, and that it works in a project of someone else's."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("rarecall/run/", "rarecall/reporting/", "rarecall/sweeping/")  # what main.py, report.py and sweep.py do

USERS_LOOP = """\
import utils
import torch
from rarecall.constraints import AugmentedLagrangian
from rarecall.losses import BCE
from rarecall.testing import check_loss

torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
targets = (torch.arange(200) % 20 == 0).long()
inputs = torch.randn(200, 5, generator=generator) + targets[:, None]
model = torch.nn.Linear(5, 1)
loss, constraint = BCE(), AugmentedLagrangian(num_samples=200, delta=1.0, mu=1e-3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
check_loss(BCE)
losses = []
for _ in range(20):
    for indices in torch.randperm(200, generator=generator).split(50):
        scores = model(inputs[indices]).squeeze(1)
        total = loss(scores, targets[indices]) + constraint.penalty(scores, targets[indices], indices)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        constraint.update_multipliers()
    losses.append(loss(model(inputs), targets).item())
    constraint.end_epoch(0.5)

import rarecall
from rarecall.models import build_model

assert utils.marker == 1, utils.__file__
assert losses[-1] < 0.8 * losses[0], losses
assert constraint.multipliers[targets == 1].gt(0).all()
assert not constraint.multipliers[targets == 0].any()
lenet = build_model("lenet5", channels=1, image_size=(28, 28), generator=generator)
assert lenet(torch.zeros(2, 1, 28, 28)).shape == (2, 1)
print(rarecall.__file__)
"""


def pip(*arguments: str | Path, cwd: Path = ROOT) -> None:
    """Run pip without the network; on failure the test shows what it printed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", folder, ".")
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_utils_and_models_under_one_name(wheel: Path) -> None:
    assert wheel.name.startswith("rarecall-")
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {name for name in names if ".dist-info/" not in name}
    sources = {
        str(package / path.relative_to(ROOT / folder))
        for folder, package in {"utils": Path("rarecall"), "models": Path("rarecall/models")}.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert code == {name for name in sources if not name.startswith(LEFT_OUT)}
    assert any(name.endswith("/LICENSE") for name in names)


def test_every_module_of_the_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    files = [path.relative_to(tmp_path).with_suffix("") for path in tmp_path.glob("rarecall/**/*.py")]
    modules = sorted(".".join(file.parts).removesuffix(".__init__") for file in files)
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_wheel_trains_in_a_loop_of_ones_own_beside_a_foreign_utils(wheel: Path, tmp_path: Path) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    pip("install", "--no-deps", "--no-index", "--target", site, wheel, cwd=tmp_path)
    (project / "utils").mkdir(parents=True)
    (project / "utils" / "__init__.py").write_text("marker = 1\n")
    (project / "loop.py").write_text(USERS_LOOP)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(site)
    done = subprocess.run(
        [sys.executable, "loop.py"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == site / "rarecall" / "__init__.py"


def test_the_examples_read_as_they_say_with_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """With `rarecall` for `utils` in the imports, beside nothing but the wheel; tests/examples/ runs them."""
    pip("install", "--no-deps", "--no-index", "--target", tmp_path, wheel, cwd=tmp_path)
    examples = sorted((ROOT / "examples").glob("[!_]*.py"))
    for path in examples:
        text = path.read_text(encoding="utf-8")
        assert "\nfrom utils." in text
        (tmp_path / path.name).write_text(text.replace("\nfrom utils.", "\nfrom rarecall."), encoding="utf-8")
    code = "import rarecall, " + ", ".join(path.stem for path in examples) + "; print(rarecall.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "rarecall" / "__init__.py"


def requirements(lines: list[str]) -> dict[str, str]:
    parsed = [Requirement(line) for line in lines]
    return {requirement.name.lower(): str(requirement.specifier) for requirement in parsed}


def lines_of(name: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def test_wheel_and_requirement_file_ask_for_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["experiments"]]
    assert requirements(declared) == requirements(lines_of("requirements.txt"))


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirement_files_hold_lower_bounds_that_the_constraints_meet(name: str) -> None:
    tested = {
        Requirement(line).name.lower(): Requirement(line).specifier for line in lines_of("constraints.txt")
    }
    for line in lines_of(name):
        requirement = Requirement(line)
        assert {specifier.operator for specifier in requirement.specifier} == {">="}, line
        (version,) = tested[requirement.name.lower()]
        assert version.operator == "=="
        assert requirement.specifier.contains(version.version), line


def test_lower_bounds_admit_torch_2_11_and_python_3_12() -> None:
    for name, version in {"torch": "2.11.0", "torchvision": "0.26.0"}.items():
        (line,) = (line for line in lines_of("requirements.txt") if Requirement(line).name == name)
        assert Requirement(line).specifier.contains(version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"


def test_constraints_leave_platform_packages_to_torch() -> None:
    names = [Requirement(line).name.lower() for line in lines_of("constraints.txt")]
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton"))]
