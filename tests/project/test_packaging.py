"""The wheel: what it holds, what it depends on, and that it works in a project of someone else's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from runs import assert_same_run

import utils
from benchmarks.processes import last_of_each
from utils.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"utils": "rarecall", "models": "rarecall/models", "configs": "rarecall/configs"}
RUN = (
    "--dataset_name digits --resnet_type linear --name_file_bs baseline_bce --name_file_alm ALM_12_beg --delta 1 "
    "--seeds 1-2 --parallel_seeds 2 --num_epochs 2 --threads 1 --device cpu --model_name run"
)
SWEEP = "configs/table/quick.yaml --only digits_BCE+ALM --seeds 1 --set num_epochs=2 resnet_type=linear --jobs 1"

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
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", folder, ".")
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program ``rarecall`` of an environment that has the wheel, and everything else from the one of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    inherited = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "inherited.pth").write_text("\n".join(inherited))
    pip("--python", folder / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    return folder / "bin" / "rarecall"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of another project, which has packages of our names: ``rarecall`` in it, and two on the path."""
    folder = tmp_path / "project"
    for name in ("rarecall", "path/utils", "path/models"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('of another project')")
    return folder


def output_of(folder: Path, *command: str | Path, code: int = 0) -> str:
    """What a command prints that runs in ``folder``, with the packages of ``folder/path`` before all others."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(folder / "path")}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_wheel_holds_utils_models_and_configs_under_one_name(wheel: Path) -> None:
    assert wheel.name.startswith("rarecall-")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        f"{package}/{path.relative_to(ROOT / folder)}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert any(name.endswith("/LICENSE") for name in names)
    assert "rarecall/py.typed" in names  # type checkers read the annotations


@pytest.mark.slow
def test_the_program_trains_and_reports_as_the_source_tree_does(program: Path, project: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    output_of(project, program, "train", *RUN.split())
    output_of(tree, sys.executable, ROOT / "main.py", *RUN.split())
    runs, theirs = (folder / "checkpoint" / "runs" for folder in (project, tree))
    assert_same_run(runs / "run", theirs / "run", seeds=(1, 2))
    record, other = (yaml.safe_load((folder / "run" / "config.yaml").read_text()) for folder in (runs, theirs))
    assert record.pop("commands") == [f"rarecall train {RUN}"]
    assert other.pop("commands") == [f"python main.py {RUN}"]
    assert record == other

    output_of(project, program, "report", "checkpoint/runs")
    output_of(tree, sys.executable, ROOT / "report.py", "checkpoint/runs")
    for path in (theirs / "report").glob("*.csv"):
        assert (runs / "report" / path.name).read_bytes() == path.read_bytes(), path.name
    page = (runs / "report" / "report.html").read_text()
    assert "rarecall report checkpoint/runs" in page
    assert "rarecall train --dataset_name digits" in page
    assert ".py" not in (runs / "report" / "report.md").read_text()


@pytest.mark.slow
def test_a_sweep_of_the_program_starts_the_program(program: Path, project: Path, tmp_path: Path) -> None:
    listed = output_of(project, program, "sweep", *SWEEP.split(), "--dry_run")
    (command,) = re.findall(r"^to do    (.*)$", listed, flags=re.MULTILINE)
    assert command.startswith("rarecall train --name_file_bs baseline_bce ")
    assert "1 of 1 done" in output_of(project, program, "sweep", *SWEEP.split())
    words = shlex.split(command)
    output_of(tmp_path / "typed", program, *words[1:])  # what was printed can be typed
    output_of(tmp_path / "tree", sys.executable, ROOT / "main.py", *words[2:])
    one, *others = (tmp_path / name / "checkpoint/quick/digits_BCE+ALM" for name in ("project", "typed", "tree"))
    for other in others:
        assert_same_run(one, other)


@pytest.mark.slow
def test_a_config_of_the_working_folder_comes_before_that_of_the_package(program: Path, project: Path) -> None:
    baseline = project / "configs" / "baseline"
    baseline.mkdir(parents=True)
    (baseline / "baseline_bce.yaml").write_text("training_type: SYM_LM\nm: 0.25\n")
    printed = output_of(project, program, "train", *last_of_each(f"{RUN} --num_epochs 1 --seeds 1".split()))
    assert "note: name_file_bs baseline_bce is configs/baseline/baseline_bce.yaml of the working folder" in printed
    assert "name_file_alm" not in printed  # which is the package's
    options = yaml.safe_load((project / "checkpoint/runs/run/config.yaml").read_text())["options"]
    assert (options["training_type"]["value"], options["m"]["value"], options["mu"]["value"]) == ("SYM_LM", 0.25, 0.01)


def test_no_help_of_the_program_imports_torch(program: Path, project: Path) -> None:
    overview = output_of(project, program)
    assert overview == output_of(project, program, "--help")
    names = re.findall(r"^  (\w+) ", overview, flags=re.MULTILINE)
    assert names == list(COMMANDS)
    for name in names:
        code = f"""
import sys
from rarecall.commands import main
try:
    main([{name!r}, "--help"])
finally:
    print("torch" in sys.modules)
"""
        printed = output_of(project, program.with_name("python"), "-P", "-c", code)
        assert f"usage: rarecall {name} " in printed
        assert printed.endswith("\nFalse\n")
        assert not re.findall(r"\b(main|sweep|report)\.py", printed)


def test_the_program_without_its_extra_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip("install", "--no-deps", "--no-index", "--target", site, wheel, cwd=tmp_path)
    bare = [sys.executable, "-S", "-m", "rarecall"]  # -S: no package but that of the working folder
    for name in COMMANDS:
        assert output_of(site, *bare, name, "--help", code=2) == (
            f"error: rarecall {name} needs jinja2, matplotlib, pillow, pyyaml, scipy, tensorboard, threadpoolctl, "
            "torchvision, tqdm: pip install 'rarecall[experiments]'\n"
        )
    assert output_of(site, *bare, "--version") == f"rarecall {utils.__version__}\n"
    assert "unknown command 'trian'; did you mean train?" in output_of(site, *bare, "trian", code=2)
    assert "rarecall COMMAND" in output_of(site, *bare)


@pytest.mark.slow
def test_the_library_needs_no_extra(program: Path, project: Path) -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["experiments"]
    needed = {"pillow", "scipy", "threadpoolctl"}  # scikit-learn needs the last two; the name of pillow's module is PIL
    modules = {Requirement(line).name for line in extra} - needed
    code = f"""
import sys
for name in {sorted({"yaml" if name == "pyyaml" else name for name in modules})!r}:
    sys.modules[name] = None  # its import fails
import rarecall
from rarecall import *
from rarecall.testing import check_loss
check_loss(losses.BCE)
print([name for name in rarecall.__all__ if name not in globals()], rarecall.__version__)
print(models.build_model.__module__, metrics.__name__, "run" in vars(rarecall))
"""
    printed = output_of(project, program.with_name("python"), "-P", "-c", code)
    assert printed == f"[] {utils.__version__}\nrarecall.models rarecall.metrics False\n"


def test_every_module_of_the_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    files = [path.relative_to(tmp_path).with_suffix("") for path in tmp_path.glob("rarecall/**/*.py")]
    modules = sorted(".".join(file.parts).removesuffix(".__init__") for file in files)
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
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
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == site / "rarecall" / "__init__.py"


@pytest.mark.slow
def test_the_examples_read_as_they_say_with_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """With `rarecall` for `utils` in the imports, beside nothing but the wheel; tests/examples/ runs them."""
    pip("install", "--no-deps", "--no-index", "--target", tmp_path, wheel, cwd=tmp_path)
    examples = sorted((ROOT / "examples").glob("[!_]*.py"))
    for path in examples:
        text = path.read_text(encoding="utf-8")
        assert "\nfrom utils." in text
        (tmp_path / path.name).write_text(text.replace("\nfrom utils.", "\nfrom rarecall."), encoding="utf-8")
    code = "import rarecall, " + ", ".join(path.stem for path in examples) + "; print(rarecall.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=280)
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
    tested = {Requirement(line).name.lower(): Requirement(line).specifier for line in lines_of("constraints.txt")}
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
