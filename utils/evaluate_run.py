"""Evaluate the checkpoints of a run."""

from __future__ import annotations

from .best_checkpoint import from_checkpoint, reading_of, result_facts, score_checkpoint
from .checkpointing import BEST, load
from .config import Settings
from .errors import UserError
from .experiment import prepare
from .files import locked
from .results import read_done, report
from .run_paths import RunPaths
from .run_record import record


def evaluate_run(settings: Settings) -> int:
    """Rebuild each model from best.pt alone, score validation and test, write the results."""
    paths = RunPaths.of(settings.config)
    seeds = _evaluated_seeds(settings, paths)
    checkpoints = {seed: load(paths.seed(seed).best, BEST) for seed in seeds}
    merged = {seed: from_checkpoint(settings, content, paths.seed(seed)) for seed, content in checkpoints.items()}
    experiment = prepare(next(iter(merged.values())))
    scores = {
        seed: score_checkpoint(experiment, seed, content, paths.seed(seed)) for seed, content in checkpoints.items()
    }
    stale = [seed for seed, content in checkpoints.items() if content["data_checksum"] != experiment.task.checksum]
    if stale:
        print(f"note: the data differ from those that seeds {' '.join(map(str, stale))} were trained with (checksum)")
    if not paths.config.exists():
        record(paths.config, experiment)
    for seed, parts in scores.items():
        files = paths.seed(seed)
        with locked(files.lock, what=f"seed {seed} of {paths.folder}"):
            for part, values in parts.items():
                values.write(files.scores(part))
    finished = {seed: read_done(paths.seed(seed))["best_epoch"] for seed in paths.seeds_with("done")}
    best_epochs = finished | {seed: int(content["epoch"]) for seed, content in checkpoints.items()}
    facts = result_facts(experiment, paths, min(best_epochs))
    report(paths, best_epochs=dict(sorted(best_epochs.items())), reading=reading_of(experiment), facts=facts)
    return 0


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
