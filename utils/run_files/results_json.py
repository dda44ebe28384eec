"""results.json: the numbers of the finished seeds. Writing it also writes ensemble/ and roc.png."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import UserError
from ..metrics.scores import Scores, averaged
from ..metrics.summary import EvaluationOptions, summary, summary_with_intervals
from ..seeding import numpy_stream
from ..system.files import locked, make_folder, remove_leftovers, write_json
from ..system.installation import called
from ..system.text_files import read_json
from ..training import notices
from .done import read_done, updated_checksums
from .history_jsonl import read_history
from .paths import CALIBRATION, PARTS, RunPaths
from .roc_png import roc_figure, save_figure
from .scores_csv import read_scores, write_scores

Combine = Callable[[list[float]], float | None]
MOST_COMPARED = 10**250  # a number that a float64 holds
DECISION_METRICS = ("precision", "f1", "mcc", "expected_cost")


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
        "test": summary_with_intervals(
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


def default_threshold(results: Mapping[str, Any]) -> float:
    """The default threshold of the run's objective; 0, a score of even odds, if no number is recorded."""
    try:
        value = results["ensemble"]["test"]["at_default_threshold"]["threshold"]
    except (KeyError, TypeError):
        return 0.0
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def rebuild(
    paths: RunPaths,
    *,
    evaluated: Mapping[int, int] = MappingProxyType({}),
    epochs: Mapping[int, int | None] = MappingProxyType({}),
    options: EvaluationOptions,
    facts: Callable[[int], dict[str, Any]],
) -> dict[str, Any]:
    """Write results.json, ensemble/ and roc.png from the score files of the finished seeds.

    Args:
        evaluated: best epochs of seeds that were just evaluated, finished or not.
        epochs: for how many epochs those of them were trained that are not finished; None where it is not known.
        facts: given the number of the first seed, what else results.json records, such as the command and the data
            checksum; "repeats", for the warnings (see ``notices.repeated_images``); and "notes", further warnings.

    Returns:
        The content of results.json.
    """
    with locked(paths.lock, what=f"the results of {paths.folder}", wait=True):
        # read under the lock: another process may have finished a seed while this one waited
        done = {seed: read_done(paths.seed(seed)) for seed in paths.seeds_with("done")}
        finished = {seed: content["best_epoch"] for seed, content in done.items()}
        best_epochs = dict(sorted({**finished, **evaluated}.items()))
        trained = {**epochs, **{seed: content["epochs"] for seed, content in done.items()}}
        files = {seed: paths.seed(seed) for seed in best_epochs}
        scores = {seed: {part: read_scores(own.scores(part)) for part in own.scored} for seed, own in files.items()}
        # after the scores were read, so that the checksums are those of what was read
        sums = {
            seed: updated_checksums(paths.seed(seed), done.get(seed), evaluated=evaluated.get(seed)) for seed in scores
        }
        seeds = {
            str(seed): seed_result(**parts, options=options, stream="bootstrap", seed=seed)
            | {"best_epoch": best_epochs[seed], "epochs": trained.get(seed), "checksums": sums[seed]}
            for seed, parts in scores.items()
        }
        shared = [part for part in (*PARTS, CALIBRATION) if all(part in parts for parts in scores.values())]
        mean_scores = {part: averaged([parts[part] for parts in scores.values()]) for part in shared}
        # each seed chose its own epoch: the ensemble is one of as many as there are combinations
        of_all = replace(options, compared=min(options.compared ** len(scores), MOST_COMPARED))
        ensemble = seed_result(**mean_scores, options=of_all, stream="bootstrap of the ensemble", seed=0)
        known = facts(min(best_epochs))
        repeats, notes = known.pop("repeats", {}), known.pop("notes", [])
        result = {
            "seeds": seeds,
            "mean": combined(list(seeds.values()), statistics.fmean),
            "std": combined(list(seeds.values()), _sample_deviation),
            "ensemble": ensemble,
            "n_seeds": len(seeds),
            "warnings": [
                *warnings(options, ensemble, repeats),
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
            write_scores(paths.ensemble / f"{part}.csv", values)
        tests = {seed: parts["test"] for seed, parts in scores.items()}
        save_figure(roc_figure(tests, mean_scores["test"], ensemble, title=paths.model_name), paths.roc)
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


def combined(blocks: Sequence[dict[str, Any]], combine: Combine) -> dict[str, Any]:
    """``combine`` over the seeds for every number but intervals, thresholds and counts."""
    result: dict[str, Any] = {}
    for part in PARTS:
        parts = [block[part] for block in blocks]
        values = _each(parts, combine, "auc", "auprc", "balanced_accuracy")
        for name in ("fpr_at_tpr", "tpr_at_fpr", "error_at_fpr"):
            values[name] = _each([p[name] for p in parts], combine, *parts[0][name])
        rates = [p["weighted_rate"] for p in parts]
        values["weighted_rate"] = {"alpha": rates[0]["alpha"], **_each(rates, combine, "value")}
        values["cost_ratio"] = parts[0]["cost_ratio"]
        defaults = [p["at_default_threshold"] for p in parts]
        values["at_default_threshold"] = _each(defaults, combine, "tpr", "fpr", "error", *DECISION_METRICS)
        result[part] = values
    tests = [block["test"] for block in blocks]
    result["test"]["thresholds"] = [
        {"rule": points[0]["rule"], "target": points[0]["target"]}
        | _each(points, combine, "tpr", "fpr", *DECISION_METRICS, "balanced_accuracy")
        for points in zip(*(test["thresholds"] for test in tests), strict=True)
    ]
    calibrations = [test["calibration"] for test in tests]
    result["test"]["calibration"] = _each(calibrations, combine, "error", "error_scaled")
    return result


def _each(blocks: Sequence[dict[str, Any]], combine: Combine, *keys: str) -> dict[str, Any]:
    return {key: combine([block[key] for block in blocks]) for key in keys}


def _sample_deviation(values: list[float]) -> float | None:
    """Standard deviation with n - 1; None of a single seed."""
    return statistics.stdev(values) if len(values) > 1 else None


def warnings(options: EvaluationOptions, ensemble: dict[str, Any], repeats: Mapping[str, int]) -> list[str]:
    """The notices about the data (see ``notices.data_notices``)."""
    counts = {
        part: {"negative": ensemble[part]["n_negative"], "positive": ensemble[part]["n_positive"]} for part in PARTS
    }
    return notices.data_notices(counts, tprs=options.tprs, repeats=repeats)


def _training_warnings(paths: RunPaths, seeds: Iterable[int]) -> list[str]:
    """The notices about each seed's epochs; none for a history that cannot be read."""
    lines: list[str] = []
    for seed in seeds:
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError, UserError):
            records = [record for record in read_history(paths.seed(seed).history) if isinstance(record, dict)]
            lines += notices.training_notices(seed, records)
    return lines
