"""Our side: the options of main.py, and the epochs that it trains, with binary cross-entropy or with the constraint."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.peers.problem import BATCH, DELTA, LR, MOMENTUM, MU, WEIGHT_DECAY, Problem, measure
from benchmarks.subject import start

CONSTRAINED = "constrained"


def command(problem: Problem) -> list[str]:
    """The arguments of main.py: BCE, with the constraint in that variant, on all images of the file."""
    constraint = f" --name_file_alm ALM_14_beg --delta {DELTA} --mu {MU}" if problem.variant == CONSTRAINED else ""
    words = (
        f"--dataset_name {problem.path.stem} --ratio_pos_train natural --train_fraction 1"
        f" --augment {'crop_flip' if problem.augmented else 'none'} --resnet_type {problem.model}"
        f" --name_file_bs baseline_bce{constraint}"
        f" --bsize {BATCH} --lr {LR} --momentum {MOMENTUM} --weight_dec {WEIGHT_DECAY}"
        f" --seeds 1 --parallel_seeds 1 --threads {problem.threads} --device cpu --download 0"
    )
    return [*words.split(), "--data_root", str(problem.path.parent)]


def epochs(problem: Problem) -> Iterator[float]:
    """Train and validate, with the record of the epoch."""
    subject = start(command(problem))
    problem.counted(subject.state.model)
    while True:
        yield float(subject.epoch()["val_auc"])


if __name__ == "__main__":
    measure(epochs, variants=["", CONSTRAINED])
