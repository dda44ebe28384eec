"""Six learners on ten digits: accuracy over K folds, in one figure.

    python -m studies.digits_classes

compares on the digits embedded in scikit-learn (1,797 images of 8 x 8): ``featureless``, which always says the largest
class; a ``linear`` model; a ``dense`` network with hidden layers of 1000 and 100; a convolutional one, ``lenet5``;
``boosting``, scikit-learn's HistGradientBoostingClassifier; and ``logistic_cv``, multinomial logistic regression whose
penalty is chosen by cross-validation within the training set. MNIST (70,000 images; hours):

    python -m studies.digits_classes --dataset_name mnist --data_root datasets --num_epochs 10 --folds 5

The 7,291 scans of 16 x 16 of "The Elements of Statistical Learning" (zip.train.gz, from the page of that book):

    python prepare.py --csv zip.train.gz --pixels 16x16x1 --label 1 --range -1 1 --out datasets/zip
    python -m studies.digits_classes --dataset_name zip

Each fold is tested once. Of the others a tenth is for validation, drawn by class: it chooses the epoch of the networks
and the number of trees, both by the mean AUC of each class against the rest; the other two do not look at it. That AUC
can reach its maximum before the accuracy does, so the accuracy after the last epoch stands beside. All but
the trees are trained by ``main.py --task classes --folds K``; the trees get the pixels and rows of the same task, and
a run that was tested on other rows is an error. Images below 28 pixels are enlarged to 32 x 32, for all learners.

A study that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

import main as training
from studies.judged import LEVEL, of_folds
from studies.published_runs import QUICK_RESULTS, RESULTS, arguments, exit_code, markdown, mean_and_sd, record, write
from utils.config.settings import resolve
from utils.data.splits import Split
from utils.data.task import Task
from utils.errors import UserError
from utils.metrics.multiclass import accuracy, confusion_matrix, macro_auc
from utils.metrics.paired_tests import holm, without_noise
from utils.run.prepare_run import prepare
from utils.run_files.class_scores_csv import read_class_scores
from utils.run_files.paths import RunPaths
from utils.system.files import make_folder, write_text
from utils.system.pictures import plain_matplotlib

NAME = "digits_classes"
FITTED = {"featureless": "--resnet_type featureless", "logistic_cv": "--resnet_type logistic_cv"}
NETWORKS = {
    "linear": "--resnet_type linear",
    "dense": "--resnet_type dense --hidden_widths 1000 100",
    "lenet5": "--resnet_type lenet5",
}
BOOSTING = "boosting"
LABELS = {
    "featureless": "featureless",
    "linear": "linear",
    "dense": "dense, 1000-100",
    "lenet5": "convolutional, LeNet5",
    BOOSTING: "gradient boosting",
    "logistic_cv": "logistic regression, CV",
}
TREES = 100  # of each class at most; scikit-learn's own number
SEED = 1

Accuracies = dict[str, list[float]]  # learner -> of each fold


@dataclass(frozen=True)
class Fold:
    """The accuracy of each learner on one fold of ``tested`` images, what made it, and of which data.

    ``last`` is that of the networks after their last epoch, which validation did not choose.
    """

    accuracies: Mapping[str, float]
    last: Mapping[str, float]
    commands: Mapping[str, str]
    tested: int
    source: str
    checksum: str


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset_name", default="digits", help="digits, mnist, or what prepare.py made")
    parser.add_argument("--data_root", type=Path, default=Path("datasets"), help="folder of the data")
    parser.add_argument("--folds", type=int, default=5, help="number of folds, each tested once")
    parser.add_argument("--num_epochs", type=int, default=50, help="of the networks")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of every learner")
    parser.add_argument("--learners", nargs="+", choices=LABELS, default=list(LABELS), help="which to compare")
    parser.add_argument("--quick", action="store_true", help="for a trial: two folds, two epochs, ten trees")
    options = parser.parse_args(argv)
    if options.quick:
        options.folds, options.num_epochs = 2, 2
    name = NAME if options.dataset_name == "digits" else f"{NAME}_{options.dataset_name}"
    subfolder = f"{name}_quick" if options.quick else name
    folds = [of_fold(fold, options, subfolder=subfolder) for fold in range(1, options.folds + 1)]
    found = {learner: [fold.accuracies[learner] for fold in folds] for learner in options.learners}
    last = {learner: [fold.last[learner] for fold in folds] for learner in folds[0].last}
    sizes = [fold.tested for fold in folds]
    content = {
        **record(NAME, portable(argv), quick=options.quick),
        "name": name,
        "n": f"accuracy on each of {len(folds)} folds ({min(sizes)} to {max(sizes)} images); one seed a fold",
        "data": folds[0].source,
        "data_checksum": folds[0].checksum,
        "commands": folds[0].commands,
        "rows": rows_of(found, last),
        "differences": differences(found),
    }
    write(content, text(content), options.out)
    picture = (options.out or (QUICK_RESULTS if options.quick else RESULTS)) / f"{name}.png"
    draw(content["rows"], picture, title=f"{options.dataset_name}, {len(folds)} folds")
    print(f"-> {picture}")
    return 0


def of_fold(fold: int, options: argparse.Namespace, *, subfolder: str) -> Fold:
    """Train and test every learner on one fold."""
    common = ["--dataset_name", options.dataset_name, "--task", "classes", "--seeds", str(SEED)]
    common += ["--folds", str(options.folds), "--fold", str(fold), "--threads", str(options.threads)]
    places = ["--data_root", str(options.data_root), "--checkpoint_root", str(options.checkpoint_root)]
    task = prepare(resolve([*common, *places, *FITTED["featureless"].split()])).task
    split = task.split(SEED)
    accuracies, last, commands = {}, {}, {}
    for learner in options.learners:
        paths = RunPaths(options.checkpoint_root, subfolder, f"{learner}_fold{fold}of{options.folds}")
        if learner == BOOSTING:
            trees = 10 if options.quick else TREES
            with threadpool_limits(options.threads):
                accuracies[learner] = boosted(task, split, trees=trees, kept=paths.folder.with_suffix(".json"))
            commands[learner] = f"HistGradientBoostingClassifier(max_iter={trees}), as many as validation wants"
        else:
            words = [*common, *words_of(learner, epochs=options.num_epochs)]
            accuracies[learner] = trained([*words, *places], task, split, paths=paths)
            if learner in NETWORKS:
                last[learner] = of_file(paths.seed(SEED).last_test, task, split)
            commands[learner] = shlex.join(["python", "main.py", *words])
        print(f"fold {fold} of {options.folds}, {learner}: accuracy {accuracies[learner]:.4f}", flush=True)
    source = task.source if options.dataset_name == "digits" else Path(task.source).name
    return Fold(accuracies, last, commands, tested=len(split.test), source=source, checksum=task.checksum)


def words_of(learner: str, *, epochs: int) -> list[str]:
    """The options of main.py that make it this learner."""
    if learner in FITTED:
        return FITTED[learner].split()
    return [*NETWORKS[learner].split(), "--num_epochs", str(epochs)]


def portable(argv: Sequence[str]) -> list[str]:
    """The words of a command without the folders of this machine."""
    own = {"--data_root", "--checkpoint_root", "--out"}
    return [word for at, word in enumerate(argv) if word not in own and not (at and argv[at - 1] in own)]


def trained(words: Sequence[str], task: Task, split: Split, *, paths: RunPaths) -> float:
    """The test accuracy of what main.py trains, which goes on where it was stopped.

    Raises:
        UserError: main.py fails, or the run was tested on other rows than ``split.test``.
    """
    names = ["--subfolder_name", paths.subfolder_name, "--model_name", paths.model_name]
    with contextlib.redirect_stdout(io.StringIO()):  # its table; errors are printed elsewhere
        code = training.main([*words, *names, "--resume", "1"])
    if code:
        raise UserError(f"main.py {shlex.join([*portable(words), *names])} failed with exit code {code}")
    return of_file(paths.seed(SEED).scores("test"), task, split)


def of_file(file: Path, task: Task, split: Split) -> float:
    """The accuracy of the scores in a file.

    Raises:
        UserError: they are of other rows than ``split.test``.
    """
    scores = read_class_scores(file)
    places = list(zip(scores.split, scores.index.tolist(), strict=True))
    if places != rows_in_files(task, split):
        raise UserError(f"{file} has other rows than the fold: its run is of other data; remove {file.parents[1]}")
    return share_right(scores.label, scores.outputs)


def rows_in_files(task: Task, split: Split) -> list[tuple[str, int]]:
    """The set and row of each tested image in its file."""
    parts, index = task.original_split[split.test].tolist(), task.original_index[split.test].tolist()
    return list(zip(parts, index, strict=True))


def boosted(task: Task, split: Split, *, trees: int, kept: Path) -> float:
    """The test accuracy of gradient boosting, from ``kept`` if it is there.

    It is fitted to the training rows; of 1..``trees`` trees a class it has as many as give the validation rows the
    highest mean AUC, of equals the fewest.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    facts = {"data": task.checksum, "trees": trees, "rows": len(split.test), "scikit-learn": sklearn.__version__}
    if kept.exists() and (before := json.loads(kept.read_text(encoding="utf-8"))).items() >= facts.items():
        return float(before["accuracy"])
    pixels, labels = task.images.flatten(1).cpu().numpy(), task.labels.cpu().numpy()
    model = HistGradientBoostingClassifier(max_iter=trees, early_stopping=False, random_state=SEED)
    model.fit(pixels[split.train], labels[split.train])
    validated = model.staged_decision_function(pixels[split.validation])
    best = int(np.argmax([macro_auc(labels[split.validation], outputs) for outputs in validated]))
    outputs = next(itertools.islice(model.staged_decision_function(pixels[split.test]), best, None))
    value = share_right(labels[split.test], outputs)
    make_folder(kept.parent)
    write_text(kept, json.dumps(facts | {"best": best + 1, "accuracy": value}) + "\n")
    return value


def share_right(labels: np.ndarray[Any, np.dtype[np.int64]], outputs: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The share of samples whose largest output is that of their class."""
    return accuracy(confusion_matrix(labels, outputs.argmax(axis=1), classes=outputs.shape[1]))


def rows_of(found: Accuracies, last: Accuracies | None = None) -> list[dict[str, Any]]:
    """Accuracy of each fold, mean and SD, the highest mean first; of networks that after the ``last`` epoch too."""
    rows: list[dict[str, Any]] = []
    for name, values in found.items():
        rows.append({"learner": name, "folds": values, "accuracy": mean_and_sd(values)})
        if last and name in last:
            rows[-1]["last_epoch"] = {"folds": last[name], "accuracy": mean_and_sd(last[name])}
    return sorted(rows, key=lambda row: -row["accuracy"]["mean"])


def differences(found: Accuracies) -> list[dict[str, Any]]:
    """The learner with the highest mean minus each other one, fold by fold."""
    best, *others = rows_of(found)
    rows = []
    for other in others:
        changes = without_noise([ours - theirs for ours, theirs in zip(best["folds"], other["folds"], strict=True)])
        judged = of_folds(mean_and_sd(changes.tolist()), ratio=1 / (len(changes) - 1))
        counts = {"above": int((changes > 0).sum()), "below": int((changes < 0).sum()), "folds": len(changes)}
        rows.append({"best": best["learner"], "other": other["learner"], **judged, **counts})
    corrected = holm([row["p"] for row in rows])
    return [row | {"p_holm": p} for row, p in zip(rows, corrected, strict=True)]


def text(content: Mapping[str, Any]) -> str:
    """The table, and the differences in words."""
    cells = [
        [
            *(LABELS[row["learner"]], percent(row["accuracy"])),
            " ".join(f"{100 * value:.1f}" for value in row["folds"]),
            percent(row["last_epoch"]["accuracy"]) if "last_epoch" in row else "",
        ]
        for row in content["rows"]
    ]
    table = markdown(["learner", "accuracy, %: mean +- SD", "of each fold", "after the last epoch"], cells)
    commands = "\n".join(f"- {LABELS[name]}: `{command}`" for name, command in content["commands"].items())
    caution = (
        f"A difference is called one where p, corrected by Holm for all {len(content['differences'])}, is below"
        f" {LEVEL:g}. The training sets of the folds overlap, which the intervals and p allow for (Nadeau and Bengio"
        " 2003). One seed a fold: what another initialisation would change is part of the spread, not apart from it."
        " The best was chosen on the folds that are shown, so that its lead is somewhat too large."
    )
    said = "\n".join(f"- {sentence(row)}" for row in content["differences"])
    return "\n\n".join([f"{content['data']}: {content['n']}.", table, said, caution, "Of the first fold:", commands])


def sentence(row: Mapping[str, Any]) -> str:
    """One difference in words: how large, in how many folds, and whether that is more than the folds differ by."""
    ends = f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"
    agree = f"above in {row['above']} of {row['folds']} folds, below in {row['below']}"
    verdict = "a difference" if row["p_holm"] < LEVEL else "no clear difference"
    what = f"{LABELS[row['best']]} minus {LABELS[row['other']]}: {100 * row['mean']:+.2f} points {ends}, {agree}"
    return f"{what}: {verdict} (p {row['p']:.2g}, corrected {row['p_holm']:.2g})"


def percent(value: Mapping[str, Any]) -> str:
    """Mean and SD in %."""
    return f"{100 * value['mean']:.2f}" + ("" if value["sd"] is None else f" +- {100 * value['sd']:.2f}")


@plain_matplotlib()
def draw(rows: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """A point for each fold, a line at the mean; a panel of its own for the learner without features, far below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 1.3 + 0.46 * len(rows)), layout="constrained", dpi=110)
    others = [row for row in rows if row["learner"] != "featureless"]
    ratios = [1, 4] if 0 < len(others) < len(rows) else [1]
    panels = figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios, squeeze=False)[0]
    shown = [[row for row in rows if row not in others], others] if len(ratios) == 2 else [list(rows)]
    for axes, members in zip(panels, shown, strict=True):
        for row in members:
            height = len(rows) - 1 - rows.index(row)
            values, mean = [100 * value for value in row["folds"]], 100 * row["accuracy"]["mean"]
            axes.plot(values, [height] * len(values), "o", color="#14508c", alpha=0.45, markersize=6, markeredgewidth=0)
            axes.plot([mean, mean], [height - 0.3, height + 0.3], color="#c2410c", linewidth=2)
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if len(panels) == 2:  # each has a scale of its own
        low, high = panels[0].get_xlim()
        panels[0].set_xlim(min(low, (low + high) / 2 - 1), max(high, (low + high) / 2 + 1))
        panels[1].spines["left"].set_visible(False)
        panels[1].tick_params(axis="y", length=0)
    names = [f"{LABELS[row['learner']]}\n{percent(row['accuracy']).replace('+-', '±')}" for row in rows[::-1]]
    panels[0].set_yticks(range(len(rows)), names)
    panels[0].set_ylim(-0.6, len(rows) - 0.4)
    panels[-1].set_xlabel("accuracy, %: a point for each fold, a line at the mean")
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
