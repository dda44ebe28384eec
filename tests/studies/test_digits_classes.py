"""The comparison on ten digits: the same rows for every learner, the trees, the differences, and the picture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studies import digits_classes as study
from utils.config.settings import resolve
from utils.data.splits import Split
from utils.data.task import Task
from utils.errors import UserError
from utils.run.prepare_run import prepare
from utils.run_files.paths import RunPaths

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")

FOLD = "--dataset_name digits --task classes --folds 4 --fold 2 --seeds 1 --threads 1"


def task_of(words: str) -> tuple[Task, Split]:
    task = prepare(resolve([*words.split(), "--resnet_type", "featureless"])).task
    return task, task.split(1)


@pytest.mark.parametrize("learner", [*study.FITTED, *study.NETWORKS])
def test_every_learner_is_a_configuration(learner: str) -> None:
    words = study.words_of(learner, epochs=3)
    config = resolve([*FOLD.split(), *words]).config
    assert config.resnet_type == learner
    assert config.has_classes
    if learner == "dense":
        assert config.hidden_widths == (1000, 100)
    if learner in study.NETWORKS:
        assert config.num_epochs == 3


def test_every_learner_has_a_label() -> None:
    assert set(study.LABELS) == {*study.FITTED, *study.NETWORKS, study.BOOSTING}


def test_trees_see_the_training_rows_and_as_many_as_validation_wants(tmp_path: Path) -> None:
    """Against scikit-learn alone: a model of so many trees, fitted to those rows, has the same test accuracy."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    task, split = task_of(FOLD)
    small = Split(split.train[::4], split.validation, split.test)
    kept = tmp_path / "new" / "kept.json"
    value = study.boosted(task, small, trees=4, kept=kept)
    found = json.loads(kept.read_text())
    pixels, labels = task.images.flatten(1).numpy(), task.labels.numpy()
    aucs, accuracies = [], []
    for trees in range(1, 5):
        model = HistGradientBoostingClassifier(max_iter=trees, early_stopping=False)
        model.fit(pixels[small.train], labels[small.train])
        outputs = model.decision_function(pixels[small.validation])
        others = [np.delete(outputs, own, axis=1) for own in range(10)]
        odds = [outputs[:, own] - np.log(np.exp(others[own]).sum(axis=1)) for own in range(10)]
        aucs.append(np.mean([roc_auc_score(labels[small.validation] == own, odds[own]) for own in range(10)]))
        accuracies.append(model.score(pixels[small.test], labels[small.test]))
    assert found["best"] == int(np.argmax(aucs)) + 1
    assert value == found["accuracy"] == accuracies[int(np.argmax(aucs))]
    kept.write_text(json.dumps({**found, "accuracy": 0.5}))
    assert study.boosted(task, small, trees=4, kept=kept) == 0.5  # not fitted twice
    assert study.boosted(task, small, trees=1, kept=kept) == accuracies[0]  # nor taken for another one


def test_a_run_of_other_rows_is_refused(tmp_path: Path) -> None:
    words = [*FOLD.split(), *study.words_of("featureless", epochs=1), "--checkpoint_root", str(tmp_path)]
    paths = RunPaths(tmp_path, "some", "run")
    task, split = task_of(FOLD)
    value = study.trained(words, task, split, paths=paths)
    largest = np.bincount(task.labels.numpy()[split.train]).argmax()
    assert value == pytest.approx((task.labels.numpy()[split.test] == largest).mean())
    with pytest.raises(UserError, match="has other rows than the fold"):
        study.trained(words, *task_of(FOLD.replace("--fold 2", "--fold 3")), paths=paths)
    with pytest.raises(UserError, match="failed with exit code 2"):
        study.trained([*words, "--fold", "1"], task, split, paths=paths)


@pytest.mark.slow
def test_one_command_gives_numbers_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = f"--quick --learners featureless linear --checkpoint_root {tmp_path / 'runs'} --out {tmp_path / 'out'}"
    assert study.main(argv.split()) == 0
    first = capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "digits_classes.json").read_text())
    assert [row["learner"] for row in content["rows"]] == ["linear", "featureless"]
    assert all(len(row["folds"]) == 2 for row in content["rows"])
    linear, featureless = content["rows"]
    runs = [tmp_path / "runs" / "digits_classes_quick" / f"linear_fold{fold}of2" / "results.json" for fold in (1, 2)]
    blocks = [json.loads(path.read_text())["seeds"]["1"] for path in runs]
    assert linear["folds"] == [block["test"]["accuracy"] for block in blocks]
    assert linear["last_epoch"]["folds"] == [block["last_epoch"]["accuracy"] for block in blocks]
    assert "last_epoch" not in featureless
    assert set(content["versions"]) >= {"torch", "scikit-learn"}
    assert str(tmp_path) not in json.dumps(content)
    command = content["commands"]["linear"]
    assert command.startswith("python main.py --dataset_name digits --task classes --seeds 1 --folds 2 --fold 1 ")
    with Image.open(tmp_path / "out" / "digits_classes.png") as picture:
        assert len(picture.convert("RGB").getcolors(maxcolors=2**24) or []) > 100
    assert study.main(argv.split()) == 0  # what is done is not trained again
    assert re.findall(r"accuracy [\d.]+", capsys.readouterr().out) == re.findall(r"accuracy [\d.]+", first)


def found_of(**values: list[float]) -> dict[str, list[float]]:
    return values


def test_a_difference_is_one_where_the_folds_agree() -> None:
    """By hand: mean .02, SD .01, 4 folds, so the error is .01 sqrt(1/4 + 1/3), t 2.62 and p .079, twice by Holm."""
    found = found_of(
        linear=[0.90, 0.90, 0.90, 0.90],
        dense=[0.95, 0.93, 0.94, 0.94],
        lenet5=[0.96, 0.96, 0.96, 0.95],
    )
    rows = {row["other"]: row for row in study.differences(found)}
    assert {row["best"] for row in rows.values()} == {"lenet5"}
    near, far = rows["dense"], rows["linear"]
    changes = np.array([0.01, 0.03, 0.02, 0.01])
    error = changes.std(ddof=1) * np.sqrt(1 / 4 + 1 / 3)
    assert near["mean"] == pytest.approx(0.0175)
    assert near["high"] - near["mean"] == pytest.approx(3.182446 * error, rel=1e-6)
    assert (near["above"], near["below"], near["folds"]) == (4, 0, 4)
    assert near["p_holm"] > 0.05 > far["p_holm"]
    assert "LeNet5 minus dense, 1000-100: +1.75 points" in study.sentence(near)
    assert "above in 4 of 4 folds, below in 0: no clear difference" in study.sentence(near)
    assert "below in 0: a difference" in study.sentence(far)


def test_rows_are_sorted_and_equal_folds_are_no_difference() -> None:
    found = found_of(linear=[0.9, 0.8], dense=[0.9, 0.8])
    (row,) = study.differences(found)
    assert (row["mean"], row["p"], row["above"], row["below"]) == (0, 1, 0, 0)
    rows = study.rows_of(found_of(linear=[0.5, 0.7], dense=[0.9, 0.8]))
    assert [row["learner"] for row in rows] == ["dense", "linear"]
    assert study.percent(rows[1]["accuracy"]) == "60.00 +- 14.14"


@pytest.mark.parametrize("names", [("linear",), ("featureless",), ("featureless", "linear", "dense")])
def test_the_picture_has_a_point_for_each_fold(tmp_path: Path, names: tuple[str, ...], monkeypatch: Any) -> None:
    from matplotlib.axes import Axes

    drawn: list[list[float]] = []
    plot = Axes.plot

    def counted(axes: Axes, x: Any, *args: Any, **style: Any) -> Any:
        if args[1:] == ("o",):
            drawn.append(list(x))
        return plot(axes, x, *args, **style)

    monkeypatch.setattr(Axes, "plot", counted)
    values = {name: [0.1 + 0.2 * place, 0.15 + 0.2 * place] for place, name in enumerate(names)}
    study.draw(study.rows_of(values), tmp_path / "picture.png", title="digits")
    points = sorted(100 * value for each in values.values() for value in each)
    assert sorted(value for each in drawn for value in each) == pytest.approx(points)
    assert (tmp_path / "picture.png").stat().st_size > 0
