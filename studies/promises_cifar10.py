"""Promised thresholds on real images: LeNet5 on the CIFAR-10 pair, calibrated on trucks that training never saw.

Train first (the pair's positives are trucks; .4 of them, 2,000, are kept for calibration):

    python main.py --dataset_name cifar10 --resnet_type lenet5 --name_file_bs bce_balanced --calibration_fraction 0.4 \\
        --seeds 1-10 --num_epochs 10 --threads 1 --model_name promises_cifar10

In each of 50 draws of each seed, n of the kept trucks give a threshold by each rule. Its TPR is counted on the trucks
of the test set and on the kept ones that were not drawn.

A counted TPR has a sampling error of its own, so a promise that is kept is still seen to be missed now and then. How
often is known: of m new positives the number below the (k+1)-th of n is beta-binomial, BetaBin(m, k + 1, n - k),
whatever the scores, as long as old and new are exchangeable. "expected" is the chance that it leaves fewer than the
wanted TPR. All draws and seeds share one test set, whose trucks may be a little harder or easier than the kept ones by
chance, so that the shares on it scatter together; each draw has its own set of kept trucks to count on.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import betabinom

from studies.published_runs import arguments, exit_code, markdown, record, write
from utils.errors import UserError
from utils.metrics.promised_thresholds import allowed_misses
from utils.metrics.roc import Array
from utils.run_files.config_yaml import read_config
from utils.run_files.paths import RunPaths
from utils.run_files.scores_csv import read_scores
from utils.seeding import numpy_stream

NAME = "promises_cifar10"
SIZES, TPRS, RISK = (60, 150, 200, 500), (0.90, 0.95, 0.98), 0.05
RULES = ("plug-in", "NP", "CRC")


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--run", default=NAME, help="model_name of the run")
    parser.add_argument("--draws", type=int, default=50, help="calibration sets of each size and seed")
    options = parser.parse_args(argv)
    paths = RunPaths(options.checkpoint_root, "runs", options.run)
    seeds = paths.seeds_with("done")
    if not seeds or not paths.seed(seeds[0]).scores("calibration").is_file():
        raise UserError(f"no finished seed with a calibration set in {paths.root}: train it first, see the source")
    scores = {
        seed: tuple(positives(paths.seed(seed).scores(part)) for part in ("calibration", "test")) for seed in seeds
    }
    rows = [row for seed in seeds for row in of_seed(*scores[seed], seed=seed, draws=options.draws)]
    config = read_config(paths.config)
    content = record(NAME, argv) | {
        "training": [portable(command) for command in config["commands"]],
        "class_counts": config["class_counts"],
        "seeds": seeds,
        "draws": options.draws,
        "rows": summarised(rows),
        "harder": [harder(list(scores.values()), tpr) for tpr in TPRS],
    }
    write(content, text(content), options.out)
    return 0


def portable(command: str) -> str:
    """The command without the folders of this machine."""
    words = shlex.split(command)
    kept = [word for at, word in enumerate(words) if not {word, words[at - 1]} & {"--data_root", "--checkpoint_root"}]
    return shlex.join(kept)


def positives(path: Path) -> Array:
    """Scores of the positives in a file."""
    scores = read_scores(path)
    found: Array = scores.score[scores.label == 1]
    return found


def order(rule: str, n: int, tpr: float) -> int | None:
    """k of the threshold S_(k+1) of ``threshold_at_tpr``, ``np_threshold`` and ``crc_threshold``."""
    if rule == "NP":
        return allowed_misses(n, 1 - tpr, RISK)
    k = n - math.ceil(n * tpr - 1e-9) if rule == "plug-in" else math.floor((1 - tpr) * (n + 1) + 1e-9) - 1
    return k if k >= 0 else None


def of_seed(kept: Array, test: Array, *, seed: int, draws: int) -> list[dict[str, Any]]:
    """The TPR of each rule, size and draw on the test positives and on the kept ones that were not drawn."""
    generator = numpy_stream(seed, "promises on CIFAR-10")
    rows = []
    for n, _ in product(SIZES, range(draws)):
        shuffled = generator.permutation(kept)
        drawn, counted = np.sort(shuffled[:n]), {"test": test, "rest": shuffled[n:]}
        for tpr, rule in product(TPRS, RULES):
            k = order(rule, n, tpr)
            if k is not None:
                reached = {name: float((part >= drawn[k]).mean()) for name, part in counted.items()}
                counts = {f"{name} n": len(part) for name, part in counted.items()}
                rows.append({"seed": seed, "positives": n, "TPR": tpr, "rule": rule, "k": k} | reached | counts)
    return rows


def harder(scores: Sequence[tuple[Array, ...]], tpr: float) -> dict[str, float]:
    """The share of the test positives at a threshold that ``tpr`` of all kept ones reach, and its standard error."""
    reached = [(test >= np.sort(kept)[len(kept) - math.ceil(len(kept) * tpr - 1e-9)]).mean() for kept, test in scores]
    kept, test = scores[0]
    error = math.sqrt(tpr * (1 - tpr) * (1 / len(kept) + 1 / len(test)))  # of one seed; the seeds share the images
    return {"TPR": tpr, "test": float(np.mean(reached)), "SE": error}


def expected_misses(n: int, k: int, m: int, tpr: float) -> float:
    """P(fewer than m tpr of m new positives reach the (k+1)-th lowest of n), of exchangeable scores without ties.

    >>> round(expected_misses(1, 0, 1, 0.5), 3)    # the new one lies below the old one
    0.5
    """
    most_below = m - math.ceil(m * tpr - 1e-9)
    return float(betabinom.sf(most_below, m, k + 1, n - k))


def summarised(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Over seeds and draws: how often the TPR was missed, and its mean, on each of the two sets."""
    result = []
    for n, tpr, rule in product(SIZES, TPRS, RULES):
        found = [row for row in rows if (row["positives"], row["TPR"], row["rule"]) == (n, tpr, rule)]
        item: dict[str, Any] = {"positives": n, "TPR": tpr, "rule": rule, "calibrations": len(found)}
        for part in ("test", "rest") if found else ():
            reached = np.array([row[part] for row in found])
            missed = {
                seed: float(np.mean([row[part] < tpr - 1e-9 for row in found if row["seed"] == seed]))
                for seed in sorted({row["seed"] for row in found})
            }
            item[part] = {
                "misses": float((reached < tpr - 1e-9).mean()),
                "misses_of_seeds": list(missed.values()),
                "expected": expected_misses(n, found[0]["k"], found[0][f"{part} n"], tpr),
                "mean": float(reached.mean()),
                "n": found[0][f"{part} n"],
            }
        result.append(item)
    return result


def text(content: dict[str, Any]) -> str:
    """The table; a dash where n gives no such threshold."""
    header = ["positives", "TPR", "rule", "promised"]
    for part in ("test set", "trucks not drawn"):
        header += [f"missed, {part}", "expected", "mean TPR"]
    promised = {"plug-in": "nothing", "NP": f"missed <= {RISK:g}", "CRC": "mean >= TPR"}
    rows = []
    for item in content["rows"]:
        cells = [f"{item['positives']}", f"{item['TPR']:.2f}", item["rule"], promised[item["rule"]]]
        for part in ("test", "rest"):
            seen = item.get(part)
            cells += [f"{seen['misses']:.3f}", f"{seen['expected']:.3f}", f"{seen['mean']:.4f}"] if seen else ["-"] * 3
        rows.append(cells)
    counts = {part: side["positive"] for part, side in content["class_counts"].items()}
    head = (
        f"`{content['training'][0]}`\n\n{len(content['seeds'])} seeds x {content['draws']} draws of n of the "
        f"{counts['calibration']} trucks that neither training ({counts['train']} trucks) nor the choice of the epoch "
        f"({counts['validation']}) looked at; TPR counted on the {counts['test']} trucks of the test set, and on the "
        'kept ones that were not drawn. "expected": how often a miss would be seen if calibrated and counted trucks '
        "are exchangeable, with the counted set's own sampling error. All draws and seeds share the one test set, so "
        "the shares on it scatter together: thresholds that "
        + " / ".join(f"{item['TPR']:g}" for item in content["harder"])
        + " of all kept trucks reach are reached by "
        + " / ".join(f"{item['test']:.3f}" for item in content["harder"])
        + " of the test set's (mean over the seeds), where sampling alone has a standard error of "
        + " / ".join(f"{item['SE']:.3f}" for item in content["harder"])
        + ".\n"
    )
    return f"{head}\n{markdown(header, rows)}"


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
