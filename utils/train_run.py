"""Train the seeds of a run, one after the other."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path

from .best_checkpoint import checkpoint_content, reading_of, result_facts, score_checkpoint
from .checkpointing import BEST, LAST, load, save
from .config import Settings
from .errors import UserError
from .experiment import Experiment, build_state, prepare
from .figures import roc_figure
from .files import locked, make_folder, remove_leftovers, write_text
from .options import Config
from .results import read_done, report, seed_result, write_done
from .run_paths import RunPaths, SeedPaths
from .run_record import compare, read, record
from .tracking import Events, History, Progress
from .training import NonFiniteLossError, TrainState, train_epoch, training_multipliers


def train_run(settings: Settings) -> int:
    """Train what is not trained yet, then write and print the results of all finished seeds of the run."""
    experiment = prepare(settings)
    config, paths = experiment.config, RunPaths.of(experiment.config)
    baselines = _baselines(config)
    if paths.config.exists():
        compare(read(paths.config), experiment, paths.config)
    for seed in config.seeds:  # before anything is written: may each of them start?
        if seed in baselines:
            build_state(experiment, seed, baseline=baselines[seed])
        if paths.seed(seed).folder.exists():
            with locked(paths.seed(seed).lock, what=f"seed {seed} of {paths.folder}"):
                _check_files(paths.seed(seed), _plan(paths.seed(seed), config, seed))
    for seed in paths.seeds_with("done"):
        read_done(paths.seed(seed))
    make_folder(paths.folder)
    with locked(paths.lock, what=f"the run {paths.folder}", wait=True):
        text = record(paths.config, experiment)
    _announce(experiment, paths)
    failures: dict[int, str] = {}
    for seed in config.seeds:
        files = paths.seed(seed)
        make_folder(files.folder)
        with locked(files.lock, what=f"seed {seed} of {paths.folder}"):
            plan = _plan(files, config, seed)
            if plan == "skip":
                print(f"seed {seed}: done before and kept; another --model_name trains anew")
                continue
            try:
                _train_seed(experiment, seed, files, resume=plan == "resume", baseline=baselines.get(seed), text=text)
            except NonFiniteLossError as error:
                failures[seed] = str(error)
                write_text(files.failed, f"{error}\n")
                print(f"seed {seed} stopped: {error}")
    if paths.seeds_with("done"):
        report(paths, reading=reading_of(experiment), facts=lambda seed: result_facts(experiment, paths, seed))
    return 1 if failures else 0


def _plan(files: SeedPaths, config: Config, seed: int) -> str:
    """``start``, ``resume`` or ``skip``.

    Raises:
        UserError: the folder holds an unfinished training or foreign weights, and the command does not say what to do.
    """
    if files.done.exists():
        done = read_done(files)
        more = not config.continue_train and config.num_epochs > done["epochs"] and not done["stopped_early"]
        if config.resume and more and not files.last.exists():
            raise UserError(
                f"seed {seed} cannot be trained further: {files.last} is not there (keep_last 0 removed it)"
            )
        return "resume" if config.resume and more else "skip"
    if files.last.exists():
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


def _check_files(files: SeedPaths, plan: str) -> None:
    """Whether the files that ``plan`` needs can be read.

    Raises:
        UserError: one is damaged or of another program.
    """
    if plan == "resume":
        load(files.last, LAST)
    if plan == "skip" or (plan == "resume" and files.best.exists()):
        load(files.best, BEST)


def _baselines(config: Config) -> dict[int, Path]:
    """best.pt of each seed's baseline, where training goes on from one."""
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


def _announce(experiment: Experiment, paths: RunPaths) -> None:
    task, config, machine = experiment.task, experiment.config, experiment.machine
    counts = task.class_counts(task.split(config.seeds[0]))
    shown = ", ".join(f"{part} {count['negative']} : {count['positive']}" for part, count in counts.items())
    constraint = f" + ALM (delta {config.delta:g}, mu {config.mu:g})" if config.use_ALM else ""
    print(f"{task.name} 1:{config.ratio_pos_train}  negatives : positives  {shown}")
    print(
        f"{config.resnet_type}, {config.training_type}{constraint}, seeds {' '.join(map(str, config.seeds))}, "
        f"on {machine.name} ({machine.threads} threads, {machine.precision}) -> {paths.folder}"
    )


def _train_seed(
    experiment: Experiment, seed: int, files: SeedPaths, *, resume: bool, baseline: Path | None, text: str
) -> None:
    """Train one seed to its end, evaluate its best epoch, mark it as done."""
    config = experiment.config
    state, data = build_state(experiment, seed, baseline=baseline)
    first = state.epoch
    end = first + config.continue_train_epochs if config.continue_train else config.num_epochs
    if resume:
        _restore(state, experiment, seed, files)
    remove_leftovers(files.folder)
    files.failed.unlink(missing_ok=True)
    files.done.unlink(missing_ok=True)
    history = History(files.history, keep=state.epoch)
    steps = config.evaluate_every_steps or state.sampler.steps_per_epoch
    progress = Progress(seed=seed, first=state.epoch, total=end)
    with Events(files.folder, purge_step=state.epoch) as events, contextlib.closing(progress):
        events.configuration(text)
        while state.epoch < end and not state.should_stop(config.patience_early_stopping):
            epoch_record = train_epoch(state, data, steps=steps, delta=config.delta, machine=experiment.machine)
            is_best = epoch_record.pop("is_best")
            # last.pt after the records, which a resumed run cuts back to it, and before best.pt, which is made from it:
            # so a kill between any two of them loses nothing
            history.append(epoch_record)
            events.epoch(epoch_record, training_multipliers(state, data) if state.constraint else None)
            save(files.last, LAST, state.state_dict())
            if is_best:
                save(files.best, BEST, checkpoint_content(experiment, seed, state))
            assert state.best is not None
            progress.epoch(epoch_record, state.best.val_auc)
        progress.close()  # before the next line is printed
        _finish_seed(experiment, seed, files, epochs=state.epoch, stopped_early=state.epoch < end, events=events)


def _restore(state: TrainState, experiment: Experiment, seed: int, files: SeedPaths) -> None:
    """Load last.pt, and make sure that best.pt belongs to it."""
    content = load(files.last, LAST)
    try:
        state.load_state_dict(content)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{files.last} does not belong to this run ({type(error).__name__}); remove {files.folder}"
        ) from None
    assert state.best is not None
    if state.best.epoch == state.epoch - 1:
        save(files.best, BEST, checkpoint_content(experiment, seed, state))
    elif load(files.best, BEST)["epoch"] != state.best.epoch:
        raise UserError(f"{files.best} is not of epoch {state.best.epoch} as {files.last} says; remove {files.folder}")


def _finish_seed(
    experiment: Experiment, seed: int, files: SeedPaths, *, epochs: int, stopped_early: bool, events: Events
) -> None:
    """Score the best epoch, log the final numbers, mark the seed as done."""
    config = experiment.config
    checkpoint = load(files.best, BEST)
    scores = score_checkpoint(experiment, seed, checkpoint, files)
    for part, values in scores.items():
        values.write(files.scores(part))
    result = seed_result(**scores, reading=reading_of(experiment), stream="bootstrap", seed=seed)
    figure = roc_figure({seed: scores["test"]}, scores["test"], result, title=f"{config.model_name}, seed {seed}")
    events.final(test=scores["test"], figure=figure, config=asdict(config), result=result, epochs=epochs)
    write_done(files, best_epoch=checkpoint["epoch"], epochs=epochs, stopped_early=stopped_early)
    if not config.keep_last:
        files.last.unlink(missing_ok=True)
