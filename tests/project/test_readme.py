"""The commands and the code of README and of the pages that it leads to first do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runs import run

import main
import predict
import prepare
import report
import sweep
import utils
from benchmarks.processes import last_of_each
from utils.commands import predict as predict_command
from utils.commands import prepare as prepare_command
from utils.commands import report as report_command
from utils.config.options import OPTIONS
from utils.config.settings import resolve
from utils.sweeping import arguments as sweeping

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "configs" / "README.md", ROOT / "docs" / "worked_examples.md"]
README = PAGES[0].read_text(encoding="utf-8")


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def commands(page: Path) -> list[list[str]]:
    """The arguments of every ``python main.py ...`` and ``rarecall train ...`` that stands in an indented line."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^    (?:python main\.py|rarecall train) (.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


COMMANDS = [argv for page in PAGES for argv in commands(page)]
OF_IMAGES = [argv for argv in COMMANDS if "scans" in argv]  # which the commands before them prepare


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_every_command_is_understood(argv: list[str]) -> None:
    assert resolve(argv).notes == ()


@pytest.mark.parametrize("argv", [argv for argv in COMMANDS if argv not in OF_IMAGES], ids=" ".join)
def test_every_command_runs_on_the_embedded_data(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the data, the model and the length changed, so that it takes a second; the rest is as it stands."""
    monkeypatch.chdir(tmp_path)
    short = shlex.split("--dataset_name digits --resnet_type linear --seeds 1 --num_epochs 1 --threads 1")
    short += [] if "--task" in argv else ["--ratio_pos_train", "20"]
    if "--train" in argv and argv[argv.index("--train") + 1] == "0":
        assert main.main(last_of_each([*argv, *short, "--train", "1"])) == 0
    classes = ["--negative_classes", "1", "3", "--positive_classes", "0", "2"] if "--negative_classes" in argv else []
    assert main.main(last_of_each([*argv, *short, *classes])) == 0
    assert "test AUC" in capsys.readouterr().out
    assert len(list(tmp_path.glob("checkpoint/*/*/results.json"))) == 1


def test_the_whole_row_goes_on_from_the_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/worked_examples.md says below its first command."""
    (added,) = re.findall(
        r"For the whole row, 10 seeds of up to 100 epochs, omit `--seeds` and `--num_epochs` and add `(.*?)`",
        text_of("worked_examples.md"),
    )
    (first, *_) = commands(PAGES[2])
    length = ["--seeds", "1-2", "--num_epochs", "3"]
    at = first.index("--seeds")
    assert first[at : at + len(length)] == length
    whole = resolve([*first[:at], *first[at + len(length) :], *shlex.split(added)]).config
    assert (whole.seeds, whole.num_epochs) == (tuple(range(1, 11)), 100)
    monkeypatch.chdir(tmp_path)
    small = shlex.split("--dataset_name digits --resnet_type linear --ratio_pos_train 20 --threads 1")
    assert main.main(last_of_each([*first, *small, "--seeds", "1", "--num_epochs", "1"])) == 0
    assert main.main(last_of_each([*first, *small, "--seeds", "1-2", "--num_epochs", "2", *shlex.split(added)])) == 0


def test_from_a_folder_of_images_to_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands as they stand, with a smaller size, model and length."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name, count, light in (("scans/tumour", 20, 60), ("scans/healthy", 60, 0), ("new", 3, 60)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 150, (40, 36), dtype=np.uint8) + np.uint8(light)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    (section,) = re.findall(r"^## Five lines on your own images$(.*?)^## ", README, flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^    python (\w+)\.py (.*)$", section, flags=re.MULTILINE)
    assert [name for name, _ in lines] == ["prepare", "main", "main", "predict", "report"]
    programs = {"prepare": prepare.main, "main": main.main, "predict": predict.main, "report": report.main}
    short = shlex.split("--resnet_type lenet5 --seeds 1 --num_epochs 1 --threads 1")
    for name, line in lines:
        argv = shlex.split(line.replace("--size 224", "--size 32"), comments=True)
        assert programs[name](last_of_each([*argv, *(short if name == "main" else [])])) == 0, line
    assert "test AUC" in capsys.readouterr().out
    assert len((tmp_path / "pred.csv").read_text().splitlines()) == 4


SWEEPS = re.findall(r"^    python sweep\.py (.*)$", text_of("sweeps.md"), flags=re.MULTILINE)


@pytest.mark.parametrize("line", SWEEPS)
def test_every_sweep_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table, *flags = shlex.split(line, comments=True)
    assert sweep.main([str(ROOT / table), *flags, *([] if flags else ["--dry_run"])]) == 0
    assert "of 48 done" in capsys.readouterr().out


PYTHON = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)


def test_the_lines_that_open_a_trained_run_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = PYTHON.findall(text_of("predict.md"))
    run(tmp_path / "checkpoint", "--model_name digits_demo")
    (tmp_path / "new").mkdir()
    for number in (1, 2):
        Image.new("L", (8, 8), 100 * number).save(tmp_path / "new" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"rarecall": utils}
    exec(code, space)
    assert space["decided"].positive.shape == (2,)


def test_every_flag_in_the_readme_exists() -> None:
    known = set(OPTIONS) | {"help", "index", "logdir"}  # --index-url
    parsers = (sweeping.parser(), report_command._parser(), predict_command._parser(), prepare_command._parser())
    for parser in parsers:
        known |= {name.removeprefix("--") for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"--([A-Za-z0-9_]+)", README)) <= known


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:`|^    )make ([a-z]+)", README, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
