"""TensorBoard's event files, read back with its own reader."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import history, last, results, run
from sklearn.metrics import average_precision_score
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from utils.run import seed_epochs
from utils.run import train as train_run
from utils.run_files.checkpoints import Format, save
from utils.run_files.events import HYPER_PARAMETERS, _in_unit_interval
from utils.run_files.last_pt import LAST

COMMAND = "--resnet_type lenet5 --num_epochs 3 --name_file_alm ALM_12_beg --delta 1"
CONFIGURATION = "configuration/text_summary"
SCALARS = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "AUC/train": "train_auc",
    "AUC/validation": "val_auc",
    "optimisation/learning_rate": "lr",
    "constraint/violation": "constraint_violation",
    "constraint/mu": "mu",
    "constraint/penalty": "train_penalty",
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    return run(tmp_path_factory.mktemp("tracked"), COMMAND)


def events_of(folder: Path) -> EventAccumulator:
    """All event files of a seed, in TensorBoard's view: what a restart made void is left out. No sampling."""
    everything = dict.fromkeys(("scalars", "histograms", "images", "tensors", "audio", "compressedHistograms"), 0)
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def scalars(events: EventAccumulator, tag: str) -> list[Any]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def steps_by_tag(folder: Path) -> dict[str, list[int]]:
    """Steps of everything in a seed's event files, in the view that TensorBoard's dashboards have."""
    events = plugin_event_accumulator.EventAccumulator(str(folder)).Reload()
    return {tag: [event.step for event in events.Tensors(tag)] for tag in sorted(events.Tags()["tensors"])}


# ---------------------------------------------------------------- TensorBoard


def test_scalars_are_those_of_the_history(trained: Path) -> None:
    events, records = events_of(trained / "seed1"), history(trained / "seed1")
    for tag, name in SCALARS.items():
        expected = [(record["epoch"], pytest.approx(record[name], rel=1e-6)) for record in records]
        assert scalars(events, tag) == expected, tag
    assert [record["epoch"] for record in records] == [0, 1, 2]


def test_final_scalars_are_those_of_the_results(trained: Path) -> None:
    events, block = events_of(trained / "seed1"), results(trained)["seeds"]["1"]
    expected = {"final/test_AUC": block["test"]["auc"], "final/validation_AUC": block["validation"]["auc"]}
    expected |= {f"final/test_FPR_at_TPR_{tpr}": fpr for tpr, fpr in block["test"]["fpr_at_tpr"].items()}
    assert len(expected) == 5
    for tag, value in expected.items():
        assert scalars(events, tag) == [(3, pytest.approx(value, rel=1e-6))], tag
    assert set(events.Tags()["scalars"]) == {*SCALARS, *expected}


def test_the_multipliers_histogram(trained: Path) -> None:
    histograms = events_of(trained / "seed1").Histograms("constraint/multipliers")
    assert [event.step for event in histograms] == [0, 1, 2]
    multipliers = last(trained / "seed1")["constraint"]["multipliers"]
    positives = multipliers[multipliers > 0].double()
    value = histograms[-1].histogram_value
    assert value.num == len(positives) == 27
    assert (value.min, value.max) == pytest.approx((positives.min().item(), positives.max().item()))
    assert value.sum == pytest.approx(positives.sum().item())


def test_without_the_constraint_there_are_no_curves_of_it(tmp_path: Path) -> None:
    tags = events_of(run(tmp_path) / "seed1").Tags()
    assert tags["histograms"] == []
    assert {"constraint/mu", "constraint/penalty"}.isdisjoint(tags["scalars"])
    assert "constraint/violation" in tags["scalars"]


def test_the_roc_picture(trained: Path) -> None:
    (image,) = events_of(trained / "seed1").Images("ROC/test")
    assert image.step == 3
    assert image.encoded_image_string[:8] == b"\x89PNG\r\n\x1a\n"
    assert image.width > image.height > 400


def test_the_pr_curve(trained: Path) -> None:
    (event,) = events_of(trained / "seed1").Tensors("PR/test")
    true_positives, false_positives, _, false_negatives, precision, recall = make_ndarray(event.tensor_proto)
    test = results(trained)["seeds"]["1"]["test"]
    # the first threshold calls everything positive
    assert (true_positives[0], false_positives[0]) == (test["n_positive"], test["n_negative"])
    assert precision[0] == pytest.approx(test["prior"], abs=1e-6)
    assert recall[0] == 1
    assert (true_positives + false_negatives == test["n_positive"]).all()
    area = -math.fsum((recall[1:] - recall[:-1]) * precision[:-1])
    assert area == pytest.approx(test["auprc"], abs=0.02)  # 127 thresholds


def test_the_configuration_as_text(trained: Path) -> None:
    (event,) = events_of(trained / "seed1").Tensors(CONFIGURATION)
    text = make_ndarray(event.tensor_proto).item().decode()
    assert event.step == 0
    assert "python main.py --dataset_name digits" in text
    assert "\n    " in text  # indented, so that Markdown leaves it as it is
    expected = (trained / "config.yaml").read_text()
    assert "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True)) == expected


def test_hyper_parameters_with_the_final_metrics(trained: Path) -> None:
    metadata = events_of(trained / "seed1").summary_metadata
    content = metadata["_hparams_/session_start_info"].plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    assert (values["resnet_type"].string_value, values["bsize"].number_value) == ("lenet5", 64)
    assert (values["mu"].number_value, values["use_ALM"].number_value) == (0.01, 1)
    assert set(values) <= set(HYPER_PARAMETERS)
    experiment = HParamsPluginData.FromString(metadata["_hparams_/experiment"].plugin_data.content).experiment
    metrics = {info.name.tag for info in experiment.metric_infos}
    assert metrics == {tag for tag in events_of(trained / "seed1").Tags()["scalars"] if tag.startswith("final/")}


# ---------------------------------------------------------------- resumed


def assert_same_events(one: Path, other: Path) -> None:
    """Each tag has the same steps and values, and each step once."""
    a, b = events_of(one), events_of(other)
    for tag in b.Tags()["scalars"]:
        assert scalars(a, tag) == scalars(b, tag), tag
    steps_a, steps_b = steps_by_tag(one), steps_by_tag(other)
    assert list(steps_a) == list(steps_b)
    assert len(steps_a) == len(SCALARS) + 5 + 7  # final numbers; histogram, ROC, PR, text, and three of hparams
    for tag, steps in steps_a.items():
        assert len(set(steps)) == len(steps), tag  # no step twice
        # the configuration is noted anew where a command goes on
        assert steps == steps_b[tag] or tag == CONFIGURATION, tag


def test_more_epochs_make_the_old_final_numbers_void(trained: Path, tmp_path: Path) -> None:
    run(tmp_path, f"{COMMAND} --num_epochs 1")
    folder = run(tmp_path, f"{COMMAND} --resume 1")
    assert len(list((folder / "seed1").glob("events.out.tfevents.*"))) == 2
    assert_same_events(folder / "seed1", trained / "seed1")


def test_a_clock_that_was_ahead_loses_no_epochs(trained: Path, tmp_path: Path) -> None:
    """The first epoch on a machine whose clock is years ahead, the second in two parts on this one."""
    folder = run(tmp_path, f"{COMMAND} --num_epochs 1") / "seed1"
    (ahead,) = folder.glob("events.out.tfevents.*")
    others = ahead.name.split(".", 4)[4]
    ahead.rename(folder / f"events.out.tfevents.9000000001.{others}")
    (folder / f"events.out.tfevents.9000000000.{others}").write_bytes(b"")  # an older, empty file
    run(tmp_path, f"{COMMAND} --resume 1")
    names = sorted(path.name for path in folder.glob("events.out.tfevents.*"))
    assert [(folder / name).stat().st_size > 0 for name in names] == [False, True, True]
    assert [name.split(".", 4)[4] == others for name in names] == [True, True, False]
    assert_same_events(folder, trained / "seed1")


def stop_in_save(monkeypatch: pytest.MonkeyPatch, *, call: int) -> None:
    """End the command when last.pt is written for the ``call``-th time: records are there, the state is not."""
    calls = 0

    def stopping(path: Path, kind: Format, content: dict[str, Any]) -> None:
        nonlocal calls
        calls += kind == LAST
        if kind == LAST and calls == call:
            raise KeyboardInterrupt
        save(path, kind, content)

    monkeypatch.setattr(train_run, "save", stopping)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_records_of_a_lost_epoch_are_cut_and_made_void(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    with monkeypatch.context() as patch:
        stop_in_save(patch, call=call)
        folder = run(tmp_path, COMMAND, code=130)
    assert len(history(folder / "seed1")) == call  # one more than last.pt knows of
    assert len(scalars(events_of(folder / "seed1"), "loss/train")) == call
    run(tmp_path, f"{COMMAND} --resume 1")
    assert [record["epoch"] for record in history(folder / "seed1")] == [0, 1, 2]
    assert_same_events(folder / "seed1", trained / "seed1")


def test_a_stop_between_the_final_numbers_and_the_mark(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_run, "write_done", stopping)
        folder = run(tmp_path, COMMAND, code=130)
    run(tmp_path, f"{COMMAND} --resume 1")
    assert_same_events(folder / "seed1", trained / "seed1")


def test_a_seed_that_failed_and_starts_anew(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from utils.training.epoch import NonFiniteLossError

    def failing(*args: object, **options: object) -> None:
        raise NonFiniteLossError("not finite")

    with monkeypatch.context() as patch:
        patch.setattr(seed_epochs, "train_epoch", failing)
        folder = run(tmp_path, COMMAND, code=1)
    run(tmp_path, COMMAND)
    assert_same_events(folder / "seed1", trained / "seed1")
    assert steps_by_tag(folder / "seed1")[CONFIGURATION] == [0]


def test_equal_scores_have_one_place_in_the_pr_curve() -> None:
    """A constant score has one point: everything positive, precision the prior (scikit-learn: 2 of 5)."""
    labels = np.array([1, 1, 0, 0, 0])
    assert _in_unit_interval(np.full(5, 3.0)).tolist() == [0.0] * 5
    assert average_precision_score(labels, _in_unit_interval(np.full(5, 3.0))) == 0.4
    scores = np.array([2.0, -1.0, 2.0, -1.0, 7.0])
    placed = _in_unit_interval(scores)
    assert placed.tolist() == [0.5, 0.0, 0.5, 0.0, 1.0]
    assert average_precision_score(labels, placed) == average_precision_score(labels, scores)
