"""From the scores of the finished seeds to results.json, the ensemble, the ROC picture and the printed table."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import UserError
from ..metrics.scores import Scores, averaged
from ..metrics.summary import EvaluationOptions, summary, summary_with_intervals
from ..seeding import numpy_stream
from ..system.files import locked, make_folder, remove_leftovers, write_json
from ..system.text_files import read_json
from ..training import notices
from .checksums import PARTS, REMEDY, changed_files, checksums
from .history import read_history
from .paths import RunPaths, SeedPaths
from .roc_png import roc_figure, save_figure
from .scores_csv import read_scores, write_scores

Combine = Callable[[list[float]], float | None]
OF_CALLS = ("precision", "f1", "mcc", "expected_cost")


def seed_result(
    validation: Scores, test: Scores, *, options: EvaluationOptions, stream: str, seed: int
) -> dict[str, Any]:
    """The blocks of validation and test; ``stream`` and ``seed`` name the random stream of the bootstrap."""
    generator = numpy_stream(seed, stream)
    return {
        "validation": summary(validation, options=options),
        "test": summary_with_intervals(validation, test, options=options, generator=generator),
    }


def rebuild(
    paths: RunPaths,
    *,
    evaluated: Mapping[int, int] = MappingProxyType({}),
    options: EvaluationOptions,
    facts: Callable[[int], dict[str, Any]],
) -> dict[str, Any]:
    """Write results.json, ensemble/ and roc.png from the score files of the finished seeds.

    Args:
        evaluated: best epochs of seeds that count without being finished.
        facts: what else results.json says, such as the command and the data checksum, given the first seed's number;
            and "repeats", of which it warns (see ``notices.repeated_images``).

    Returns:
        The content of results.json.
    """
    with locked(paths.lock, what=f"the results of {paths.folder}", wait=True):
        # read under the lock: another process may have finished a seed while this one waited
        done = {seed: read_done(paths.seed(seed)) for seed in paths.seeds_with("done")}
        finished = {seed: content["best_epoch"] for seed, content in done.items()}
        best_epochs = dict(sorted({**finished, **evaluated}.items()))
        scores = {seed: {part: read_scores(paths.seed(seed).scores(part)) for part in PARTS} for seed in best_epochs}
        # after the reading, so that what was read is what is vouched for
        sums = {seed: _vouched(paths.seed(seed), done.get(seed), evaluated=evaluated.get(seed)) for seed in scores}
        seeds = {
            str(seed): seed_result(**parts, options=options, stream="bootstrap", seed=seed)
            | {"best_epoch": best_epochs[seed], "checksums": sums[seed]}
            for seed, parts in scores.items()
        }
        mean_scores = {part: averaged([parts[part] for parts in scores.values()]) for part in PARTS}
        ensemble = seed_result(**mean_scores, options=options, stream="bootstrap of the ensemble", seed=0)
        known = facts(min(best_epochs))
        repeats = known.pop("repeats", {})
        result = {
            "seeds": seeds,
            "mean": combined(list(seeds.values()), statistics.fmean),
            "std": combined(list(seeds.values()), _sample_deviation),
            "ensemble": ensemble,
            "n_seeds": len(seeds),
            "warnings": [*warnings(options, ensemble, repeats), *_of_training(paths, best_epochs)],
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


def combined(blocks: Sequence[dict[str, Any]], combine: Combine) -> dict[str, Any]:
    """``combine`` over the seeds for every single number; intervals, thresholds and counts are left out."""
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
        values["at_default_threshold"] = _each(defaults, combine, "tpr", "fpr", "error", *OF_CALLS)
        result[part] = values
    tests = [block["test"] for block in blocks]
    result["test"]["thresholds"] = [
        {"rule": points[0]["rule"], "target": points[0]["target"]}
        | _each(points, combine, "tpr", "fpr", *OF_CALLS, "balanced_accuracy")
        for points in zip(*(test["thresholds"] for test in tests), strict=True)
    ]
    calibrations = [test["calibration"] for test in tests]
    result["test"]["calibration"] = _each(calibrations, combine, "error", "error_scaled")
    return result


def _each(blocks: Sequence[dict[str, Any]], combine: Combine, *keys: str) -> dict[str, Any]:
    return {key: combine([block[key] for block in blocks]) for key in keys}


def _sample_deviation(values: list[float]) -> float | None:
    """Standard deviation with n - 1; of a single seed there is none."""
    return statistics.stdev(values) if len(values) > 1 else None


def warnings(options: EvaluationOptions, ensemble: dict[str, Any], repeats: Mapping[str, int]) -> list[str]:
    """What the data cannot tell, and what they tell twice (see ``notices.of_data``)."""
    counts = {
        part: {"negative": ensemble[part]["n_negative"], "positive": ensemble[part]["n_positive"]} for part in PARTS
    }
    return notices.of_data(counts, tprs=options.tprs, repeats=repeats)


def _of_training(paths: RunPaths, seeds: Iterable[int]) -> list[str]:
    """What is to be said of each seed's epochs; of a history that cannot be read, nothing."""
    lines: list[str] = []
    for seed in seeds:
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError, UserError):
            records = [record for record in read_history(paths.seed(seed).history) if isinstance(record, dict)]
            lines += notices.of_training(seed, records)
    return lines


def table(result: dict[str, Any]) -> str:
    """The numbers of the test set as text: a line a seed, their mean and SD, the ensemble with its intervals."""
    tprs = list(result["ensemble"]["test"]["fpr_at_tpr"])
    header = ["", "best epoch", "val AUC", "test AUC", *(f"FPR@{float(tpr) * 100:g}TPR" for tpr in tprs)]
    rows = [header]
    for seed, values in result["seeds"].items():
        rows.append([f"seed {seed}", str(values["best_epoch"]), *_row(values, tprs)])
    if result["n_seeds"] > 1:
        rows.append(["mean", "", *_row(result["mean"], tprs)])
        rows.append(["SD", "", *_row(result["std"], tprs)])
        rows.append(["ensemble", "", *_row(result["ensemble"], tprs)])
    rows.append(["  95 % interval", "", "", *_intervals(result["ensemble"]["test"], tprs)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    test = result["ensemble"]["test"]
    lines.append(f"test set: {test['n_positive']} positives, {test['n_negative']} negatives; FPR in %")
    return "\n".join(lines)


def _row(values: dict[str, Any], tprs: Sequence[str]) -> list[str]:
    test = values["test"]
    cells = [f"{values['validation']['auc']:.4f}", f"{test['auc']:.4f}"]
    return [*cells, *(f"{test['fpr_at_tpr'][tpr] * 100:.1f}" for tpr in tprs)]


def _intervals(test: dict[str, Any], tprs: Sequence[str]) -> list[str]:
    low, high = test["auc_interval"]
    pairs = [test["fpr_at_tpr_interval"][tpr] for tpr in tprs]
    return [f"[{low:.3f}, {high:.3f}]", *(f"[{a * 100:.1f}, {b * 100:.1f}]" for a, b in pairs)]


def report(
    paths: RunPaths,
    *,
    evaluated: Mapping[int, int] = MappingProxyType({}),
    options: EvaluationOptions,
    facts: Callable[[int], dict[str, Any]],
    warned: bool = False,
) -> None:
    """Rebuild the results (see ``rebuild``), print the table and where to look; and the warnings, unless they were."""
    result = rebuild(paths, evaluated=evaluated, options=options, facts=facts)
    print(f"\n{table(result)}")
    for line in [] if warned else result["warnings"]:
        print(f"note: {line}")
    print(f"\nROC picture  {paths.roc}\nnumbers      {paths.results}\nTensorBoard  tensorboard --logdir {paths.root}")


def write_done(files: SeedPaths, *, best_epoch: int, epochs: int, stopped_early: bool) -> None:
    """Mark a seed as trained and evaluated, and record which weights and scores that means."""
    finished = time.strftime("%Y-%m-%d %H:%M:%S")
    content = {"finished": finished, "epochs": epochs, "stopped_early": stopped_early, "best_epoch": best_epoch}
    write_json(files.done, {**content, "checksums": checksums(files)})


def check_done(files: SeedPaths) -> dict[str, str]:
    """The checksums of a finished seed's files.

    Raises:
        UserError: the files are not those with which the seed was finished.
    """
    return _unchanged(files, read_done(files))


def _unchanged(files: SeedPaths, done: dict[str, Any]) -> dict[str, str]:
    recorded, found = done.get("checksums"), checksums(files)
    changed = changed_files(recorded, found)
    if isinstance(recorded, dict) and changed and not files.done.exists():  # trained further: the numbers are of before
        return {**found, **recorded}
    if changed:
        raise UserError(
            f"{' and '.join(changed)} in {files.folder} changed after the seed was finished; {REMEDY}"
        )
    return found


def _vouched(files: SeedPaths, done: dict[str, Any] | None, *, evaluated: int | None) -> dict[str, str]:
    """The checksums of a seed that counts; what was just evaluated (its best epoch) is what ``done`` records from now.

    Raises:
        UserError: a finished seed was changed; or it is in use.
    """
    if done is None:
        return checksums(files)
    if evaluated is not None:
        found = checksums(files)
        if done["best_epoch"] != evaluated or changed_files(done.get("checksums"), found):
            with locked(files.lock, what=str(files.folder)):
                done = {**read_done(files), "best_epoch": evaluated, "checksums": found}
                write_json(files.done, done)
    return _unchanged(files, done)


def read_done(files: SeedPaths) -> dict[str, Any]:
    """What ``write_done`` wrote.

    Raises:
        UserError: it is damaged.
    """
    try:
        content: dict[str, Any] = read_json(files.done)
        needed = {"epochs": int, "best_epoch": int, "stopped_early": bool}
        if not all(isinstance(content[name], kind) for name, kind in needed.items()):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"cannot read {files.done}; remove it and add --resume 1") from None
    return content
