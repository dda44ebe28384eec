"""The finished runs that a training continues from."""

from __future__ import annotations

import functools
from pathlib import Path

from ..config.options import Config, convert
from ..config.settings import Settings
from ..errors import UserError
from ..run_files.best_pt import BEST
from ..run_files.checkpoints import load
from ..run_files.paths import RunPaths
from .components import built

TAKEN_OVER = ("image_size", "normalisation")  # what its network sees, so that it need not be said again


def of_baseline(settings: Settings) -> Settings:
    """``settings`` with what follows from the baseline, if training continues from one."""
    best = find_baselines(settings.config)
    if not best:
        return settings
    path = best[settings.config.seeds[0]]
    saved = {name: load(path, BEST)["config"].get(name) for name in TAKEN_OVER}
    known = {name: value for name, value in saved.items() if value is not None}
    checked = {name: built(functools.partial(convert, name, value, str(path))) for name, value in known.items()}
    return settings.completed(checked, "the baseline")


def find_baselines(config: Config) -> dict[int, Path]:
    """best.pt of each seed's baseline, if training continues from one."""
    if not config.continue_train:
        return {}
    assert config.baseline_cont_train is not None
    paths = RunPaths.of(config)
    baseline = RunPaths(paths.root, paths.subfolder_name, config.baseline_cont_train)
    if baseline.folder == paths.folder:
        raise UserError(
            f"baseline_cont_train and model_name are both {config.model_name}; give the new run another name"
        )
    missing = [seed for seed in config.seeds if not baseline.seed(seed).best.is_file()]
    if missing:
        raise UserError(
            f"continue_train needs a trained baseline: no {baseline.seed(missing[0]).best} "
            f"(--baseline_cont_train names its model_name); seeds missing: {' '.join(map(str, missing))}"
        )
    return {seed: baseline.seed(seed).best for seed in config.seeds}
