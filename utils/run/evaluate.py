"""Evaluate the checkpoints of a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..config.options import FREE, Config
from ..config.readers import unread
from ..config.settings import Settings
from ..errors import UserError
from ..run_files.best_pt import BEST, from_checkpoint, most_epochs, recorded_epochs
from ..run_files.checkpoints import load
from ..run_files.config_yaml import read_config, write_config
from ..run_files.done import read_done, read_failed
from ..run_files.history_jsonl import read_history
from ..run_files.paths import RunPaths, SeedPaths
from ..run_files.results_json import kind_of
from ..system.files import locked
from .best_checkpoint import bundle, config_facts, evaluation_options, normalisation, result_facts, score_checkpoint
from .experiment import Experiment
from .prepare_run import prepare
from .printed_table import report


def evaluate_run(settings: Settings) -> int:
    """Rebuild each model from best.pt alone, score validation and test, write the results.

    Raises:
        UserError: the checkpoints cannot be read or do not belong together, or the data are not those of the run.
    """
    paths = RunPaths.of(settings.config)
    seeds = _evaluated_seeds(settings, paths)
    checkpoints = {seed: load(paths.seed(seed).best, BEST) for seed in seeds}
    merged = {seed: from_checkpoint(settings, content, paths.seed(seed)) for seed, content in checkpoints.items()}
    for seed in paths.seeds_with("done"):
        read_done(paths.seed(seed))
    _check_alike(merged, paths)
    _check_threads(settings, paths)
    first = merged[seeds[0]]
    epochs = most_epochs({paths.seed(seed).best: content for seed, content in checkpoints.items()}, paths.config)
    experiment = prepare(replace(first, config=replace(first.config, num_epochs=epochs)))
    _check_data(experiment, checkpoints, paths)
    kind = kind_of(evaluation_options(experiment))
    unfinished = [note for seed, each in merged.items() if (note := _unfinished(seed, each.config, paths))]
    scores = {
        seed: score_checkpoint(experiment, seed, content, paths.seed(seed)) for seed, content in checkpoints.items()
    }
    with contextlib.ExitStack() as locks:
        for seed in seeds:
            locks.enter_context(locked(paths.seed(seed).lock, what=f"seed {seed} of {paths.folder}"))
        if not paths.config.exists():
            with locked(paths.lock, what=f"the run {paths.folder}", wait=True):
                write_config(paths.config, experiment.settings, config_facts(experiment))
        for seed, parts in scores.items():
            for part, values in parts.items():
                kind.write(paths.seed(seed).scores(part), values)
    report(
        paths,
        evaluated={seed: int(content["epoch"]) for seed, content in checkpoints.items()},
        epochs={seed: _epochs(paths.seed(seed), content) for seed, content in checkpoints.items()},
        options=evaluation_options(experiment),
        facts=lambda seed: result_facts(experiment, paths, seed) | {"notes": unfinished},
    )
    bundle(experiment, paths)
    return 0


def _check_data(experiment: Experiment, checkpoints: dict[int, dict[str, Any]], paths: RunPaths) -> None:
    """Refuse other data than the run was trained and scored on: their numbers would replace its own.

    Raises:
        UserError: the data, or what their pixels are normalised with, are not what best.pt and config.yaml record.
    """
    recorded = {paths.seed(seed).best: content for seed, content in checkpoints.items()}
    if paths.config.exists():
        data = read_config(paths.config)["data"]
        recorded[paths.config] = {**data, "data_checksum": data["checksum"]}
    task = experiment.task
    for path, content in recorded.items():
        theirs, ours = content["data_checksum"], task.checksum
        what = f"the checksum {theirs:.12}, but {task.source} has {ours:.12}"
        same = theirs == ours
        if same:
            there, here = content.get("normalisation", normalisation(task)), normalisation(task)
            same = _is_close(there, here)
            what = f"the normalisation {there!r:.100}, but {task.source} has {here!r:.100}"
        if not same:
            raise UserError(
                f"{path} records data with {what}: --train 0 repeats the numbers of a run on its own data; "
                "name those with --data_root (nothing was written)"
            )


def _is_close(one: Any, other: Mapping[str, Sequence[float]]) -> bool:
    """Whether two normalisations are the same but for the rounding of an older version."""
    try:
        pairs = [pair for name in other for pair in zip(one[name], other[name], strict=True)]
        return all(math.isclose(*pair, rel_tol=1e-12) for pair in pairs)
    except (KeyError, TypeError, ValueError):
        return False


def _check_threads(settings: Settings, paths: RunPaths) -> None:
    """Refuse another number of threads than the run has: it changes rounding, and so the run's own numbers.

    Raises:
        UserError: the command asks for another number.
    """
    ours, theirs = settings.config.threads, read_config(paths.config).get("threads") if paths.config.exists() else None
    if settings.is_given("threads") and ours and theirs and ours != theirs:
        raise UserError(
            f"{paths.config} records {theirs} threads for each seed, the command asks for {ours}: --train 0 repeats "
            "the numbers of a run, which rounding would change; leave --threads out (nothing was written)"
        )


def _epochs(files: SeedPaths, checkpoint: dict[str, Any]) -> int | None:
    """For how many epochs a seed that is not done was trained: by its history, or by best.pt where that is alone."""
    records = [] if files.done.exists() else read_history(files.history)
    return int(records[-1]["epoch"]) + 1 if records else recorded_epochs(checkpoint)


def _unfinished(seed: int, config: Config, paths: RunPaths) -> str:
    """What to say of a seed whose training has not ended; '' if it has, or if best.pt is alone and nothing is known."""
    files = paths.seed(seed)
    records = [] if files.done.exists() else read_history(files.history)
    if not records:
        return ""
    first, trained, total = records[0]["epoch"], records[-1]["epoch"] + 1, config.num_epochs
    if config.continue_train:
        total = first + config.continue_train_epochs
    elif paths.config.exists():  # best.pt may be older than the wish for more epochs
        total = read_config(paths.config)["options"]["num_epochs"]["value"]
    why = f" ({failure})" if (failure := read_failed(files)) else ""
    return (
        f"seed {seed} is not finished: it was trained to epoch {trained} of {total}{why}, and these are the numbers of "
        "its best epoch so far; train it further with --resume 1"
    )


def _check_alike(merged: dict[int, Settings], paths: RunPaths) -> None:
    """Refuse checkpoints of different runs, whose scores cannot be averaged.

    Raises:
        UserError: the options of two seeds differ.
    """
    first, *others = merged
    ignored = FREE | unread(merged[first].config).keys()
    for seed in others:
        for name, expected in merged[first].as_yaml_ready().items():
            found = merged[seed].as_yaml_ready()[name]["value"]
            if name not in ignored and found != expected["value"]:
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
