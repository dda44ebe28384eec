"""Train the seeds of a run, one after the other."""

from __future__ import annotations

import contextlib
import functools
import gc
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.options import Config
from ..config.settings import Settings
from ..data.task import Task
from ..distributed.ranks import rank_and_world
from ..errors import UserError
from ..run_files.best_pt import BEST, best_is_missing, record_end, remove_end
from ..run_files.checkpoints import load, save
from ..run_files.config_yaml import compare, read_config, write_config
from ..run_files.done import check_unchanged, is_complete, read_done, write_done, write_failed
from ..run_files.events import Events
from ..run_files.history_jsonl import History, read_history
from ..run_files.last_pt import LAST, load_last, restore_last
from ..run_files.paths import RunPaths, SeedPaths
from ..run_files.results_json import kind_of
from ..system.devices import keep_freed_memory
from ..system.files import locked, make_folder, remove_leftovers
from ..system.shared_tensor import SharedTensor, memory_file
from ..training.epoch import NonFiniteLossError, training_multipliers
from ..training.notices import Watch
from ..training.state import TrainState
from ..training.step import TrainingSteps
from .announcement import announce
from .baselines import find_baselines, of_baseline
from .best_checkpoint import (
    bundle,
    checkpoint_content,
    config_facts,
    decisions_by_class,
    evaluation_options,
    last_scores,
    result_facts,
    score_checkpoint,
)
from .epoch_writer import EpochWriter
from .experiment import Experiment
from .frozen_features import with_features
from .initial_state import build_state
from .other_ranks import compute_along
from .prepare_run import prepare
from .printed_table import report
from .progress import Progress
from .rank_group import begin_seed, end_seeds, together
from .seed_epochs import end_of, epoch_of
from .seed_workers import train_in_processes


def train_run(settings: Settings) -> int:
    """Train what is not trained yet, then write and print the results of all finished seeds of the run."""
    experiment, baselines = together(lambda: _prepared(settings))
    if rank_and_world()[0]:
        return compute_along(experiment, baselines)
    settings, config, paths = experiment.settings, experiment.config, RunPaths.of(experiment.config)
    if paths.config.exists():
        _check_same(experiment, paths)
    for seed in config.seeds:  # before anything is written, check that each seed can start
        if seed in baselines:
            build_state(experiment, seed, baseline=baselines[seed])
        if paths.seed(seed).folder.exists():
            with locked(paths.seed(seed).lock, what=f"seed {seed} of {paths.folder}"):
                _check_files(paths.seed(seed), _plan(paths.seed(seed), config, seed))
    for seed in paths.seeds_with("done"):
        read_done(paths.seed(seed))
    announce(experiment, paths)
    is_done = all(_plan(paths.seed(seed), config, seed) == "skip" for seed in config.seeds)
    if not is_done and not _reads_in_children(experiment):
        experiment = with_features(experiment)
    make_folder(paths.folder)
    with locked(paths.lock, what=f"the run {paths.folder}", wait=True):
        text = write_config(paths.config, settings, config_facts(experiment))
    failures = _train_seeds(experiment, paths, baselines, text)
    end_seeds()
    if paths.seeds_with("done"):
        facts = functools.partial(result_facts, experiment, paths)
        report(paths, options=evaluation_options(experiment), facts=facts, warned=True)
        bundle(experiment, paths)
    return 1 if failures else 0


def _prepared(settings: Settings) -> tuple[Experiment, dict[int, Path]]:
    """What every rank reads: the experiment, and best.pt of the baseline of each seed."""
    experiment = prepare(of_baseline(settings))
    return experiment, find_baselines(experiment.config)


def _check_same(experiment: Experiment, paths: RunPaths) -> None:
    """Compare with config.yaml; see ``compare``."""
    facts = config_facts(experiment)
    old = read_config(paths.config)
    compare(old, experiment.settings, paths.config, checksum=facts.checksum, weights=facts.weights)


def _reads_in_children(experiment: Experiment) -> bool:
    """Whether each seed trains in a process that reads the data itself, and computes features of its own."""
    machine = experiment.machine
    return machine.seeds_at_once > 1 and machine.device.type != "cpu"


def _train_seeds(experiment: Experiment, paths: RunPaths, baselines: dict[int, Path], text: str) -> dict[int, str]:
    """Train all seeds, one after the other or several at once; returns the error of each seed that failed."""
    machine, seeds = experiment.machine, experiment.config.seeds
    if machine.seeds_at_once == 1:
        failures = {seed: _train_locked(experiment, paths, baselines, text, seed) for seed in seeds}
        return {seed: failure for seed, failure in failures.items() if failure}
    if _reads_in_children(experiment):
        afresh = functools.partial(_train_afresh, experiment.settings, paths, baselines, text)
        return train_in_processes(afresh, seeds, at_once=machine.seeds_at_once)
    with contextlib.ExitStack() as files:
        shared = {
            name: SharedTensor.write(value, files.enter_context(memory_file())) if isinstance(value, Tensor) else value
            for name, value in {**vars(experiment.task), "features": experiment.features}.items()
        }
        inherited = [value.file for value in shared.values() if isinstance(value, SharedTensor)]
        bare = {name: value for name, value in vars(experiment).items() if name not in ("task", "features")}
        train = functools.partial(_train_on_shared, bare, shared, paths, baselines, text)
        return train_in_processes(train, seeds, at_once=machine.seeds_at_once, files=inherited)


def _train_locked(
    experiment: Experiment, paths: RunPaths, baselines: dict[int, Path], text: str, seed: int
) -> str | None:
    """Train one seed while its folder is locked; returns its error, or None."""
    files = paths.seed(seed)
    make_folder(files.folder)
    with locked(files.lock, what=f"seed {seed} of {paths.folder}"):
        plan = _plan(files, experiment.config, seed)
        if plan == "skip":
            print(f"seed {seed}: done before and kept; another --model_name trains anew")
            return None
        try:
            _train_seed(experiment, seed, files, resume=plan == "resume", baseline=baselines.get(seed), text=text)
        except NonFiniteLossError as error:
            write_failed(files, str(error))
            print(f"seed {seed} stopped: {error}")
            return str(error)
    return None


def _train_afresh(settings: Settings, paths: RunPaths, baselines: dict[int, Path], text: str, seed: int) -> str | None:
    """The same in a child on a GPU, where each process has the data on the device: it reads them again."""
    gc.collect()  # what the seed before left on the device would count as taken
    torch.cuda.empty_cache()
    experiment = prepare(settings, in_child=True)
    _check_same(experiment, paths)  # the data may have changed since
    if _plan(paths.seed(seed), experiment.config, seed) != "skip":
        experiment = with_features(experiment)
    return _train_locked(experiment, paths, baselines, text, seed)


def _train_on_shared(
    bare: dict[str, Any], shared: dict[str, Any], paths: RunPaths, baselines: dict[int, Path], text: str, seed: int
) -> str | None:
    """The same in a child on the CPU, which shares its parent's task and features; ``bare`` is the rest it is given."""
    torch.set_num_threads(bare["machine"].threads)
    keep_freed_memory()
    parts: dict[str, Any] = {
        name: value.tensor() if isinstance(value, SharedTensor) else value for name, value in shared.items()
    }
    features = parts.pop("features")
    experiment = Experiment(**bare, task=Task(**parts), features=features)
    return _train_locked(experiment, paths, baselines, text, seed)


def _plan(files: SeedPaths, config: Config, seed: int) -> str:
    """``start``, ``resume`` or ``skip``.

    Raises:
        UserError: the folder holds an unfinished training or other weights, and the command does not say what to do.
    """
    if files.done.exists():
        done = read_done(files)
        more = not config.continue_train and not is_complete(done, config.num_epochs)
        if config.resume and more and not _has_state(files):
            raise UserError(
                f"seed {seed} cannot be trained further: {files.last} is not there (keep_last 0 removed it)"
            )
        if more and not config.resume:  # its numbers would be averaged with those of seeds trained for longer
            raise UserError(
                f"seed {seed} of {files.folder.parent} was trained for {done['epochs']} of the {config.num_epochs} "
                "epochs that are asked for; add --resume 1 to train it further"
            )
        return "resume" if more else "skip"
    if _has_state(files):
        if not config.resume:
            raise UserError(
                f"{files.folder} holds an unfinished training; add --resume 1 to go on with it, "
                "or choose another --model_name"
            )
        return "resume"
    if files.best.exists():
        raise UserError(
            f"{files.best} would be overwritten; evaluate it with --train 0, or choose another --model_name"
        )
    return "start"


def _has_state(files: SeedPaths) -> bool:
    return files.last.exists() or files.last_before.exists()


def _check_files(files: SeedPaths, plan: str) -> None:
    """Check that the files ``plan`` needs can be read, and that a finished seed is unchanged.

    Raises:
        UserError: a file is damaged, changed or not of this program.
    """
    if plan == "resume":
        load_last(files)
    if plan == "skip":
        load(files.best, BEST)
        check_unchanged(files, read_done(files))


def _train_seed(
    experiment: Experiment, seed: int, files: SeedPaths, *, resume: bool, baseline: Path | None, text: str
) -> None:
    """Train one seed to the end, evaluate its best epoch, and mark it as done."""
    config = experiment.config
    state, data = build_state(experiment, seed, baseline=baseline)
    end = end_of(config, state)
    if resume:
        _restore(state, experiment, seed, files)
    remove_leftovers(files.folder)
    files.failed.unlink(missing_ok=True)
    files.done.unlink(missing_ok=True)
    if resume:
        remove_end(files)
    history = History(files.history, keep=state.epoch)
    watch = Watch(seed, seen=read_history(files.history))
    steps = config.evaluate_every_steps or state.sampler.steps_per_epoch
    progress = Progress(seed=seed, first=state.epoch, total=end, shares_terminal=experiment.machine.seeds_at_once > 1)
    begin_seed(seed, state)
    runner = TrainingSteps(state, data, machine=experiment.machine)
    epoch = epoch_of(experiment, runner, seed, after_step=functools.partial(progress.step, steps=steps))
    with Events(files.folder, purge_step=state.epoch) as events, contextlib.closing(progress):
        events.configuration(text)
        with EpochWriter(experiment.machine) as writer:
            while state.epoch < end and not state.should_stop(config.patience_early_stopping):
                epoch_record = epoch()
                is_best = epoch_record.pop("is_best")
                write = functools.partial(
                    _write_epoch,
                    files,
                    history,
                    events,
                    epoch_record,
                    multipliers=training_multipliers(state, data) if state.constraint else None,
                    last=writer.own({**state.state_dict(), "ranks": experiment.machine.ranks}),
                    best=writer.own(checkpoint_content(experiment, seed, state)) if is_best else None,
                )
                writer.put(write)
                assert state.best is not None
                progress.epoch(epoch_record, state.best.value, select=config.select)
                for line in watch.epoch(epoch_record):
                    progress.note(line)
        progress.evaluating()
        stopped_early = config.is_fitted or state.epoch < end  # more epochs would change nothing
        _finish_seed(experiment, seed, files, runner, stopped_early=stopped_early, events=events)


def _write_epoch(
    files: SeedPaths,
    history: History,
    events: Events,
    epoch_record: dict[str, Any],
    *,
    multipliers: Tensor | None,
    last: dict[str, Any],
    best: dict[str, Any] | None,
) -> None:
    """The files of a finished epoch.

    last.pt is written after the records, which a resumed run cuts back to it, and before best.pt, which can be made
    from it. So a kill between any two of them loses nothing.
    """
    history.append(epoch_record)
    events.epoch(epoch_record, multipliers)
    save(files.last, LAST, last)
    if best:
        save(files.best, BEST, best)


def _restore(state: TrainState, experiment: Experiment, seed: int, files: SeedPaths) -> None:
    """Load last.pt, and write best.pt again if it does not belong to it."""
    if note := restore_last(state, files, ranks=experiment.machine.ranks):
        print(f"note: {note}")
    if best_is_missing(state, files):
        save(files.best, BEST, checkpoint_content(experiment, seed, state))


def _finish_seed(
    experiment: Experiment, seed: int, files: SeedPaths, runner: TrainingSteps, *, stopped_early: bool, events: Events
) -> None:
    """Score the best epoch, log the final numbers, mark the seed as done."""
    epochs = runner.state.epoch
    config = experiment.config
    checkpoint = load(files.best, BEST)
    scores = score_checkpoint(experiment, seed, checkpoint, files)
    options = evaluation_options(experiment)
    kind = kind_of(options)
    for part, values in scores.items():
        kind.write(files.scores(part), values)
    if experiment.task.many:
        kind.write(files.last_test, last_scores(experiment, seed, runner))
    result = kind.result(**scores, options=options, stream="bootstrap", seed=seed)
    title, test = f"{config.model_name}, seed {seed}", scores["test"]
    figures = {name: figure({seed: test}, test, result, title=title) for name, figure in kind.figures.items()}
    events.final(test=test, figures=figures, config=asdict(config), result=result, epochs=epochs)
    events.close()  # what is not written yet would be lost if the process were killed now, as a done seed is left alone
    record_end(files, checkpoint, epochs=epochs, num_epochs=config.num_epochs, decisions=decisions_by_class(result))
    write_done(files, best_epoch=checkpoint["epoch"], epochs=epochs, stopped_early=stopped_early)
    if not config.keep_last:
        files.last_before.unlink(missing_ok=True)  # first: where last.pt is not there, no state is
        files.last.unlink(missing_ok=True)
