"""Every shell command and every Python block of the documentation: understood by the real parsers, or run.

What stands in a code cell of a page is executed when the site is built (test_site.py).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import io
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image
from runs import run
from torch.distributed.run import get_args_parser

import sweep
import utils
from models import build_model
from utils.commands import predict as predict_command
from utils.commands import prepare as prepare_command
from utils.commands import report as report_command
from utils.config.settings import resolve
from utils.errors import UserError
from utils.learners import LEARNERS
from utils.run.components import check_components
from utils.run_files.paths import RunPaths
from utils.sweeping import arguments as sweeping

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("README.md", "CONTRIBUTING.md", "configs/README.md", "benchmarks/README.md", "studies/README.md")
PAGES = [*(ROOT / name for name in NAMES), *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("conda", "make", "pip", "python", "rarecall", "tensorboard", "torchrun")
FENCE = re.compile(r"^(`{3,}|~{3,})([^\n]*)\n(.*?)^\1`*$", flags=re.MULTILINE | re.DOTALL)
INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`")
# a part of a command -> why it cannot be understood here
EXCEPTIONS = {
    "baseline_brier": "the page makes this config; test_contributing.py and the site's build run it",
    "train_digits.py": "the page makes this file; test_distributed_page.py runs it",
    "from utils.losses import Brier": "the page makes this loss; test_contributing.py and the site's build run it",
    "small.yaml": "the page makes this table; the site's build runs it",
    "rarecall NAME": "stands for a command to be added",
    "python NAME.py": "stands for its script",
}


def commands_of(page: Path) -> Iterator[str]:
    """The commands in indented blocks, in fenced blocks of a shell, and between backquotes."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for _, language, block in FENCE.findall(text):
        if language.strip() in ("bash", "console", "sh", "shell"):
            yield from (line.strip() for line in block.splitlines() if line.strip())
    prose = FENCE.sub("", text)
    for line in re.findall(r"^    +(\S.*)$", prose, flags=re.MULTILINE):
        if line.split()[0].rpartition("/")[2] in PROGRAMS:
            yield line
    yield from (" ".join(each.split()) for each in INLINE.findall(prose))


COMMANDS = sorted({(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands_of(page)})


def understood(argv: Sequence[str]) -> bool:
    """Whether the words name a program of this project, and its parser takes the rest, if any; or raises."""
    program, rest = Path(argv[0]).name, list(argv[1:])
    if program == "torchrun":
        asked = get_args_parser().parse_args(rest)
        return asked.training_script == "main.py" and understood(["python", "main.py", *asked.training_script_args])
    if program == "rarecall":
        return rest in (["--version"], ["--help"]) or (
            rest[0] in READERS and (not rest[1:] or READERS[rest[0]](rest[1:]))
        )
    if program != "python":
        return READERS[program](rest)
    if rest[0] == "-c":
        return bool(compile(rest[1], "-c", "exec"))
    if rest[0] == "-m":
        return is_module(rest[1]) and knows(Path(*rest[1].split(".")), rest[2:])
    name = {"main.py": "train"}.get(rest[0], rest[0].removesuffix(".py"))
    exists = (ROOT / rest[0]).is_file()
    return exists and (READERS[name](rest[1:]) if name in READERS and rest[1:] else knows(Path(rest[0]), rest[1:]))


def knows(program: Path, argv: Sequence[str]) -> bool:
    """Whether the folder of a script or module of ours names each flag, and the tests that are to be run are there."""
    files = (ROOT / program).parent.glob("*.py") if program.parent != Path() else []
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    ours = not source or all(f'"{word}"' in source for word in argv if word.startswith("--"))
    return ours and all((ROOT / word).exists() for word in argv if word.startswith("tests/"))


def is_module(name: str) -> bool:
    """Whether ``python -m name`` finds it.

    Files alone are asked, not the hooks of sys.meta_path: the one of setuptools, asked for pip, gives the standard
    library's distutils to the whole process from then on, and torch.compile fails at its deprecation warning.
    """
    package, here = name.partition(".")[0], ROOT.joinpath(*name.split("."))
    if (ROOT / package).exists():
        return here.with_suffix(".py").is_file() or (here / "__main__.py").is_file()
    return importlib.machinery.PathFinder.find_spec(package) is not None


def asks_for_help(argv: Sequence[str]) -> bool:
    return bool({"--help", "--version"}.intersection(argv))


def of_train(argv: Sequence[str]) -> bool:
    return asks_for_help(argv) or (resolve(argv).notes == () and can_start(argv))


def can_start(argv: Sequence[str]) -> bool:
    """Whether what ``resolve``, which imports no torch, leaves to the preparation of the run is right too."""
    settings = resolve(argv)
    check_components(settings)
    return is_model(settings.config.resnet_type, settings.config.image_size or 64)


@functools.cache
def is_model(name: str, side: int) -> bool:
    """Whether it is a learner or can be built for colour images of that size."""
    try:
        return name in LEARNERS or bool(
            build_model(name, channels=3, image_size=(side, side), generator=torch.Generator())
        )
    except ValueError:
        return False


def of_sweep(argv: Sequence[str]) -> bool:
    """The table and the options, and so is the command of every job that is to do."""
    if asks_for_help(argv):
        return True
    table = str(ROOT / sweeping.parse(argv).table)
    listing = [word for word in argv[1:] if word not in ("--dry_run", "--status")]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = sweep.main([table, *listing, "--dry_run"])
    jobs = re.findall(r"^to do .*main\.py (.*)$", printed.getvalue(), flags=re.MULTILINE)
    return code == 0 and bool(jobs) and all(can_start(shlex.split(job)) for job in jobs)


def of_report(argv: Sequence[str]) -> bool:
    if not asks_for_help(argv):
        report_command._check(report_command._parser().parse_args(argv))
    return True


def of_predict(argv: Sequence[str]) -> bool:
    return asks_for_help(argv) or bool(predict_command._checked(predict_command._parser().parse_args(argv)))


def of_prepare(argv: Sequence[str]) -> bool:
    return asks_for_help(argv) or bool(prepare_command._request(prepare_command._given(argv), ""))


def of_make(argv: Sequence[str]) -> bool:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in argv if "=" not in word]
    set_here = [word.partition("=")[0] for word in argv if "=" in word]
    return all(f"$({name})" in makefile for name in set_here) and all(
        re.search(rf"^{re.escape(target)}:", makefile, flags=re.MULTILINE) for target in targets
    )


def of_pip(argv: Sequence[str]) -> bool:
    """``pip install`` of this package with extras that it has, or of others that it names; flags are pip's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {Requirement(line).name for lines in (project["dependencies"], *extras.values()) for line in lines}
    words = [word for word in argv[1:] if not word.startswith(("-", "https://"))]
    ours = [word.replace(".", "rarecall", 1) if word.startswith(".") else word for word in words]
    asked = [Requirement(word) for word in ours if not word.endswith(".whl")]
    if argv[0] == "wheel":
        return True
    return argv[0] == "install" and all(
        each.extras <= set(extras) if each.name == "rarecall" else each.name in needed for each in asked
    )


READERS: dict[str, Callable[[Sequence[str]], bool]] = {
    "train": of_train,
    "sweep": of_sweep,
    "report": of_report,
    "predict": of_predict,
    "prepare": of_prepare,
    "make": of_make,
    "pip": of_pip,
    "tensorboard": lambda argv: argv[0] == "--logdir" and len(argv) == 2,
    "conda": lambda argv: all((ROOT / word).is_file() for word in argv if word.endswith(".yml")),
}


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 100
    assert {Path(line.split()[0]).name for _, line in COMMANDS} >= {"make", "pip", "python", "rarecall", "torchrun"}


@pytest.mark.parametrize("page, line", COMMANDS, ids=[f"{page}: {line}" for page, line in COMMANDS])
def test_every_command_is_understood(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(part in line for part in EXCEPTIONS):
        return
    monkeypatch.chdir(tmp_path)
    assert understood(shlex.split(line, comments=True))


def trainings() -> Iterator[list[str]]:
    """The arguments of main.py in each command of a page that trains, and in ``make run``."""
    (of_make_run,) = re.findall(r"^RUN_ARGS \?= ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    yield shlex.split(of_make_run.replace("\\\n", " "))
    for _, line in COMMANDS:
        _, started, argv = line.partition(" main.py " if " main.py " in line else "rarecall train ")
        if started and not any(part in line for part in EXCEPTIONS) and not asks_for_help(shlex.split(argv)):
            yield shlex.split(argv, comments=True)


def test_every_run_that_a_command_reads_is_made_by_another() -> None:
    configs = [resolve(argv).config for argv in trainings()]
    runs = [RunPaths.of(config).folder for config in configs]
    tables = [Path("checkpoint", path.stem) for path in (ROOT / "configs" / "table").glob("*.yaml")]
    made = {Path("checkpoint"), *tables, *runs, *(run.parent for run in runs)}
    read = [Path(word) for _, line in COMMANDS for word in shlex.split(line, comments=True) if "checkpoint/" in word]
    baselines = [
        run.with_name(str(config.baseline_cont_train))
        for config, run in zip(configs, runs, strict=True)
        if config.continue_train
    ]
    assert len(read) >= 10
    assert baselines
    assert {path.as_posix() for path in (*read, *baselines) if path not in made} == set()


@pytest.mark.parametrize("part", EXCEPTIONS)
def test_every_exception_is_needed(part: str) -> None:
    assert any(part in line for _, line in COMMANDS)


@pytest.mark.parametrize(
    "line",
    [
        "python main.py --dataset_nam digits",
        "python main.py --dataset_name digits --delta 1",
        "python main.py --dataset_name digits --resnet_type resnet50",
        "python main.py --dataset_name digits --resnet_type torchvision:resnet51",
        "python main.py --dataset_name digits --resnet_type timm:tf_efficientnet_light0",
        "python main.py --dataset_name digits --training_type SYM_LM",
        "torchrun --standalone --processes 4 main.py --dataset_name digits",
        "python sweep.py configs/table/quick.yaml --dry-run",
        "python sweep.py configs/table/quick.yaml --set resnet_type=lenet7",
        "python predict.py checkpoint/runs/scans --images new/",
        "python prepare.py images --sise 224 --out datasets/scans",
        "python report.py checkpoint/runs --crd",
        "rarecall trian --dataset_name digits",
        "make tset",
        "make test PYTEST_ARG=-x",
        "python -m studies.toys",
        "python -m benchmarks.bench_step --data-root datasets",
        "python -m pytest -q tests/loses",
        "python tests/fuzz/fuz.py",
        "python tests/fuzz/fuzz.py --input 10",
        "pip install 'rarecall[experimentss]'",
        "pip install submitti",
    ],
)
def test_a_wrong_command_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        accepted = understood(shlex.split(line))
    except (UserError, ModuleNotFoundError, SystemExit):
        accepted = False
    assert not accepted


# --- Python ------------------------------------------------------------------------------------------------

RUN_BY = {  # page -> the test that runs its Python blocks
    "CONTRIBUTING.md": "test_contributing.py",
    "docs/distributed.md": "test_distributed_page.py",
    "docs/own_data.md": "test_commands.py",
    "docs/predict.md": "test_readme.py",
}


def python_blocks(page: Path) -> list[str]:
    return [block for _, language, block in FENCE.findall(page.read_text(encoding="utf-8")) if language == "python"]


def test_every_python_block_is_run_by_a_test() -> None:
    assert {page.relative_to(ROOT).as_posix() for page in PAGES if python_blocks(page)} == set(RUN_BY)
    for page, test in RUN_BY.items():
        assert Path(page).name in (ROOT / "tests" / "project" / test).read_text(encoding="utf-8")


def test_the_lines_of_own_data_open_a_run_of_several_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = python_blocks(ROOT / "docs" / "own_data.md")
    run(tmp_path / "checkpoint", "--model_name digits_classes --task classes --critical_classes 8 9")
    (tmp_path / "new").mkdir()
    for number in (1, 2):
        Image.new("L", (8, 8), 100 * number).save(tmp_path / "new" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "rarecall", utils)
    space: dict[str, Any] = {}
    exec(code, space)
    assert len(space["decided"].name) == 2
    assert space["decided"].score.shape == (2, 2)


def cells(page: Path) -> list[str]:
    """The code cells of a page that the build executes."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return [block for _, language, block in FENCE.findall(text) if language.startswith("{code-cell}")]


EXECUTED = [page for page in [*PAGES, *sorted((ROOT / "docs").rglob("*.ipynb"))] if cells(page)]


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_failing_command_of_a_cell_fails_the_build(page: Path) -> None:
    """``!command`` would not; ``%%bash`` without -e only by its last line, unless it shows an exit code."""
    if page.suffix == ".md":
        assert page.read_text(encoding="utf-8").startswith("---\nfile_format: mystnb\n")
    for cell in cells(page):
        assert not re.search(r"^!", cell, flags=re.MULTILINE), cell
        if "%%bash" in cell:
            assert "%%bash -e\n" in cell or 'echo "exit code $?"' in cell, cell


def test_notebooks_hold_no_output() -> None:
    for page in (ROOT / "docs").rglob("*.ipynb"):
        for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None
