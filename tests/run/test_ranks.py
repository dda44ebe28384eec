"""Two ranks of torchrun: the scores of one process, the same bits after a rank was killed, and one line of errors."""

from __future__ import annotations

import csv
import re
import signal
import sys
from pathlib import Path

import pytest
import torch

import main
from models import build_model

sys.path.append(str(Path(__file__).resolve().parents[1] / "faults"))

from comparing import Files
from kill_ranks import COMMAND, OF_CONSTRAINT, Ranks, undisturbed, wrong_after_resuming

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a run on two ranks is a minute on a busy machine
RUN = Path("checkpoint") / "runs" / "run"


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Files]:
    """The folder and the files of an undisturbed run on two ranks: three epochs with uneven batches and crops."""
    folder = tmp_path_factory.mktemp("ranks") / "together"
    return folder, undisturbed(folder)


def scores(folder: Path, name: str) -> dict[str, float]:
    with (folder / RUN / "seed1" / name).open() as stream:
        return {row["index"]: float(row["score"]) for row in csv.DictReader(stream)}


def distance(one: Path, other: Path) -> float:
    """The largest difference between the scores of two runs."""
    largest = []
    for name in ("validation.csv", "test.csv"):
        found, expected = scores(one, name), scores(other, name)
        assert found.keys() == expected.keys()
        largest.append(max(abs(found[index] - score) for index, score in expected.items()))
    return max(largest)


@pytest.mark.usefixtures("one_thread", "blank_pictures")
@pytest.mark.parametrize(
    "options, at_most",
    [("", 1e-5), (OF_CONSTRAINT, 1e-4), ("--weights {weights} --freeze_epochs 1", 1e-5)],
    ids=["without constraint", "with it", "at first the last layer alone"],
)
def test_two_ranks_score_as_one_process(
    options: str, at_most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32. With the constraint rounding grows faster: one thread instead of two moves the scores by 1e-5."""
    generator = torch.Generator().manual_seed(11)
    weights = build_model("lenet5", channels=1, image_size=(28, 28), generator=generator).state_dict()
    torch.save(weights, tmp_path / "weights.pt")
    command = COMMAND.replace(OF_CONSTRAINT, options.format(weights=tmp_path / "weights.pt"))
    code, printed, errors = Ranks(tmp_path, command).end()
    assert (code, errors) == (0, ""), printed
    alone = tmp_path / "alone"
    alone.mkdir()
    monkeypatch.chdir(alone)
    assert main.main(command.split()) == 0
    assert distance(tmp_path, alone) <= at_most


@pytest.mark.parametrize("rank, epoch", [(1, 1), (0, 2)])
def test_a_killed_rank_ends_all_with_one_line_and_the_run_resumes_to_its_bits(
    rank: int, epoch: int, together: tuple[Path, Files], tmp_path: Path
) -> None:
    ranks = Ranks(tmp_path, held=epoch)
    assert ranks.wait_for(f"epoch {epoch}/3  val")
    ranks.kill(rank)
    code, _, errors = ranks.end()
    assert code != 0
    assert errors.count("\n") == 0
    assert errors.startswith(("error: another rank has ended", "interrupted by SIGTERM"))  # torchrun sends the signal
    assert "the same command with --resume 1 resumes from it" in errors
    assert wrong_after_resuming(tmp_path, together[1]) == []


def test_a_signal_to_torchrun_is_one_line_and_another_number_of_ranks_goes_on(
    together: tuple[Path, Files], tmp_path: Path
) -> None:
    ranks = Ranks(tmp_path, held=2)
    assert ranks.wait_for("epoch 2/3  val")
    ranks.process.send_signal(signal.SIGTERM)
    code, _, errors = ranks.end()
    assert code != 0
    assert errors.count("\n") == 0
    assert errors.startswith(("error: another rank has ended", "interrupted by SIGTERM"))
    code, printed, errors = Ranks(tmp_path, world=1).end()
    assert (code, errors) == (0, "")
    assert "note: trained on 2 ranks so far and on 1 from here on, which rounds differently" in printed
    assert distance(tmp_path, together[0]) <= 1e-4


def test_a_dry_run_tells_what_a_rank_needs_and_writes_its_picture_alone(tmp_path: Path) -> None:
    code, printed, errors = Ranks(tmp_path, f"{COMMAND} --dry_run 1").end()
    assert (code, errors) == (0, ""), printed
    assert re.search(r"^memory  .* beside images and weights on each of 2 ranks: ", printed, flags=re.MULTILINE)
    assert printed.endswith("dry run: nothing was trained; leave --dry_run out to train\n")
    assert {path.name for path in tmp_path.rglob("*")} == {"dry_run.png", "errors"}


@pytest.mark.parametrize(
    "more, expected",
    [
        (
            "--train 0 --resume 0",
            "error: --train 0 is for one process, got 2 ranks of torchrun; start main.py without torchrun",
        ),
        ("--parallel_seeds 2 --seeds 1-2", "error: --parallel_seeds 2 is for one process, got 2 ranks"),
        ("--bsize 0", "error: bsize must be an integer >= 1"),
        ("--ratio_pos_train 1000", "error: "),
    ],
)
def test_a_refusal_is_one_line_and_nothing_is_written(more: str, expected: str, tmp_path: Path) -> None:
    code, _, errors = Ranks(tmp_path, f"{COMMAND} {more}").end()
    assert code != 0
    assert errors.startswith(expected)
    assert errors.count("\n") == 0
    assert not (tmp_path / "checkpoint").exists()
