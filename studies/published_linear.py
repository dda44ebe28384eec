"""Linear models on MNIST, class 0 against the rest, trained by full batches: ours beside the published validation AUC.

Subsets of 18,032 of all 70,000 images in class proportion, columns standardised, no bias, weights drawn from N(0, 1),
rows of each class in turn to subtrain and validation; constant step sizes 1e-4 .. 1e5, 4 starts; the number is the
best validation AUC over step sizes and steps. All step sizes and starts of a subset and a loss are trained at once
(published_columns). Each subset and loss is saved when it is done, and skipped by the next call.

Published: up to 100,000 steps, the best after some 32, 194 and 44,889. Here logistic gets all of them, AUM and squared
hinge fewer (MOST), and --most cuts further; more steps could only raise the best AUC. The validation AUC is taken every
fifth step, from step 1,000 on every 25th. A model ends when its AUC has not risen for 5,000 steps, or when from step
5,000 on it is .01 behind the best of its start: smaller steps take the same path more slowly. On two cores, two
processes with --threads 1 and different --subsets are faster than one; the last to finish writes the results.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.synthetic import found_or_synthetic
from studies.published_columns import GRADIENTS, Columns, Model, Side
from studies.published_runs import arguments, exit_code, markdown, mean_and_sd, record, shown, write
from utils.data import load_raw
from utils.data.raw import RawData
from utils.seeding import numpy_stream, torch_stream

NAME = "published_linear"
SAMPLES = 18_032
STEP_SIZES = tuple(10.0**power for power in range(-4, 6))
STARTS = 4
MOST = {"AUM_RATE": 2_000, "SQ_HINGE_PW": 4_000, "BCE": 100_000, "W_LOGISTIC": 100_000}  # steps of a model
PATIENCE = 5_000
MEASURED = 20  # steps that are timed for the estimate
SOURCE = "Hillman, Hocking, JMLR 24, 2023"
# loss -> (name, best validation AUC, step of the best)
THEIRS = {
    "AUM_RATE": ("AUM rate", 0.9969, 32),
    "SQ_HINGE_PW": ("all-pairs squared hinge", 0.9968, 194),
    "BCE": ("logistic", 0.9900, 44_889),
}
SD_OVER_STARTS, SD_OVER_SUBSETS = 0.0002, 0.001  # published, on one subset; ours, between subsets
MOST_BELOW = 0.003


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(argv)
    options.most = {loss: min(most, options.most) for loss, most in MOST.items()}
    if options.quick:
        options.samples, options.subsets, options.most, options.patience = 400, [1], dict.fromkeys(MOST, 40), 20
    if options.threads:
        torch.set_num_threads(options.threads)
    cache = options.checkpoint_root / ("studies" if options.quick else NAME)
    cache.mkdir(parents=True, exist_ok=True)
    with found_or_synthetic("mnist", data_root=options.data_root, quick=options.quick) as data:
        raw = load_raw("mnist", data_root=data.root)
        for subset in options.subsets:
            sides = None
            for loss in options.losses:
                path = cache / f"subset{subset}_{loss}.json"
                if not _is_done(path, options):
                    sides = sides or halves(raw, subset=subset, samples=options.samples)
                    content = one(*sides, options, subset=subset, loss=loss)
                    path.with_suffix(".tmp").write_text(json.dumps(content) + "\n", encoding="utf-8")
                    path.with_suffix(".tmp").replace(path)
        source = data.source
    found = [content for path in sorted(cache.glob("subset*.json")) if _fits(content := _read(path), options)]
    cells = {loss: cell(loss, [item for item in found if item["loss"] == loss]) for loss in GRADIENTS}
    cells = {loss: item for loss, item in cells.items() if item}
    _add_verdicts(cells)
    content = {
        **record(NAME, argv, quick=options.quick),
        "n": "best validation AUC, mean over starts, then over subsets",
        "source": SOURCE,
        "data": source,
        "samples": options.samples,
        "step_sizes": STEP_SIZES,
        "starts": STARTS,
        "patience_steps": options.patience,
        "cells": cells,
    }
    write(content, table(cells), options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__ or "")
    add = parser.add_argument
    add("--quick", action="store_true", help="a few steps on 400 images, to check that it runs")
    add("--data_root", default="datasets", help="folder of the data; without MNIST: images of noise")
    add("--threads", type=int, default=0, help="CPU threads; 0: torch's own choice")
    add("--subsets", nargs="+", type=int, default=[1, 2, 3, 4, 5], help="numbers of the subsets")
    add("--losses", nargs="+", default=list(THEIRS), choices=list(GRADIENTS), help="W_LOGISTIC has no published number")
    add("--samples", type=int, default=SAMPLES, help="images of a subset")
    add("--patience", type=int, default=PATIENCE, help="steps without a new best after which a model ends")
    add("--most", type=int, default=max(MOST.values()), help=f"steps of a model, where that is fewer than {MOST}")
    return parser


def halves(raw: RawData, *, subset: int, samples: int) -> tuple[Side, Side]:
    """Subtrain and validation rows of one subset, standardised over both."""
    images = np.concatenate([raw.train_images, raw.test_images]).reshape(-1, raw.train_images[0].size)
    is_positive = np.concatenate([raw.train_labels, raw.test_labels]) != 0
    rows = in_proportion(is_positive, samples, numpy_stream(subset, "linear rows"))
    features = images[np.concatenate(rows)].astype(np.float64)
    varies = features.max(axis=0) > features.min(axis=0)  # a constant column is 0 when standardised
    features = features[:, varies]
    features = ((features - features.mean(axis=0)) / features.std(axis=0, ddof=1)).astype(np.float32)
    negatives = len(rows[0])
    # negatives first, so that every second row of the whole is every second row of each class, but for one
    sides = []
    for offset in (0, 1):
        part = np.concatenate([features[:negatives][offset::2], features[negatives:][offset::2]])
        sides.append(Side(torch.from_numpy(part), len(features[:negatives][offset::2])))
    return sides[0], sides[1]


def in_proportion(
    is_positive: NDArray[np.bool_], samples: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of negatives and of positives, drawn in their proportion.

    >>> rows = in_proportion(np.arange(10) < 8, 5, np.random.default_rng(0))
    >>> [len(part) for part in rows]
    [1, 4]
    """
    positives = round(samples * float(is_positive.mean()))
    counts = (samples - positives, positives)
    found = (np.flatnonzero(~is_positive), np.flatnonzero(is_positive))
    drawn = [generator.permutation(rows)[:count] for rows, count in zip(found, counts, strict=True)]
    return drawn[0], drawn[1]


def one(subtrain: Side, validation: Side, options: argparse.Namespace, *, subset: int, loss: str) -> dict[str, Any]:
    """Train every step size from every start."""
    models = [Model(step_size, start) for start in range(1, STARTS + 1) for step_size in STEP_SIZES]
    width = subtrain.features.shape[1]
    starts = [torch.randn(width, generator=torch_stream(start, "linear start")) for start in range(1, STARTS + 1)]
    weights = torch.stack([starts[model.start - 1] for model in models])
    most = options.most[loss]
    build = functools.partial(
        Columns, subtrain=subtrain, validation=validation, gradient=GRADIENTS[loss], weights=weights
    )
    begin = time.perf_counter()
    trial = build(models=[Model(m.step_size, m.start) for m in models], patience=MEASURED, most=MEASURED)
    trial.run(lambda columns: None)
    longest = (time.perf_counter() - begin) / MEASURED * most
    title = f"subset {subset}, {loss}"
    print(
        f"{title}: {subtrain.negatives} + {len(subtrain.features) - subtrain.negatives} rows, {width} columns, "
        f"{len(models)} models; at most {longest / 60:.0f} min, if none ended before its last step",
        flush=True,
    )
    begin = time.perf_counter()
    columns = build(models=models, patience=options.patience, most=most)
    columns.run(lambda found: _tell(found, title, time.perf_counter() - begin))
    seconds = time.perf_counter() - begin
    best = max(model.best_auc for model in models)
    print(f"{title}: done in {seconds:.0f} s, best validation AUC {best:.4f}", flush=True)
    return {
        "subset": subset,
        "loss": loss,
        "samples": options.samples,
        "patience": options.patience,
        "most": most,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "models": [asdict(model) for model in models],
    }


def _tell(columns: Columns, title: str, seconds: float) -> None:
    best = max(model.best_auc for model in columns.models)
    left = seconds / columns.step * (columns.most - columns.step)
    print(
        f"{title}: step {columns.step}, {len(columns.alive)} of {len(columns.models)} models left, "
        f"best validation AUC {best:.4f}, {seconds:.0f} s, at most {left:.0f} s to go",
        flush=True,
    )


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _fits(content: Mapping[str, Any], options: argparse.Namespace) -> bool:
    """Whether a saved result has these settings."""
    return all(content[name] == getattr(options, name) for name in ("samples", "patience"))


def _is_done(path: Path, options: argparse.Namespace) -> bool:
    return path.is_file() and _fits(_read(path), options)


def cell(loss: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One loss: the best validation AUC of each start over the step sizes, then means over starts and subsets."""
    if not found:
        return {}
    by_subset = {item["subset"]: [_best(item["models"], start) for start in range(1, STARTS + 1)] for item in found}
    means = [statistics.fmean(model["best_auc"] for model in best) for best in by_subset.values()]
    every = [model for best in by_subset.values() for model in best]
    first = by_subset[min(by_subset)]
    name, theirs, their_step = THEIRS.get(loss, (f"{loss} (not published)", None, None))
    difference = None if theirs is None else statistics.fmean(means) - theirs
    return {
        "name": name,
        "ours": mean_and_sd(means),
        "sd_over_starts": mean_and_sd([model["best_auc"] for model in first])["sd"],
        "step_of_best": statistics.median(model["best_step"] for model in every),
        "step_sizes_chosen": sorted({model["step_size"] for model in every}),
        "theirs": theirs,
        "their_step_of_best": their_step,
        "difference": difference,
        "difference_in_their_sds": None if difference is None else difference / SD_OVER_STARTS,
        "difference_in_sds_over_subsets": None if difference is None else difference / SD_OVER_SUBSETS,
        "subsets": {str(subset): best for subset, best in by_subset.items()},
        "most_steps": {str(item["subset"]): item["most"] for item in found},
        "ended": {reason: _ended(found, reason) for reason in ("flat", "behind", "not finite", "last step")},
    }


def _ended(found: Sequence[Mapping[str, Any]], reason: str) -> int:
    return sum(model["ended"] == reason for item in found for model in item["models"])


def _best(models: Sequence[Mapping[str, Any]], start: int) -> Mapping[str, Any]:
    return max((model for model in models if model["start"] == start), key=lambda model: model["best_auc"])


def _add_verdicts(cells: dict[str, dict[str, Any]]) -> None:
    """A cell falls short if its mean is more than .003 below theirs; AUM also if it is not above logistic."""
    for loss, item in cells.items():
        item["falls_short"] = item["difference"] is not None and item["difference"] < -MOST_BELOW
        if loss == "AUM_RATE" and "BCE" in cells:
            item["above_logistic"] = item["ours"]["mean"] > cells["BCE"]["ours"]["mean"]
            item["falls_short"] |= not item["above_logistic"]


def table(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """Ours with both SDs, theirs, the difference."""
    header = [
        *("loss", "ours +- SD over subsets", "SD over starts", "theirs", "difference"),
        *(f"in their SDs ({SD_OVER_STARTS})", "", "steps to the best, median", "theirs", "steps, at most"),
    ]
    rows = []
    for item in cells.values():
        published = item["theirs"] is not None
        verdict = "falls short" if item["falls_short"] else "holds"
        rows.append(
            [
                *(item["name"], f"{shown(item['ours'], 4)} (n {item['ours']['n']})", f"{item['sd_over_starts']:.4f}"),
                f"{item['theirs']:.4f}" if published else "",
                f"{item['difference']:+.4f}" if published else "",
                f"{item['difference_in_their_sds']:+.1f}" if published else "",
                verdict if published else "",
                *(f"{item['step_of_best']:g}", f"{item['their_step_of_best']}" if published else ""),
                _by_subset(item["most_steps"]),
            ]
        )
    return markdown(header, rows)


def _by_subset(values: Mapping[str, int]) -> str:
    """One number if all subsets share it, else the number of each.

    >>> _by_subset({"1": 10, "2": 10}), _by_subset({"1": 10, "2": 5})
    ('10', '1: 10, 2: 5')
    """
    if len(set(values.values())) == 1:
        return str(next(iter(values.values())))
    return ", ".join(f"{subset}: {value}" for subset, value in values.items())


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
