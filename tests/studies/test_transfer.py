"""The transfer study: what it chooses by, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import results, run

from models import build_model
from studies import transfer as study
from studies.published_runs import mean_and_sd
from utils.run.experiment import Experiment
from utils.run.frozen_features import with_features

pytestmark = pytest.mark.usefixtures("one_thread", "blank_pictures")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = build_model("resnet20", channels=1, image_size=(8, 8), generator=torch.Generator().manual_seed(1))
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(model.state_dict(), path)
    return path


def test_candidates_are_judged_as_runs_are_and_features_are_computed_once(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = ("--training_type BCE --lr 0.1", "--training_type LDAM --lr 1")
    monkeypatch.setattr(study, "CANDIDATES", candidates)
    computed: list[Experiment] = []

    def counted(experiment: Experiment) -> Experiment:
        computed.append(experiment)
        return with_features(experiment)

    monkeypatch.setattr(study, "with_features", counted)
    small = "--resnet_type resnet20 --image_size 8 --freeze_epochs all --num_epochs 3 --dataset_name digits"
    small += f" --ratio_pos_train 20 --device cpu --threads 1 --seeds 1-2 --weights {weights}"
    found = study.choose([*small.split(), "--checkpoint_root", str(tmp_path)])
    assert len(computed) == 1
    for candidate, choice in zip(candidates, found, strict=True):
        folder = run(tmp_path / choice["options"].replace(" ", "_"), f"{small} {candidate}")
        aucs = [block["validation"]["auc"] for block in results(folder)["seeds"].values()]
        assert choice["options"] == candidate
        assert choice["validation_auc"] == pytest.approx(mean_and_sd(aucs))  # the run's by scikit-learn


def block(value: float) -> dict[str, float]:
    return {"0.98": value, "0.95": value / 2}


def test_the_tables_say_whether_the_goal_is_met() -> None:
    def row(label: str, values: tuple[float, float, float]) -> dict[str, object]:
        seeds = {str(seed): value for seed, value in enumerate(values, 1)}
        intervals = {"0.98": [0.1, 0.3], "0.95": [0.05, 0.2]}
        return {
            "label": label,
            "command": "python main.py",
            "seconds": 61.2,
            "epochs": [4, 5, 6],
            "test": {"auc": seeds, "fpr_at_tpr": {seed: block(value) for seed, value in seeds.items()}},
            "ensemble": {"fpr_at_tpr": block(0.2), "fpr_at_tpr_interval": intervals},
        }

    choices = [{"options": name, "validation_auc": {"mean": mean}} for name, mean in (("a", 0.9), ("b", 0.95))]
    content = {"goal": 0.25, "choices": choices, "rows": [row("frozen", (0.1, 0.2, 0.3)), row("scratch", (0.9,) * 3)]}
    text = study.text(content)
    # by hand: mean 20, SD 10, t of 2 degrees of freedom 4.303: 20 +- 4.303 * 10 / sqrt(3)
    assert "| frozen | 61 s | 4 5 6 | 0.2000 | 20.0 [-4.8, 44.8] | 20.0 [10.0, 30.0] | 10.0 [-2.4, 22.4]" in text
    assert "at 98 % TPR by the frozen row: met." in text
    assert text.index("| `b` | 0.9500 |") < text.index("| `a` | 0.9000 |")
    content["rows"] = [row("frozen", (0.3, 0.3, 0.3))]
    assert "at 98 % TPR by the frozen row: missed by 5.0 points." in study.text(content)


def test_commands_are_told_without_the_folders_of_this_machine() -> None:
    words = ["--data_root", "/x", "--weights", "/y/w.pth", "--seeds", "1-3", "--checkpoint_root", "/z"]
    assert study.portable(words) == ["--weights", "w.pth", "--seeds", "1-3"]
