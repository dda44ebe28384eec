"""Nothing is silent: what is said before, during and after training, when a seed stops, and in the report.

And large and long: memory while data are read, a report of 200 runs.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_folders import make_run
from runs import history, results, run, start_of

import report
from utils.data import repeats as repeats_module
from utils.data.batches import Batches
from utils.data.raw import RawData
from utils.data.repeats import count_repeats, row_hashes, shared_digests
from utils.data.task import build_task
from utils.metrics import bootstrap, roc
from utils.reporting import provenance
from utils.reporting.analysis import analyse
from utils.reporting.runs import read_folder
from utils.training.epoch import NonFiniteLossError, train_epoch
from utils.training.notices import (
    Watch,
    auc_error,
    data_notices,
    fine_tprs,
    likely_cause,
    small_validation,
    training_notices,
)
from utils.training.step import TrainingSteps

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


def counts(negative: int, positive: int) -> dict[str, dict[str, int]]:
    return {part: {"negative": negative, "positive": positive} for part in ("validation", "test")}


# ---------------------------------------------------------------- before training: what the data cannot tell


@pytest.mark.parametrize(
    "tpr, positives, expected", [(0.98, 50, False), (0.98, 49, True), (0.5, 2, False), (0.5, 1, True), (1.0, 1, False)]
)
def test_what_counts_as_too_fine(tpr: float, positives: int, expected: bool) -> None:
    assert bool(fine_tprs(counts(1000, positives), [tpr])) == expected


def test_the_error_of_an_auc_is_that_of_simulated_scores() -> None:
    """Exponential scores with an AUC of 0.9: the spread of 4000 of them."""
    generator = np.random.default_rng(5)
    positives, negatives = generator.exponential(9.0, (4000, 60)), generator.exponential(1.0, (4000, 40))
    aucs = (positives[:, :, None] > negatives[:, None, :]).mean(axis=(1, 2))
    assert aucs.mean() == pytest.approx(0.9, abs=0.002)
    assert auc_error(0.9, positives=60, negatives=40) == pytest.approx(aucs.std(), rel=0.05)


@pytest.mark.parametrize("negative, positive, expected", [(65, 65, False), (50, 50, True), (6000, 20, True)])
def test_a_small_validation_set_is_told_with_its_size(negative: int, positive: int, expected: bool) -> None:
    lines = small_validation(counts(negative, positive))
    assert bool(lines) == expected
    for line in lines:
        assert line.startswith(f"the validation set has {positive} positives and {negative} negatives")
        assert f"steps of {100 / negative:.2g} %" in line


# ---------------------------------------------------------------- images that stand in two sets


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 3), (1, 3, 1)])
def test_repeats_are_counted_as_by_comparing_all(shape: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (300, *shape), dtype=np.uint8)
    train, validation, test, calibration = np.split(np.arange(300), [150, 200, 270])
    images[200:207] = images[10]  # the same image seven times in the test set
    images[210:213] = images[160:163]
    images[170] = images[20]
    images[280:284] = images[[20, 160, 290, 290]]
    images[215] = images[30]
    images[215, 0, 0, 0] ^= 1  # nearly
    texts = [image.tobytes() for image in images]

    def shared(rows: Any, others: Any) -> int:
        return sum(texts[row] in {texts[other] for other in others} for row in rows)

    sets = {"train": train, "validation": validation, "test": test}
    expected = {
        "test in train": shared(test, train),
        "test in validation": shared(test, validation),
        "validation in train": shared(validation, train),
    }
    assert expected["test in train"] >= 7
    expected_with_calibration = {
        **expected,
        "calibration in train": shared(calibration, train),
        "calibration in validation": shared(calibration, validation),
        "test in calibration": shared(test, calibration),
        "calibration in calibration": len(calibration) - len({texts[row] for row in calibration}),
    }
    assert [*expected_with_calibration.values()][-4:] == [1, 2, 1, 2]
    digests = np.array([int.from_bytes(hashlib.sha256(text).digest()[:8], "big") for text in texts], dtype=np.uint64)
    for counted in (partial(count_repeats, images), partial(shared_digests, digests)):
        assert counted(sets) == expected
        assert counted({**sets, "calibration": calibration}) == expected_with_calibration


def test_images_of_one_hash_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats_module, "row_hashes", lambda rows: np.zeros(len(rows), dtype=np.uint64))
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    found = count_repeats(images, {"train": np.array([0]), "validation": np.array([1]), "test": np.array([2, 3])})
    assert set(found.values()) == {0}


def test_a_changed_bit_changes_the_hash() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (1, 19), dtype=np.uint8).repeat(19 * 8 + 1, axis=0)
    for bit in range(19 * 8):
        rows[bit, bit // 8] ^= 1 << (bit % 8)
    assert len(np.unique(row_hashes(rows))) == len(rows)


def test_repeated_images_are_told_once_on_stdout_and_in_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (400, 28, 28), dtype=np.uint8)
    test = generator.integers(0, 256, (200, 28, 28), dtype=np.uint8)
    test[:3] = images[:3]
    labels = np.arange(400) % 2
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "scans.npz", x_train=images, y_train=labels, x_test=test, y_test=labels[:200])
    command = f"--dataset_name scans --data_root {tmp_path / 'data'} --validation_fraction 0.4 --ratio_pos_train 2"
    folder = run(tmp_path, command)
    (line,) = results(folder)["warnings"]
    number = int(line.split()[0])  # the three less those that were drawn for validation, of which nothing was trained
    assert 0 < number <= 3
    assert line.startswith(f"{number} of the 200 test images")
    assert capsys.readouterr().out.count(f"note: {line}\n") == 1
    run(tmp_path, f"{command} --train 0")
    assert results(folder)["warnings"] == [line]
    assert capsys.readouterr().out.count(f"note: {line}\n") == 1


def test_each_kind_of_repeat_has_its_line() -> None:
    repeats = {"test in train": 1, "test in validation": 2, "validation in train": 0}
    one, two = data_notices(counts(100, 100), tprs=(), repeats=repeats)
    assert one.startswith("1 of the 200 test images is byte for byte among the training images")
    assert two.startswith("2 of the 200 test images are byte for byte among the validation images")
    promised = {"calibration": {"negative": 30, "positive": 20}}
    repeats = {"calibration in train": 20, "calibration in calibration": 1}
    among, twice = data_notices({**counts(100, 100), **promised}, tprs=(), repeats=repeats)
    assert among.startswith("20 of the 50 calibration images are byte for byte among the training images: a promise")
    assert twice.startswith("1 of the 50 calibration images is byte for byte an earlier one of them: a promise counts")


def test_copies_in_the_calibration_set_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each positive stands in the file three times, so that some copies are trained on and some promise."""
    generator = np.random.default_rng(7)
    images = generator.integers(0, 256, (400, 8, 8), dtype=np.uint8)
    labels = np.r_[np.zeros(340, dtype=int), np.ones(60, dtype=int)]
    images[360:380] = images[380:400] = images[340:360]
    test = generator.integers(0, 256, (100, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "scans.npz", x_train=images, y_train=labels, x_test=test, y_test=np.arange(100) % 2)
    folder = run(
        tmp_path,
        f"--dataset_name scans --data_root {tmp_path} --ratio_pos_train natural --calibration_fraction 0.3",
    )
    told = [line for line in results(folder)["warnings"] if "a promise counts" in line]
    assert any(" calibration images are byte for byte among the training images: " in line for line in told)
    printed = capsys.readouterr().out
    assert all(f"note: {line}\n" in printed for line in told)


# ---------------------------------------------------------------- while a seed trains


def record(penalty: Any, objective: Any, *, epoch: Any = 0, **more: Any) -> dict[str, Any]:
    quantiles = {"0": 0.0, "0.5": 1.0, "1": 31.29}
    numbers = {"epoch": epoch, "train_penalty": penalty, "train_loss": objective, "mu": 0.04, "steps": 9}
    return {**numbers, "multiplier_quantiles": quantiles, "one_class_batches": 0, **more}


# (penalty, objective) of each epoch: LeNet5 on digits, ALM_12_beg, delta 1
HEALTHY = (  # BCE, seed 1 of `make run`
    *((0.267, 0.706), (0.815, 0.519), (0.703, 0.279), (1.051, 0.280), (0.521, 0.200), (0.305, 0.104), (0.242, 0.092)),
    *((0.228, 0.109), (0.329, 0.111), (1.265, 0.135), (0.558, 0.122), (1.558, 0.153), (0.417, 0.264), (0.068, 0.087)),
)
RUNS_AWAY = (  # S-LM with m 0.5, seed 1, which ended in epoch 14
    *((0.267, 0.979), (0.797, 0.677), (0.734, 0.308), (1.093, 0.328), (0.459, 0.237), (0.342, 0.191), (0.295, 0.128)),
    *((0.400, 0.168), (0.378, 0.227), (0.553, 0.278), (0.369, 0.160), (2.646, 0.182), (1.261, 0.211), (24.46, 0.922)),
)


def records_of(course: tuple[tuple[float, float], ...]) -> list[dict[str, Any]]:
    return [record(*pair, epoch=epoch) for epoch, pair in enumerate(course)]


def test_multipliers_that_run_away_are_told_once_before_the_seed_ends() -> None:
    watch = Watch(1)
    lines = [watch.epoch(each) for each in records_of(RUNS_AWAY)]
    assert [len(each) for each in lines] == [0] * 13 + [1]
    start = "seed 1: the multipliers run away: in epoch 13 the constraint's penalty is 24.5, 25 times"
    assert lines[13][0].startswith(start)
    assert "(largest multiplier 31.3, mu 0.04); a lower --delta or --mu" in lines[13][0]
    assert watch.epoch(record(99.0, 0.9, epoch=14)) == []
    assert Watch(1, seen=records_of(RUNS_AWAY)).epoch(record(99.0, 0.9, epoch=14)) == []  # after --resume
    assert training_notices(1, records_of(RUNS_AWAY)) == lines[13]


def test_epochs_without_a_pair_are_not_what_training_began_with() -> None:
    """A pairwise objective and the penalty are 0 there."""
    course = ((0.0, 0.0), (0.0, 0.0), (0.5, 0.7), (6.9, 0.7), (7.7, 0.7))
    (line,) = training_notices(1, records_of(course))
    assert line.startswith("seed 1: the multipliers run away: in epoch 4 the constraint's penalty is 7.7, 11 times")


def test_a_healthy_constraint_is_not_warned_of() -> None:
    assert training_notices(1, records_of(HEALTHY)) == []
    small = [record(penalty, 0.7) for penalty in (1e-6, 1e-4, 1e-2, 1.0)]  # a small mu at its start
    assert training_notices(1, small) == []
    after_a_baseline = [record(penalty, 0.01) for penalty in (0.3, 0.5, 0.4)]  # whose objective is nearly 0
    assert training_notices(1, after_a_baseline) == []
    assert training_notices(1, [record(0.0, 0.7, multiplier_quantiles=None, mu=None)]) == []


def test_batches_of_one_class_are_told_where_they_are_many() -> None:
    few = [record(0.1, 0.7, one_class_batches=2) for _ in range(20)]
    assert training_notices(1, few) == []
    many = [record(0.1, 0.7, one_class_batches=5) for _ in range(20)]
    (line,) = training_notices(7, many)
    assert line.startswith("seed 7: 15 of the first 27 batches lack a class: in them the constraint and the pairwise")


@pytest.mark.parametrize("value", [None, "x", math.nan, math.inf, -math.inf, 10**400, [], {}, True, "\x1b[31m"])
@pytest.mark.parametrize("name", ["epoch", "train_penalty", "train_loss", "mu", "multiplier_quantiles", "steps"])
def test_records_of_any_content_are_read(name: str, value: Any) -> None:
    lines = training_notices(1, [record(1.0, 1.0), record(99.0, 1.0) | {name: value}, record(99.0, 1.0, epoch=2)])
    assert all("\x1b" not in line and len(line) < 400 for line in lines)


def test_what_is_seen_in_training_is_told_once_and_stands_in_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """mu 0.1 on digits: the penalty of epoch 1 is 76 times the first one's. 27 positives in batches of 8."""
    command = "--use_ALM 1 --delta 1 --mu 0.1 --bsize 8 --lr 0.01"
    folder = run(tmp_path, f"{command} --num_epochs 4")
    told = results(folder)["warnings"]
    assert len(told) == 2
    assert told[0].startswith("seed 1: 50 of the first 72 batches lack a class: ")
    assert told[1].startswith("seed 1: the multipliers run away: in epoch 1 the constraint's penalty is ")
    printed = capsys.readouterr().out
    assert all(printed.count(f"note: {line}\n") == 1 for line in told)
    run(tmp_path, f"{command} --num_epochs 5 --resume 1")
    assert results(folder)["warnings"] == told
    assert "note:" not in capsys.readouterr().out
    run(tmp_path, f"{command} --train 0")
    assert results(folder)["warnings"] == told
    printed = capsys.readouterr().out
    assert all(printed.count(f"note: {line}\n") == 1 for line in told)


def test_a_history_that_cannot_be_read_costs_no_results(tmp_path: Path) -> None:
    folder = run(tmp_path, "")
    for content in (b"\xff\xfe", b"[" * 100_000, b"3\n[]\nnull\n", b""):
        (folder / "seed1" / "history.jsonl").write_bytes(content)
        run(tmp_path, "--train 0")
        assert results(folder)["warnings"] == []


# ---------------------------------------------------------------- when a seed stops


def test_the_likely_cause() -> None:
    assert likely_cause(lr=0.1) == "Likely cause: the learning rate is too high. Try a lower --lr (now 0.1)"
    calm = likely_cause(lr=0.1, multipliers=[0.5, 0.1, math.nan], mu=0.01, delta=1.0)
    assert calm == "Likely cause: the learning rate is too high. Try a lower --lr (now 0.1), --mu or --delta (now 1)"
    wild = likely_cause(lr=0.1, multipliers=[0.5, 31.29, math.nan], mu=0.04, delta=1.0)
    assert "the multipliers run away (largest 31.3, mean 15.9, mu 0.04, delta 1)" in wild
    assert "(largest inf, mean inf, mu 0.04" in likely_cause(lr=0.1, multipliers=[0.0, math.inf], mu=0.04, delta=1.0)
    assert "an update made weights that are not finite and" in likely_cause(lr=0.1, sound_weights=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("what", ["weights", "multipliers"])
def test_what_the_loss_does_not_show_is_noticed_at_the_end_of_the_epoch(
    tmp_path: Path, what: str, value: float
) -> None:
    """A multiplier that no batch asks for, and a weight that no score depends on: the loss stays finite."""
    experiment, state, data = start_of(tmp_path, "--use_ALM 1 --delta 1")
    if what == "multipliers":
        assert state.constraint is not None
        state.constraint.multipliers[data.validation[0]] = value
    else:
        state.model.register_buffer("unused", torch.tensor([1.0, value]))
    message = f"the {what} were not finite after epoch 0, batch 2 of 2; the weights of this epoch are discarded. Likely"
    with pytest.raises(NonFiniteLossError, match=message):
        train_epoch(TrainingSteps(state, data, machine=experiment.machine), steps=2, delta=1.0)
    assert state.epoch == 0


def test_a_seed_whose_multipliers_run_away_says_so_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path, "--use_ALM 1 --delta 1 --mu 1e30 --resnet_type lenet5 --seeds 1-2", code=1)
    for seed in (1, 2):
        message = (folder / f"seed{seed}" / "failed").read_text()
        assert "Likely cause: " in message
        assert "the multipliers run away (largest" in message
        assert "mu 1e+30, delta 1)" in message
        assert f"seed {seed} stopped: {message.strip()}" in capsys.readouterr().out or seed == 2


# ---------------------------------------------------------------- the report


def test_the_report_says_how_many_runs_one_test_set_has_judged(tmp_path: Path) -> None:
    def told() -> list[str]:
        warnings = provenance.warnings(analyse(read_folder(tmp_path), tprs=(0.9,)))
        return [line for line in warnings if "same test set" in line]

    make_run(tmp_path, "one")
    assert told() == []
    for name in ("two", "three"):
        make_run(tmp_path, name, training_type="MSFE", lr=0.1 if name == "two" else 0.2)
    make_run(tmp_path, "elsewhere", checksum="b" * 64)
    lines = told()
    assert [line.partition(".")[0] for line in lines] == ["Data A: 3 runs were scored on the same test set"]
    assert "choose among them by validation" in lines[0]


def test_several_bootstraps_at_once_are_those_of_each_alone() -> None:
    generator = np.random.default_rng(3)
    labels = generator.permutation(np.repeat([0, 1], [70, 30]))
    several = [np.round(labels + generator.normal(size=100), digits) for digits in (8, 1, 0)]
    options: dict[str, Any] = {"tprs": (0.9, 0.5), "thresholds": (0.3,), "resamples": 130}
    together = bootstrap.bootstraps(labels, several, generator=np.random.default_rng(9), **options)
    for scores, found in zip(several, together, strict=True):
        alone = bootstrap.bootstrap(labels, scores, generator=np.random.default_rng(9), **options)
        for name in ("auc", "fpr_at_tpr", "tpr_at_threshold", "fpr_at_threshold"):
            assert np.array_equal(getattr(found, name), getattr(alone, name))


def many_runs(folder: Path, number: int) -> None:
    """Pairs with and without ALM, each pair with a learning rate of its own: copies of two runs."""
    for use_alm in (0, 1):
        first = make_run(folder, f"run{use_alm}", gain=1.5 + use_alm, lr=1.0, use_ALM=use_alm)
        text = (first / "config.yaml").read_text()
        before = text[text.index("  lr:\n") :][: len("  lr:\n    value: 1.0\n")]
        for position in range(use_alm + 2, number, 2):
            copy = shutil.copytree(first, folder / f"run{position}")
            (copy / "config.yaml").write_text(text.replace(before, f"  lr:\n    value: {1 / (1 + position // 2)}\n"))


def test_the_work_of_a_report_grows_with_the_number_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with its square, and no ROC or bootstrap is computed twice: calls of each for 6 and for 12 runs."""
    calls: Counter[str] = Counter()
    for home, name in ((roc, "roc"), (bootstrap, "bootstraps")):
        original = getattr(home, name)

        def counted(*given: Any, _name: str = name, _original: Any = original, **options: Any) -> Any:
            calls[_name] += 1
            return _original(*given, **options)

        for module in ("metrics.summary", "reporting.analysis", "reporting.contents"):
            monkeypatch.setattr(f"utils.{module}.{name}", counted, raising=False)
    found = []
    for number in (6, 12):
        calls.clear()
        many_runs(tmp_path / str(number), number)
        assert report.main([str(tmp_path / str(number))]) == 0
        found.append(dict(calls))
    # of each run: two seeds, the ensemble, its validation set
    assert found == [{"roc": 24, "bootstraps": 1}, {"roc": 48, "bootstraps": 1}]


@pytest.mark.slow
def test_two_hundred_runs_are_reported_in_seconds(tmp_path: Path) -> None:
    many_runs(tmp_path, 200)
    start = time.process_time()
    assert report.main([str(tmp_path)]) == 0
    assert time.process_time() - start < 30  # of this process alone, with room for a busy machine
    assert (tmp_path / "report" / "rows.csv").read_text().count("\n") == 1 + 200 * 4  # AUC and three TPRs


# ---------------------------------------------------------------- large data


def large(channels: int) -> RawData:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40_000, 32, 32, channels), dtype=np.uint8)
    labels = np.arange(40_000) % 2
    return RawData("large", "large.npz", images[:39_000], labels[:39_000], images[39_000:], labels[39_000:])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_images_are_copied_once(channels: int) -> None:
    """From the file's array to the task's: the peak is one copy, and what goes along with each image."""
    raw = large(channels)
    size = 40_000 * 32 * 32 * channels
    tracemalloc.start()
    task = build_task(raw, negative_classes=(0,), positive_classes=(1,), ratio_pos_train=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    chunk = 1024 * 32 * 32 * 8  # of one channel, widened to count it
    assert peak < size * 1.1 + 2 * chunk
    assert task.images.untyped_storage().nbytes() == size
    generator = torch.Generator()
    batches = Batches(task, augment="crop", device="cpu", channels_last=True, generator=generator)
    assert batches.plain(torch.tensor([0])).is_contiguous(memory_format=torch.channels_last)

    def owned() -> list[torch.Tensor]:
        return [value for value in vars(batches).values() if isinstance(value, torch.Tensor) and value.numel() >= size]

    assert [value.data_ptr() for value in owned()] == [task.images.data_ptr()]  # nothing else before the first crop
    batches.training(torch.tensor([0, 1]))
    assert [value.untyped_storage().nbytes() for value in owned()] == [size, 40_000 * 40 * 40 * channels]


def test_history_holds_the_counts_that_are_told(tmp_path: Path) -> None:
    (only,) = history(run(tmp_path, "--bsize 8") / "seed1")
    assert 0 < only["one_class_batches"] < only["steps"]
