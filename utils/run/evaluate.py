"""Evaluate the checkpoints of a run."""

from __future__ import annotations

import contextlib

from ..config.options import FREE
from ..config.settings import Settings
from ..errors import UserError
from ..run_files.best_pt import BEST, from_checkpoint
from ..run_files.checkpoints import load
from ..run_files.config_yaml import write_config
from ..run_files.done import read_done
from ..run_files.paths import RunPaths
from ..run_files.scores_csv import write_scores
from ..system.files import locked
from .best_checkpoint import config_facts, evaluation_options, result_facts, score_checkpoint
from .experiment import prepare
from .printed_table import report


def evaluate_run(settings: Settings) -> int:
    """Rebuild each model from best.pt alone, score validation and test, write the results."""
    paths = RunPaths.of(settings.config)
    seeds = _evaluated_seeds(settings, paths)
    checkpoints = {seed: load(paths.seed(seed).best, BEST) for seed in seeds}
    merged = {seed: from_checkpoint(settings, content, paths.seed(seed)) for seed, content in checkpoints.items()}
    for seed in paths.seeds_with("done"):
        read_done(paths.seed(seed))
    _check_alike(merged, paths)
    experiment = prepare(merged[seeds[0]])
    scores = {
        seed: score_checkpoint(experiment, seed, content, paths.seed(seed)) for seed, content in checkpoints.items()
    }
    stale = [seed for seed, content in checkpoints.items() if content["data_checksum"] != experiment.task.checksum]
    if stale:
        print(f"note: the data differ from those that seeds {' '.join(map(str, stale))} were trained with (checksum)")
    with contextlib.ExitStack() as locks:
        for seed in seeds:
            locks.enter_context(locked(paths.seed(seed).lock, what=f"seed {seed} of {paths.folder}"))
        if not paths.config.exists():
            with locked(paths.lock, what=f"the run {paths.folder}", wait=True):
                write_config(paths.config, experiment.settings, config_facts(experiment))
        for seed, parts in scores.items():
            for part, values in parts.items():
                write_scores(paths.seed(seed).scores(part), values)
    report(
        paths,
        evaluated={seed: int(content["epoch"]) for seed, content in checkpoints.items()},
        options=evaluation_options(experiment),
        facts=lambda seed: result_facts(experiment, paths, seed),
    )
    return 0


def _check_alike(merged: dict[int, Settings], paths: RunPaths) -> None:
    """Refuse checkpoints of different runs, whose scores cannot be averaged.

    Raises:
        UserError: the options of two seeds differ.
    """
    first, *others = merged
    for seed in others:
        for name, expected in merged[first].as_yaml_ready().items():
            found = merged[seed].as_yaml_ready()[name]["value"]
            if name not in FREE and found != expected["value"]:
                raise UserError(
                    f"{paths.seed(seed).best} belongs to another run than {paths.seed(first).best}: "
                    f"it has {name} {found}, the other {expected['value']}; put it elsewhere"
                )


def _evaluated_seeds(settings: Settings, paths: RunPaths) -> list[int]:
    there = paths.seeds_with("best.pt")
    if not there:
        raise UserError(f"nothing is trained in {paths.folder}: no seed<k>/best.pt; train first with --train 1")
    if not settings.is_given("seeds"):
        return there
    missing = [seed for seed in settings.config.seeds if seed not in there]
    if missing:
        raise UserError(
            f"seeds {' '.join(map(str, missing))} have no best.pt in {paths.folder}; "
            f"there are seeds {' '.join(map(str, there))}"
        )
    return list(settings.config.seeds)
