"""results.json: the numbers of the finished seeds. Writing it also writes ensemble/ and roc.png."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..metrics.class_summary import ClassEvaluation, class_summary, class_summary_with_intervals
from ..metrics.over_seeds import combined, combined_classes, sample_deviation
from ..metrics.scores import ClassScores, Scores, averaged, averaged_classes
from ..metrics.summary import EvaluationOptions, summary, summary_with_intervals
from ..seeding import numpy_stream
from ..system.files import locked, make_folder, remove_leftovers, write_json
from ..system.installation import called
from ..system.text_files import read_json
from ..training import notices
from .class_figures import class_roc_figure, confusion_figure
from .class_scores_csv import read_class_scores, write_class_scores
from .done import read_done, updated_checksums
from .history_jsonl import read_history
from .paths import CALIBRATION, PARTS, RunPaths, SeedPaths
from .roc_png import roc_figure, save_figure
from .scores_csv import read_scores, write_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COMPARED = 10**250  # a number that a float64 holds


def seed_result(
    validation: Scores,
    test: Scores,
    calibration: Scores | None = None,
    *,
    options: EvaluationOptions,
    stream: str,
    seed: int,
) -> dict[str, Any]:
    """The blocks of validation and test; ``stream`` and ``seed`` name the random stream of the interval of the AUC."""
    generator = numpy_stream(seed, stream)
    return {
        "validation": summary(validation, options=options),
        "test": summary_with_intervals(validation, test, calibration=calibration, options=options, generator=generator),
    }


def class_seed_result(
    validation: ClassScores,
    test: ClassScores,
    calibration: ClassScores | None = None,
    *,
    options: ClassEvaluation,
    stream: str,
    seed: int,
) -> dict[str, Any]:
    """The same of K classes."""
    generator = numpy_stream(seed, stream)
    return {
        "validation": class_summary(validation, options=options),
        "test": class_summary_with_intervals(
            validation, test, calibration=calibration, options=options, generator=generator
        ),
    }


def read_results(path: Path) -> dict[str, Any]:
    """The content of results.json; under "seeds" it has a mapping of blocks, whose content is not checked.

    Raises:
        UserError: the file is missing or is not what ``rebuild`` writes.
    """
    try:
        content: dict[str, Any] = read_json(path)
        if not all(isinstance(block, dict) for block in content["seeds"].values()):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"cannot read {path}; {called('train')} --train 0 writes it anew") from None
    return content


def default_threshold(results: Mapping[str, Any], critical: str = "") -> float:
    """The default threshold of the run's objective; 0, a score of even odds, if no number is recorded.

    Args:
        results: the content of results.json.
        critical: of K classes the critical one that is meant.
    """
    try:
        block = results["ensemble"]["test"]
        value = (block["critical"][critical] if critical else block)["at_default_threshold"]["threshold"]
    except (KeyError, TypeError):
        return 0.0
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def rebuild(
    paths: RunPaths,
    *,
    evaluated: Mapping[int, int] = MappingProxyType({}),
    epochs: Mapping[int, int | None] = MappingProxyType({}),
    options: EvaluationOptions | ClassEvaluation,
    facts: Callable[[int], dict[str, Any]],
) -> dict[str, Any]:
    """Write results.json, ensemble/ and roc.png from the score files of the finished seeds.

    Args:
        evaluated: best epochs of seeds that were just evaluated, finished or not.
        epochs: for how many epochs those of them were trained that are not finished; None where it is not known.
        facts: given the number of the first seed, what else results.json records, such as the command and the data
            checksum; "class_counts" of each set; "repeats", for the warnings (see ``notices.repeated_images``); and
            "notes", further warnings.

    Returns:
        The content of results.json.
    """
    kind = kind_of(options)
    with locked(paths.lock, what=f"the results of {paths.folder}", wait=True):
        # read under the lock: another process may have finished a seed while this one waited
        done = {seed: read_done(paths.seed(seed)) for seed in paths.seeds_with("done")}
        finished = {seed: content["best_epoch"] for seed, content in done.items()}
        best_epochs = dict(sorted({**finished, **evaluated}.items()))
        trained = {**epochs, **{seed: content["epochs"] for seed, content in done.items()}}
        files = {seed: paths.seed(seed) for seed in best_epochs}
        scores = {seed: {part: kind.read(own.scores(part)) for part in own.scored} for seed, own in files.items()}
        # after the scores were read, so that the checksums are those of what was read
        sums = {
            seed: updated_checksums(paths.seed(seed), done.get(seed), evaluated=evaluated.get(seed)) for seed in scores
        }
        seeds = {
            str(seed): kind.result(**parts, options=options, stream="bootstrap", seed=seed)
            | {"best_epoch": best_epochs[seed], "epochs": trained.get(seed), "checksums": sums[seed]}
            | kind.last_epoch(files[seed], options)
            for seed, parts in scores.items()
        }
        shared = [part for part in (*PARTS, CALIBRATION) if all(part in parts for parts in scores.values())]
        mean_scores = {part: kind.averaged([parts[part] for parts in scores.values()]) for part in shared}
        # each seed chose its own epoch: the ensemble is one of as many as there are combinations
        of_all = options.with_compared(lambda number: min(number ** len(scores), MOST_COMPARED))
        ensemble = kind.result(**mean_scores, options=of_all, stream="bootstrap of the ensemble", seed=0)
        known = facts(min(best_epochs))
        repeats, notes = known.pop("repeats", {}), known.pop("notes", [])
        result = {
            "seeds": seeds,
            "mean": kind.combined(list(seeds.values()), statistics.fmean),
            "std": kind.combined(list(seeds.values()), sample_deviation),
            "ensemble": ensemble,
            "n_seeds": len(seeds),
            "warnings": [
                *kind.warnings(options, known["class_counts"], repeats),
                *notes,
                *_shorter_seeds(done),
                *_training_warnings(paths, best_epochs),
            ],
            **known,
        }
        make_folder(paths.ensemble)
        for folder in (paths.folder, paths.ensemble):
            remove_leftovers(folder)
        for part, values in mean_scores.items():
            kind.write(paths.ensemble / f"{part}.csv", values)
        tests = {seed: parts["test"] for seed, parts in scores.items()}
        for name, figure in kind.figures.items():
            save_figure(figure(tests, mean_scores["test"], ensemble, title=paths.model_name), paths.folder / name)
        write_json(paths.results, result)
    return result


def _shorter_seeds(done: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Of each seed that ended, without early stopping, after fewer epochs than another one."""
    most = max((content["epochs"] for content in done.values()), default=0)
    return [
        f"seed {seed} was trained for {content['epochs']} epochs, another seed for {most}: mean, SD and ensemble mix "
        "the two; train it further with --resume 1"
        for seed, content in sorted(done.items())
        if content["epochs"] < most and not content["stopped_early"]
    ]


def warnings(options: EvaluationOptions, counts: notices.Counts, repeats: Mapping[str, int]) -> list[str]:
    """The notices about the data (see ``notices.data_notices``)."""
    return notices.data_notices(counts, tprs=options.tprs, repeats=repeats)


def last_epoch_of(files: SeedPaths, options: ClassEvaluation) -> dict[str, Any]:
    """The numbers of the test set at the end of a seed's training, which publications report; chosen by nothing."""
    if not files.last_test.exists():
        return {}
    block = class_summary(read_class_scores(files.last_test), options=options)
    return {"last_epoch": {name: block[name] for name in ("auc", "accuracy", "balanced_accuracy", "recall")}}


def class_warnings(options: ClassEvaluation, counts: notices.Counts, repeats: Mapping[str, int]) -> list[str]:
    """The same of K classes."""
    return notices.class_notices(counts, critical=tuple(options.critical), tprs=options.tprs, repeats=repeats)


@dataclass(frozen=True)
class ScoredKind:
    """What differs between the results of two sides and those of K classes."""

    read: Callable[[Path], Any]
    write: Callable[[Path, Any], None]
    averaged: Callable[[Sequence[Any]], Any]
    result: Callable[..., dict[str, Any]]
    combined: Callable[..., dict[str, Any]]
    warnings: Callable[..., list[str]]
    figures: dict[str, Callable[..., Figure]]  # by the name of their file
    last_epoch: Callable[[SeedPaths, Any], dict[str, Any]]  # what results.json says of a seed's last epoch


TWO_SIDES = ScoredKind(
    read_scores,
    write_scores,
    averaged,
    seed_result,
    combined,
    warnings,
    {RunPaths.roc_name: roc_figure},
    lambda files, options: {},
)
K_CLASSES = ScoredKind(
    read_class_scores,
    write_class_scores,
    averaged_classes,
    class_seed_result,
    combined_classes,
    class_warnings,
    {RunPaths.roc_name: class_roc_figure, RunPaths.confusion_name: confusion_figure},
    last_epoch_of,
)


def kind_of(options: EvaluationOptions | ClassEvaluation) -> ScoredKind:
    """How scores that are evaluated so are read, written and summarised."""
    return K_CLASSES if isinstance(options, ClassEvaluation) else TWO_SIDES


def _training_warnings(paths: RunPaths, seeds: Iterable[int]) -> list[str]:
    """The notices about each seed's epochs; none for a history that cannot be read."""
    lines: list[str] = []
    for seed in seeds:
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError, UserError):
            records = [record for record in read_history(paths.seed(seed).history) if isinstance(record, dict)]
            lines += notices.training_notices(seed, records)
    return lines
