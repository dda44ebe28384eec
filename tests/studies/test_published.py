"""The studies: their tables and splits, the trainer of linear models, and the reading of finished runs."""

from __future__ import annotations

import doctest
import importlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_folders import scores as scores_of
from torch import Tensor

from studies import comparison, published_columns, published_even_odd, published_linear, published_mnist_lenet5, toy
from studies.published_columns import GRADIENTS, Columns, Model, Side, aucs
from studies.published_runs import RESULTS, exit_code, read_sweep
from utils.config.options import Config
from utils.config.settings import resolve
from utils.data.folds import Resampling, resampled_split
from utils.data.raw import RawData
from utils.data.splits import fixed_validation, training_indices
from utils.errors import UserError
from utils.losses import BCE, LOSSES, AllPairsSquaredHinge, AUMRate, WeightedLogistic
from utils.losses.base import Loss
from utils.metrics.roc import auc, fpr_at_tpr
from utils.run_files.scores_csv import write_scores
from utils.samplers import SAMPLERS
from utils.sweeping.blocks import block_of
from utils.sweeping.table_file import arguments, read_table

TABLES = Path(__file__).resolve().parents[2] / "configs" / "table"
pytestmark = pytest.mark.usefixtures("one_thread")
# images of each digit in MNIST's two files
TRAIN = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)


@pytest.mark.parametrize("name", ["published_runs", "published_even_odd", "published_linear", "toy"])
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"studies.{name}"))
    assert found.failed == 0
    assert found.attempted > 0


# --- tables and splits -------------------------------------------------------------------------------------


def rows_of(name: str) -> dict[str, tuple[Config, tuple[int, ...]]]:
    """The rows of a table, those that follow from its first choice among them, as main.py will see them."""
    table = read_table(TABLES / f"{name}.yaml")
    return {row.name: (resolve(arguments(row.options)).config, row.seeds) for row in block_of(table).examples()}


def test_the_lenet5_table_is_the_published_protocol() -> None:
    rows = rows_of("published_mnist_lenet5")
    assert {(config.training_type, config.lr) for config, _ in rows.values()} == {
        (kind, 10.0**power) for kind in published_mnist_lenet5.THEIRS for power in range(-4, 3)
    }
    for config, seeds in rows.values():
        assert seeds == (1, 2, 3, 4)
        assert (config.optimizer, config.momentum, config.weight_dec, config.bsize) == ("sgd", 0, 0, 1000)
        assert config.resnet_type == "lenet5"
        assert config.num_epochs * config.evaluate_every_steps == 10 * 25
        assert config.patience_early_stopping >= config.num_epochs
    classes = np.repeat(np.arange(10), TRAIN)
    assert config.validation_fraction is not None
    assert config.ratio_pos_train is not None
    validation = fixed_validation(classes, validation_fraction=config.validation_fraction)
    assert config.negative_classes is not None
    assert config.positive_classes is not None
    assert config.train_fraction is not None
    kept = training_indices(
        classes,
        negative_classes=list(map(int, config.negative_classes)),
        positive_classes=list(map(int, config.positive_classes)),
        excluded=validation,
        ratio_pos_train=config.ratio_pos_train,
        train_fraction=config.train_fraction,
        seed=1,
    )
    positives = int((classes[kept] >= 5).sum())
    left = int((classes >= 5).sum() - (classes[validation] >= 5).sum())
    assert (len(kept) - positives, positives, left // 100) == (24_479, 235, 235)
    assert -(-len(kept) // config.bsize) == 25


def test_the_even_odd_table_is_the_published_protocol() -> None:
    rows = rows_of("published_even_odd")
    for config, seeds in rows.values():
        assert seeds == (1,)
        assert (config.folds, config.subset_ratios, config.validation_fraction) == (3, (1, 99), 0.5)
        if config.is_fitted:  # at once: what steps would read is left out
            continue
        assert (config.momentum, config.weight_dec, config.num_epochs) == (0, 0, 400)
        assert config.bsize >= 70_000
        assert config.patience_early_stopping >= 400
    classes = np.concatenate([np.repeat(np.arange(10), TRAIN), np.repeat(np.arange(10), TEST)])
    sizes = {subset: counts_of(classes, subset) for subset in (1, 2)}
    assert sizes == {1: (17_789, 17_789), 2: (17_789, 179)}
    subsets = {name: sum(sizes[number]) for number, name in published_even_odd.SUBSETS.items()}
    assert subsets | {"both": sum(subsets.values())} == published_even_odd.SIZES


def rows_tested(classes: Any, subset: int, fold: int) -> Any:
    resampling = Resampling(folds=3, fold=fold, subset_ratios=(1, 99), test_subset=subset)
    split = resampled_split(
        classes,
        negative_classes=(1, 3, 5, 7, 9),
        positive_classes=(0, 2, 4, 6, 8),
        resampling=resampling,
        validation_fraction=0.5,
    )
    return split.test


def counts_of(classes: Any, subset: int) -> tuple[int, int]:
    """Odd and even images of a subset: those of its three test folds."""
    digits = np.concatenate([classes[rows_tested(classes, subset, fold)] for fold in range(1, 4)])
    return int((digits % 2 == 1).sum()), int((digits % 2 == 0).sum())


def _changing(config: Config) -> list[str]:
    """The options that say when something changes on the way."""
    return [name for name in ("drw_from", "natural_from", "cool_down") if getattr(config, name) is not None]


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_comparison_holds_every_objective_and_every_sampler(dataset: str) -> None:
    rows = rows_of(f"comparison_{dataset}")
    followers = {config.use_ALM: seeds for row, (config, seeds) in rows.items() if row.startswith("chosen")}
    assert followers == {0: (1, 2, 3), 1: (1, 2, 3)}
    found = [(config, seeds) for row, (config, seeds) in rows.items() if row.startswith("grid")]
    assert {seeds for _, seeds in found} == {(1,)}
    grid = [(config.training_type, config.sampler, config.lr) for config, _ in found]
    on_the_way = [name for config, _ in found for name in _changing(config)]
    assert Counter(on_the_way) == {"drw_from": 4, "natural_from": 4, "cool_down": 4}
    for config, _ in found:
        assert config.dataset_name == dataset
        for name in _changing(config):  # within the epochs that there are
            assert getattr(config, name) == config.num_epochs * 2 // 3
    assert {kind for kind, _, _ in grid} == set(LOSSES)
    assert {sampler for _, sampler, _ in grid} == set(SAMPLERS)
    assert len(grid) == 4 * (len(LOSSES) + len(SAMPLERS) - 1)  # BCE with natural batches is in both
    assert set(Counter((kind, sampler) for kind, sampler, _ in grid).values()) == {4}
    assert {lr for _, _, lr in grid} == {0.001, 0.01, 0.1, 1}


# --- the trainer of columns --------------------------------------------------------------------------------

NEGATIVES, POSITIVES = 13, 47
LOSS_OF: dict[str, Loss] = {
    "AUM_RATE": AUMRate(),
    "SQ_HINGE_PW": AllPairsSquaredHinge(m=1.0),
    "BCE": BCE(),
    "W_LOGISTIC": WeightedLogistic(class_counts=(NEGATIVES, POSITIVES)),
}
TARGETS = torch.cat([torch.zeros(NEGATIVES), torch.ones(POSITIVES)])


def synthetic_scores(dtype: torch.dtype) -> Tensor:
    """Models of every quality, from all pairs in the wrong order to all in the right one; no two scores tie."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, NEGATIVES + POSITIVES, generator=generator, dtype=torch.float64)
    gain = torch.tensor([-20.0, -1.0, 0.0, 0.1, 0.5, 1.0, 2.0, 20.0], dtype=torch.float64)[:, None]
    return (noise + gain * TARGETS).to(dtype)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_gradients_of_columns_are_those_of_the_losses(name: str, dtype: torch.dtype, tolerance: float) -> None:
    scores = synthetic_scores(dtype)
    found = GRADIENTS[name](scores, NEGATIVES)
    for row, ours in zip(scores, found, strict=True):
        leaf = row.double().requires_grad_()
        LOSS_OF[name](leaf, TARGETS).backward()
        assert leaf.grad is not None
        torch.testing.assert_close(ours.double(), leaf.grad, rtol=0, atol=tolerance)


def test_aucs_of_columns_are_exact_with_ties() -> None:
    scores = synthetic_scores(torch.float32).round()
    scores = torch.cat([scores, torch.zeros(1, scores.shape[1]), torch.full((1, scores.shape[1]), torch.inf)])
    found = aucs(scores, NEGATIVES)
    for row, ours in zip(scores[:-1], found, strict=False):
        assert ours == pytest.approx(auc(TARGETS.long().numpy(), row.double().numpy()), abs=1e-12)
    assert found[8] == 0.5
    assert np.isnan(found[9])


def columns(rates: Sequence[float], *, most: int, patience: int, loss: str = "BCE") -> Columns:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(NEGATIVES + POSITIVES, 6, generator=generator) + 0.4 * TARGETS[:, None]
    other = torch.randn(NEGATIVES + POSITIVES, 6, generator=generator) + 0.4 * TARGETS[:, None]
    return Columns(
        subtrain=Side(features, NEGATIVES),
        validation=Side(other, NEGATIVES),
        gradient=GRADIENTS[loss],
        models=[Model(rate, 1) for rate in rates],
        weights=torch.randn(1, 6, generator=generator).repeat(len(rates), 1),
        patience=patience,
        most=most,
    )


@pytest.mark.parametrize("loss", GRADIENTS)
def test_columns_are_trained_as_single_models(loss: str) -> None:
    """Step by step as torch's SGD, with the AUC at every fifth step; a neighbour that ends early changes nothing."""
    found = columns([1e30, 0.3, 0.01], most=23, patience=1000, loss=loss)
    features, other, start = found.subtrain.features, found.validation.features, found.weights[1].clone()
    found.run(lambda _: None)
    for model in found.models[1:]:
        weights = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([weights], lr=model.step_size)
        reached = {0: validation_auc(other, weights)}
        for step in range(1, 24):
            optimizer.zero_grad()
            LOSS_OF[loss](features @ weights, TARGETS).backward()
            optimizer.step()
            if step % 5 == 0 or step == 23:
                reached[step] = validation_auc(other, weights)
        assert model.steps == 23
        assert model.ended == "last step"
        assert model.best_auc == pytest.approx(max(reached.values()), abs=2 / (NEGATIVES * POSITIVES))
        assert reached[model.best_step] == pytest.approx(model.best_auc, abs=2 / (NEGATIVES * POSITIVES))


def validation_auc(features: Tensor, weights: Tensor) -> float:
    return auc(TARGETS.long().numpy(), (features @ weights).detach().double().numpy())


def test_a_column_ends_when_it_is_flat_or_broken() -> None:
    found = columns([1e-12, 1e38], most=1000, patience=30, loss="SQ_HINGE_PW")
    told_of: list[int] = []
    found.run(lambda state: told_of.append(state.step), seconds=0.0)
    still, broken = found.models
    assert (still.ended, still.best_step, still.steps) == ("flat", 0, 30)
    assert broken.ended == "not finite"
    assert broken.steps <= 30
    assert not found.alive
    assert told_of[-1] == 30


def test_a_column_ends_when_it_is_far_behind_the_best_of_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_columns, "LATE", 10)
    found = columns([1e-12, 0.3], most=40, patience=1000)
    found.run(lambda _: None)
    still, moving = found.models
    assert moving.best_auc - still.best_auc > 2 * published_columns.BEHIND
    assert (still.ended, still.steps) == ("behind", 10)
    assert (moving.ended, moving.steps) == ("last step", 40)

    alone = columns([1e-12, 0.3], most=40, patience=1000)
    alone.models[0].start = 2  # another start is no measure
    alone.run(lambda _: None)
    assert alone.models[0].ended == "last step"


def test_columns_are_looked_at_less_often_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_columns, "LATER", 10)
    found = columns([0.01], most=70, patience=1000)
    steps: list[int] = []
    found.run(lambda state: steps.append(state.step), seconds=0.0)
    assert steps == [5, 10, 35, 60, 70]


# --- the linear rows ---------------------------------------------------------------------------------------


def test_halves_of_a_subset() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (300, 4, 4, 1), dtype=np.uint8)
    images[:, 0, 0] = 7  # a constant column
    labels = np.arange(300) % 10
    raw = RawData("x", "made up", images[:200], labels[:200], images[200:], labels[200:])
    subtrain, validation = published_linear.halves(raw, subset=1, samples=100)
    both = torch.cat([subtrain.features, validation.features])
    assert both.shape == (100, 15)
    assert (subtrain.negatives, validation.negatives) == (5, 5)
    torch.testing.assert_close(both.mean(dim=0), torch.zeros(15), atol=1e-5, rtol=0)
    torch.testing.assert_close(both.std(dim=0), torch.ones(15))
    assert len(np.unique(both.numpy(), axis=0)) == 100
    again = published_linear.halves(raw, subset=1, samples=100)[0]
    assert torch.equal(subtrain.features, again.features)
    assert not torch.equal(subtrain.features, published_linear.halves(raw, subset=2, samples=100)[0].features)


def test_linear_rows_run_and_are_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--quick", "--threads", "1", "--data_root", str(tmp_path), "--checkpoint_root", str(tmp_path / "c")]
    argv += ["--out", str(tmp_path / "out")]
    assert published_linear.main(argv) == 0
    printed = capsys.readouterr().out
    assert "40 models; at most" in printed
    assert printed.count("done in") == 3
    content = json.loads((tmp_path / "out" / "published_linear.json").read_text())
    assert content["quick"] is True
    assert content["data"].startswith("synthetic")
    assert content["versions"]["torch"]
    for cell in content["cells"].values():
        assert len(cell["subsets"]["1"]) == 4
        assert 0.4 < cell["ours"]["mean"] < 1
    assert published_linear.main(argv) == 0
    assert "done in" not in capsys.readouterr().out


def linear_results(means: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """What comes of two subsets whose starts reach these validation AUCs, a little more or less."""
    cells = {}
    for loss, mean in means.items():
        found = [
            {
                "subset": subset,
                "most": 100,
                "models": [
                    {"step_size": size, "start": start, "best_auc": mean + shift - 0.1 * (size < 1)}
                    | {"best_step": 10 * start, "ended": "flat"}
                    for size in (0.1, 1.0)
                    for start in (1, 2, 3, 4)
                ],
            }
            for subset, shift in ((1, 0.001), (2, -0.001))
        ]
        cells[loss] = published_linear.cell(loss, found)
    published_linear._add_verdicts(cells)
    return cells


def test_linear_cells_are_judged() -> None:
    cells = linear_results({"AUM_RATE": 0.9965, "SQ_HINGE_PW": 0.9930, "BCE": 0.9880})
    aum = cells["AUM_RATE"]
    assert aum["ours"]["mean"] == pytest.approx(0.9965)
    assert aum["ours"]["sd"] == pytest.approx(0.001 * 2**0.5)
    assert aum["sd_over_starts"] == pytest.approx(0)
    assert aum["difference_in_their_sds"] == pytest.approx(-2)
    assert (aum["step_of_best"], aum["step_sizes_chosen"], aum["ended"]["flat"]) == (25, [1.0], 16)
    assert [cell["falls_short"] for cell in cells.values()] == [False, True, False]
    assert "falls short" in published_linear.table(cells)
    below_logistic = linear_results({"AUM_RATE": 0.9965, "BCE": 0.9970})
    assert below_logistic["AUM_RATE"]["falls_short"]


# --- what is made of finished runs -------------------------------------------------------------------------


CONFIG = """\
commands: []
options: {num_epochs: {value: 1}}
versions: {python: "3.11", torch: "2.15"}
device: cpu
threads: 1
data: {source: made up, checksum: c0ffee}
class_counts: {train: {negative: 9, positive: 1}}
"""


def synthetic_sweep(root: Path, table: str, rows: Sequence[tuple[str, dict[str, Any], Mapping[int, Any]]]) -> None:
    """Runs as a sweep leaves them. A row: name, options, and for each seed its block of results.json (None: failed)."""
    folder = root / table
    listed = []
    for name, options, seeds in rows:
        run = folder / name
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(CONFIG)
        blocks = {str(seed): block for seed, block in seeds.items() if block is not None}
        (run / "results.json").write_text(json.dumps({"seeds": blocks}))
        for seed, block in seeds.items():
            (run / f"seed{seed}").mkdir()
            (run / f"seed{seed}" / ("done" if block else "failed")).write_text("{}")
            (run / f"seed{seed}" / "history.jsonl").write_text('{"epoch": 0, "val_auc": 0.999}\n')
        texts = {key: str(value) for key, value in options.items()}
        listed.append({"name": name, "folder": name, "seeds": list(seeds), "options": texts})
    (folder / "table.json").write_text(json.dumps({"title": table, "rows": listed}))


def block(validation: float, test: float, best_epoch: int = 3) -> dict[str, Any]:
    return {"validation": {"auc": validation}, "test": {"auc": test}, "best_epoch": best_epoch}


def run_reader(script: Any, root: Path, *more: str) -> tuple[dict[str, Any], str]:
    """Its JSON and its table."""
    out = root / "out"
    assert script.main(["--checkpoint_root", str(root), "--out", str(out), *more]) == 0
    name = script.NAME
    return json.loads((out / f"{name}.json").read_text()), (out / f"{name}.md").read_text()


def test_lenet5_chooses_step_size_and_moment_by_validation_for_each_seed(tmp_path: Path) -> None:
    rows: list[tuple[str, dict[str, Any], Mapping[int, Any]]] = []
    for kind in published_mnist_lenet5.THEIRS:
        options = {"training_type": kind, "evaluate_every_steps": 5}
        low = 0.5 if kind == "BCE" else 0.0
        rows += [
            (f"{kind}_a", {**options, "lr": 0.1}, {1: block(0.90, 0.95 - low), 2: block(0.97, 0.93 - low, 9)}),
            (f"{kind}_b", {**options, "lr": 10}, {1: block(0.95, 0.91 - low), 2: block(0.80, 0.99)}),
            (f"{kind}_c", {**options, "lr": 100}, {1: None, 2: block(0.1, 0.2)}),
        ]
    synthetic_sweep(tmp_path, published_mnist_lenet5.NAME, rows)
    content, text = run_reader(published_mnist_lenet5, tmp_path)
    cell = content["cells"]["AUM_RATE"]
    assert cell["ours"] == {"mean": pytest.approx(0.92), "sd": pytest.approx(0.02 / 2**0.5), "n": 2}
    assert [(one["lr"], one["step"]) for one in cell["chosen"]] == [("10", 20), ("0.1", 50)]
    assert cell["difference_in_their_sds"] == pytest.approx(-3)
    assert cell["falls_short"] is True
    assert content["cells"]["AUM_COUNT"]["falls_short"] is False
    second = cell["one_step_size_for_all_seeds"]
    assert second == {"lr": "0.1", "mean": pytest.approx(0.94), "sd": pytest.approx(0.02 / 2**0.5), "n": 2}
    assert cell["unfinished"] == [{"seed": 1, "lr": "100", "best_validation_auc": 0.999, "above": True}]
    assert content["runs"]["versions"] == [{"python": "3.11", "torch": "2.15"}]
    assert "| AUM rate | 0.920 +- 0.014 (n 2) | 0.950 +- 0.010 | -3.00 | falls short | 10 at 20, 0.1 at 50 |" in text


def even_odd_rows(lead_on_balanced: float, lead_on_unbalanced: float) -> Any:
    for kind, name in (("AUM_RATE", "AUM_rate"), ("BCE", "logistic"), ("", "featureless")):
        for subset in (1, 2):
            for way in ("same", "other", "all"):
                for fold in (1, 2, 3):
                    options = {"test_subset": subset, "train_on": way, "fold": fold, "lr": 0.1}
                    options |= {"training_type": kind or "BCE", "resnet_type": "linear" if kind else "featureless"}
                    unbalanced = (subset == 2) == (way == "same")
                    lead = lead_on_unbalanced if unbalanced else lead_on_balanced
                    auc = (0.9 + lead * (kind == "AUM_RATE") + 0.001 * fold) if kind else 0.5
                    best = 100 if kind == "BCE" else 20 + fold
                    yield f"{name}_subset{subset}_on_{way}_fold{fold}", options, {1: block(0.9, auc, best)}


def test_even_odd_says_where_aum_leads(tmp_path: Path) -> None:
    synthetic_sweep(tmp_path, published_even_odd.NAME, list(even_odd_rows(0.0, 0.02)))
    content, text = run_reader(published_even_odd, tmp_path)
    (finding,) = content["finding"]
    assert "trained on the balanced subset: undecided (+0.0000" in finding
    assert "trained on the unbalanced subset: AUM leads logistic (+0.0200" in finding
    assert "AUM sooner at its best" in finding
    assert finding in text
    cells = {(item["tested"], item["trained_on"], item["method"]): item for item in content["cells"]}
    leading = cells["balanced", "unbalanced", "AUM rate"]
    assert leading["test_auc"]["mean"] == pytest.approx(0.922)
    assert leading["steps_to_best"]["mean"] == pytest.approx(23)
    low, high = leading["interval"]  # 4.303 * 0.001 / sqrt(3) on either side
    assert (0.922 - low, high - 0.922) == (pytest.approx(0.002484, abs=1e-6), pytest.approx(0.002484, abs=1e-6))
    assert cells["balanced", "both", "featureless"]["test_auc"]["mean"] == 0.5


def test_even_odd_says_where_logistic_leads(tmp_path: Path) -> None:
    synthetic_sweep(tmp_path, published_even_odd.NAME, list(even_odd_rows(-0.02, 0.0)))
    (finding,) = run_reader(published_even_odd, tmp_path)[0]["finding"]
    assert "trained on the balanced subset: logistic leads AUM (-0.0200" in finding


def with_scores(root: Path, table: str, rows: Sequence[str], gains: Mapping[str, float]) -> None:
    """Gives the runs test scores of these gains, and results.json their numbers."""
    for name in rows:
        blocks = {}
        for seed in (1, 2, 3):
            made = scores_of("test", seed, gain=gains[name], counts={"test": (200, 100)})
            write_scores(root / table / name / f"seed{seed}" / "test.csv", made)
            test = {"auc": auc(made.label, made.score)}
            fpr = {"fpr_at_tpr": {"0.98": fpr_at_tpr(made.label, made.score, 0.98)}}
            blocks[str(seed)] = {"validation": {"auc": 0.9}, "test": {**test, **fpr}, "best_epoch": 1}
        (root / table / name / "results.json").write_text(json.dumps({"seeds": blocks}))


def test_the_comparison_ranks_by_fpr_and_pairs_its_differences(tmp_path: Path) -> None:
    table = "comparison_mnist"
    gains = {
        "chosen_baseline_bce": 1.5,
        "chosen_ALM_baseline_bce": 3.0,
        "chosen_baseline_hinge": 1.0,
        "chosen_ALM_baseline_hinge": 1.0,
    }
    empty = dict.fromkeys((1, 2, 3), block(0.9, 0.9))
    rows: list[tuple[str, dict[str, Any], Mapping[int, Any]]] = []
    for name in gains:
        options = {"name_file_bs": name.removeprefix("chosen_").removeprefix("ALM_"), "lr": 0.1}
        rows.append((name, {**options, **({"name_file_alm": "ALM_14_beg"} if "ALM" in name else {})}, empty))
    rows.append(("grid_baseline_AUM_rate_lr-1", {"name_file_bs": "baseline_AUM_rate", "lr": 1}, {1: None}))
    synthetic_sweep(tmp_path, table, rows)
    with_scores(tmp_path, table, list(gains), gains)
    content, text = run_reader(comparison, tmp_path, "--datasets", "mnist", "--resamples", "200")
    found = content["datasets"]["mnist"]
    first, second = found["rows"]
    assert (first["objective"], second["objective"]) == ("baseline_bce", "baseline_hinge")
    assert "minus_bce" not in first
    assert second["minus_bce"]["mean"] > 0
    assert first["alm_minus_without"]["mean"] < 0
    assert first["alm_minus_without"]["interval"][0] < first["alm_minus_without"]["mean"]
    # the same scores with ALM as without, on the same resamples: no difference, whatever was drawn
    assert second["alm_minus_without"] == {"mean": 0.0, "interval": [0.0, 0.0], "p": 1.0}
    low, high = first["fpr_at_98_tpr"]["interval"]
    assert low <= first["fpr_at_98_tpr"]["mean"] <= high
    assert found["without_result"] == ["baseline_AUM_rate"]
    assert found["grid_failed"] == {"baseline_AUM_rate": ["1"]}
    assert "| 1 | baseline_bce | 0.1 |" in text
    assert "Without a result: baseline_AUM_rate" in text
    lines = comparison.effects(content["datasets"]).splitlines()
    assert len(lines) == 4
    assert lines[2].replace("*", "").startswith(f"| `baseline_bce` | {100 * first['fpr_at_98_tpr']['mean']:.1f} |  | -")
    assert lines[3].replace("*", "").startswith(f"| `baseline_hinge` | {100 * second['fpr_at_98_tpr']['mean']:.1f} | +")
    assert lines[3].endswith(" | +0.0 [0.0, 0.0] |")


def test_the_page_of_remedies_holds_the_measured_effects() -> None:
    content = json.loads((RESULTS / "comparison.json").read_text())
    assert comparison.effects(content["datasets"]) in (TABLES.parents[1] / "docs" / "remedies.md").read_text()


def test_a_sweep_that_was_not_run_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"run first python sweep.py configs/table/published_even_odd\.yaml"):
        read_sweep(tmp_path, "published_even_odd")
    assert exit_code(comparison.main, ["--checkpoint_root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: no {tmp_path}/comparison_mnist: run first python sweep.py")


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "table.json").write_text('{"rows": [{"name": 1}]}')
    with pytest.raises(UserError, match=r"cannot read .*table\.json \(KeyError\)"):
        read_sweep(tmp_path, "t")


# --- the toy -----------------------------------------------------------------------------------------------


def test_the_toy_runs_and_balanced_batches_find_more_positives(tmp_path: Path) -> None:
    picture = tmp_path / "toy.png"
    assert toy.main(["--quick", "--out", str(tmp_path), "--picture", str(picture)]) == 0
    assert 1000 < picture.stat().st_size < 80_000
    content = json.loads((tmp_path / "toy.json").read_text())
    assert content["command"].startswith("python -m studies.toy --quick")
    rows = {(row["ratio"], row["boundary"]): row for row in content["rows"]}
    for ratio in (20, 100):
        natural, balanced = rows[ratio, "natural batches"], rows[ratio, "balanced batches"]
        assert natural["tpr"]["n"] == 2
        assert balanced["tpr"]["mean"] > natural["tpr"]["mean"] + 0.2
        assert balanced["accuracy"]["mean"] < natural["accuracy"]["mean"]
        best = rows[ratio, "Bayes, training prior"]["accuracy"]["mean"]
        assert natural["accuracy"]["mean"] <= best + 0.002
        most = rows[ratio, "Bayes, equal priors"]["balanced_accuracy"]["mean"]
        assert balanced["balanced_accuracy"]["mean"] <= most + 0.005


def test_bayes_is_where_the_densities_times_the_priors_are_equal() -> None:
    line = toy.bayes(0.1)
    point = torch.tensor([1.0, -0.7], dtype=torch.float64)
    score = line.weights[0] * point[0] + line.weights[1] * point[1] + line.bias
    squares = [((point - torch.tensor(centre, dtype=torch.float64)) ** 2).sum() / 2 for centre in toy.CENTRES]
    expected = squares[0] - squares[1] + np.log(0.1 / 0.9)
    assert float(score) == pytest.approx(float(expected))
