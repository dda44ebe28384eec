"""model.pt and best.pt of K classes: what is read back, and what is refused before anything is built from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import run

from utils.errors import UserError
from utils.run.class_model import ClassModel
from utils.run.trained_model import load
from utils.run_files.model_pt import ClassesFile, read_model

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = "--task classes --classes 9 1 4 --critical_classes 4 1 --training_type LDAM --resnet_type lenet5"
    return run(tmp_path_factory.mktemp("run"), more)


@pytest.mark.parametrize("name", ["model.pt", "seed1/best.pt"])
def test_what_the_run_knows_is_read_back(folder: Path, name: str) -> None:
    content = read_model(folder / name)
    assert isinstance(content, ClassesFile)
    assert (content.classes, content.names, content.critical) == ((9, 1, 4), ("9", "1", "4"), (2, 1))
    assert list(content.decisions) == list(content.evaluation.critical) == ["4", "1"]
    assert content.config.task == "classes"
    assert content.seeds[0].facts["class_counts"] == content.evaluation.train_counts
    assert content.seeds[0].threshold.shape == (2,)


def set_in(*keys: Any, to: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


HUGE = {"labels": list(range(20_000)), "critical": list(range(19_000))}
FACTS = ("seeds", 0, "facts")
OPTIONS = ("evaluation", "critical", "4")
CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "class twice": (set_in("classes", "labels", to=[9, 1, 1]), "at least two different ones"),
    "one class": (set_in("classes", "labels", to=[9]), "at least two different ones"),
    "class below 0": (set_in("classes", "labels", to=[9, 1, -4]), "at least two different ones"),
    "class that is text": (set_in("classes", "labels", to=[9, 1, "4"]), "'4' for an integer"),
    "class that is true": (set_in("classes", "labels", to=[9, True, 4]), "True for an integer"),
    "other classes": (set_in("classes", "labels", to=[9, 1, 5]), "other names"),
    "no critical class": (set_in("classes", "critical", to=[]), "not some of the classes"),
    "critical out of range": (set_in("classes", "critical", to=[3]), "not some of the classes"),
    "critical twice": (set_in("classes", "critical", to=[1, 1]), "not some of the classes"),
    "other critical classes": (set_in("classes", "critical", to=[1, 2]), "of other classes than the critical"),
    "the first of two critical": (set_in("classes", to={"labels": [9, 1], "critical": [0]}), "the second is the"),
    "a mask that takes all memory": (set_in("classes", to=HUGE), "20000 classes"),
    "too few names": (set_in("classes", "names", to=["a"]), "IndexError"),
    "other names": (set_in("evaluation", "names", to=["9", "1", "5"]), "other names"),
    "training samples": (set_in("evaluation", "train_counts", to=[3, 4]), "train_counts"),
    "no training samples": (set_in("evaluation", "train_counts", to=[3, 4, 0]), "train_counts"),
    "no evaluation": (set_in("evaluation", "critical", to={}), "of other classes than the critical"),
    "rates": (set_in(*OPTIONS, "tprs", to=[0.9, 2.0]), "rates that are not in"),
    "rates that are text": (set_in(*OPTIONS, "tprs", to=["0.9"]), "for a number"),
    "no rates": (set_in(*OPTIONS, "tprs", to=3), "TypeError"),
    "cost": (set_in(*OPTIONS, "cost_ratio", to=float("nan")), "nan for a number"),
    "counts of two sides": (set_in(*OPTIONS, "class_counts", to=[1]), "not those of two classes"),
    "thresholds of one class": (set_in("decisions", "4", to=None), "TypeError"),
    "thresholds": (set_in("decisions", to={}), "of other classes than the critical"),
    "temperature": (set_in("decisions", "1", "temperature", to=-1.0), "ValueError"),
    "threshold of another shape": (set_in("seeds", 0, "threshold", to=torch.zeros(3)), "not a float32 number"),
    "threshold that is whole": (set_in("seeds", 0, "threshold", to=torch.zeros(2).long()), "not a float32 number"),
    "threshold that is not finite": (set_in("seeds", 0, "threshold", to=torch.full((2,), torch.inf)), "not finite"),
    "facts of more classes": (set_in(*FACTS, "classes", to=10**6), "facts of other classes"),
    "facts of other critical classes": (set_in(*FACTS, "critical", to=[0]), "facts of other classes"),
    "facts without counts": (set_in(*FACTS, "class_counts", to=None), "TypeError"),
    "facts with too many counts": (set_in(*FACTS, "class_counts", to=[1] * 9), "class_counts that are not"),
    "facts with an odd count": (set_in(*FACTS, "class_counts", to=[1.5, 2, 3]), "1.5 for an integer"),
    "facts with an odd ratio": (set_in(*FACTS, "ratio_pos_train", to="x"), "'x' for a number"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_what_cannot_be_is_refused_in_one_line(
    folder: Path, tmp_path: Path, change: Callable[[Any], None], said: str
) -> None:
    content = torch.load(folder / "model.pt", weights_only=True)
    change(content)
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"must be a model of this program, but its content is not") as raised:
        load(tmp_path / "model.pt")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_weights_of_other_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    content = torch.load(folder / "model.pt", weights_only=True)
    weights = content["seeds"][0]["weights"]
    last = list(weights)[-1]
    weights[last] = weights[last][:-1]
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(UserError, match="belongs to another model"):
        load(tmp_path / "model.pt")


def test_the_model_that_is_not_changed_is_accepted(folder: Path) -> None:
    assert isinstance(load(folder, device="cpu"), ClassModel)
