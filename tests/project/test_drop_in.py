"""A component is one file, one line in its table of names and one config: nothing else in the tree lists it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("main.py", "models", "utils", "configs")

LOSS = '''
from torch import Tensor
from torch.nn.functional import softplus

from .base import Loss


class Mine(Loss):
    """Logistic loss, to the power gamma."""

    def __init__(self, *, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, outputs: Tensor, targets: Tensor, indices: Tensor | None = None) -> Tensor:
        scores, targets = self.scores_and_targets(outputs, targets)
        return softplus((1 - 2 * targets) * scores).pow(self.gamma).mean()
'''
CONSTRAINT = '''
import torch
from torch import Tensor

from .base import Constraint, checked_scores


class Mine(Constraint):
    """The mean score of the positives lies delta above 0."""

    def __init__(self, *, delta: float, mu: float = 0.1) -> None:
        super().__init__(mu=mu)
        self.delta = delta
        self.register_buffer("multipliers", torch.zeros(1))

    def penalty(self, scores: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
        scores = checked_scores(scores, targets, indices)
        violation = ((self.delta - scores) * targets).sum().relu() / targets.sum().clamp(min=1)
        self._collect(violation)
        return (self.multipliers[0] * violation + self.mu / 2 * violation.square()).to(scores.dtype)

    @torch.no_grad()
    def update_multipliers(self) -> None:
        for (violation,) in self._take_collected():
            self.multipliers.add_(self.mu * violation)

    def end_epoch(self, validation_auc: float) -> None:
        self._set_mu(min(self.rho * self.mu_value, self.mu_limit))
'''
SAMPLER = '''
import torch
from torch import Tensor

from .base import Sampler


class Mine(Sampler):
    """As many samples as there are, with replacement."""

    def _draw_pass(self) -> Tensor:
        return torch.randint(len(self.indices), (len(self.indices),), generator=self.generator)
'''
COMPONENTS = {  # package -> its table of names, the file, the config
    "losses": ("LOSSES", LOSS, "baseline/mine.yaml", {"training_type": "MINE", "gamma": 2.0}),
    "constraints": ("CONSTRAINTS", CONSTRAINT, "ALM/mine.yaml", {"use_ALM": 1, "constraint": "MINE", "mu": 0.5}),
    "samplers": ("SAMPLERS", SAMPLER, "baseline/bce_mine.yaml", {"training_type": "BCE", "sampler": "MINE"}),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with a loss, a constraint and a sampler of one's own."""
    copy = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    for package, (table, text, config, options) in COMPONENTS.items():
        (copy / "utils" / package / "mine.py").write_text(text)
        init = copy / "utils" / package / "__init__.py"
        before, opening, after = init.read_text().partition(f"{table}: dict[str, str] = {{\n")
        assert opening
        init.write_text(f'{before}{opening}    "MINE": "mine:Mine",\n{after}')
        (copy / "configs" / config).write_text(yaml.safe_dump(options))
    return copy


def output_of(tree: Path, *argv: str) -> str:
    done = subprocess.run([sys.executable, *argv], cwd=tree, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_help_lists_it(tree: Path) -> None:
    text = " ".join(output_of(tree, "main.py", "--help", "all").split())
    for flag in ("--training_type", "--constraint", "--sampler"):
        assert "MINE, " in re.split(f" {flag} TEXT(?:, --loss TEXT)? ", text)[-1].partition(" --")[0], flag


def test_a_run_uses_it(tree: Path) -> None:
    asked = "main.py --dataset_name digits --resnet_type linear --seeds 1 --num_epochs 1 --threads 1"
    chosen = "--name_file_bs mine --name_file_alm mine --delta 1 --sampler MINE"
    printed = output_of(tree, *asked.split(), *chosen.split())
    assert "linear, MINE + ALM MINE mu=0.5, MINE sampler" in printed
    folder = tree / "checkpoint" / "runs" / "digits_mine_MINE_mine_1to20"  # the default name
    options = yaml.safe_load((folder / "config.yaml").read_text())["options"]
    said = {name: options[name]["value"] for name in ("training_type", "constraint", "sampler", "gamma", "mu")}
    assert said == {"training_type": "MINE", "constraint": "MINE", "sampler": "MINE", "gamma": 2.0, "mu": 0.5}
    record = json.loads((folder / "seed1" / "history.jsonl").read_text())
    assert record["mu"] == 0.5
    assert record["multiplier_quantiles"]["1"] > 0
    assert (folder / "seed1" / "done").exists()


def test_its_options_are_those_of_its_constructor(tree: Path) -> None:
    asked = "main.py --dataset_name digits --resnet_type linear --name_file_bs bce_mine --name_file_alm mine"
    for option, owners in (("--rho 3", "pairwise, rate"), ("--positive_share 0.5", "balanced, balanced_random")):
        done = subprocess.run(
            [sys.executable, *asked.split(), *option.split()], cwd=tree, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 2
        name = option.split()[0].removeprefix("--")
        assert f"{name} (from the command line) has no use in MINE, which takes " in done.stderr
        assert f"; it belongs to {owners}" in done.stderr


def test_the_contract_suite_accepts_it(tree: Path) -> None:
    code = """
from utils.constraints.mine import Mine as MyConstraint
from utils.losses.mine import Mine as MyLoss
from utils.samplers.mine import Mine as MySampler
from utils.testing import check_constraint, check_loss, check_sampler
check_loss(MyLoss, gamma=2.0)
check_constraint(MyConstraint, delta=1.0)
check_sampler(MySampler)
print("sound")
"""
    assert output_of(tree, "-c", code) == "sound\n"
