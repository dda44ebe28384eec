"""Goals for the measurements: mostly ratios within one run, which carry over to other machines."""

from __future__ import annotations

from dataclasses import dataclass

BUSY_CORES = 0.1  # a measurement is not judged if other programs used more cores than this meanwhile


@dataclass(frozen=True)
class Goal:
    """``text`` says what is measured; a median of at least ``pairs`` values should be ``sense`` ``value``."""

    text: str
    sense: str  # "at most" or "at least"
    value: float
    unit: str = ""
    pairs: int = 5

    def is_met(self, measured: float) -> bool:
        """Whether ``measured`` is on the right side.

        >>> Goal("step / floor", "at most", 1.02).is_met(1.01)
        True
        """
        return measured <= self.value if self.sense == "at most" else measured >= self.value

    def __str__(self) -> str:
        return f"{self.sense} {self.value:g} {self.unit}".strip()


GOALS: dict[str, Goal] = {
    "parts_resnet10": Goal("batch + constraint + multipliers alone / floor, ResNet-10, batch 64", "at most", 0.003),
    "parts_lenet5": Goal("batch + constraint + multipliers alone / floor, LeNet5, batch 64", "at most", 0.15),
    "step_resnet10_64": Goal("step with ALM / floor, ResNet-10, batch 64", "at most", 1.02, pairs=30),
    "step_lenet5_64": Goal("step with ALM / floor, LeNet5, batch 64", "at most", 1.20, pairs=30),
    "step_lenet5_1000": Goal("step with ALM / floor, LeNet5, batch 1000", "at most", 1.05, pairs=30),
    "alm_resnet10": Goal("step with ALM / without, ResNet-10, batch 64", "at most", 1.005, pairs=30),
    "alm_lenet5": Goal("step with ALM / without, LeNet5, batch 64", "at most", 1.05, pairs=30),
    "epoch_fp32": Goal("epoch with validation / floor of its steps, ResNet-10, CIFAR-100 1:100, fp32", "at most", 1.05),
    "epoch_bf16": Goal("epoch with validation / floor of its steps, ResNet-10, CIFAR-100 1:100, bf16", "at most", 1.05),
    "seeds_lenet5": Goal(
        "seed-steps a second over 10 seeds / those of one process with all threads, LeNet5", "at least", 1.3
    ),
    "step_classes": Goal(
        "step with the constraint against each class / without, ResNet-32, 10 classes, batch 128",
        "at most",
        1.03,
        pairs=30,
    ),
    "messages_lenet5": Goal(
        "messages a step of two ranks beside one gather of 3 B numbers and DDP's buckets, LeNet5", "at most", 0, pairs=1
    ),
    "messages_resnet10": Goal(
        "messages a step of two ranks beside these and two a layer of batch norm, ResNet-10", "at most", 0, pairs=1
    ),
    "one_rank": Goal(
        "step of a single rank of torchrun / of main.py alone, LeNet5, batch 64", "at most", 1.02, pairs=30
    ),
    "violation_time": Goal("violations with gradient, batch of 10,000, dense / ours: time", "at least", 50),
    "violation_memory": Goal(
        "violations with gradient, batch of 10,000, dense / ours: peak memory", "at least", 500, pairs=1
    ),
    "run_resnet10": Goal("whole run / floor of its steps, 10 seeds x 5 epochs, ResNet-10", "at most", 1.10),
    "run_lenet5": Goal("whole run / floor of its steps, 10 seeds x 5 epochs, LeNet5", "at most", 1.5),
    "predict_resnet10": Goal("throughput of predict.py / bare forward, ResNet-10, 10,000 PNG files", "at least", 0.9),
    "help": Goal("main.py --help / bare import of torch and sklearn.metrics", "at most", 0.2),
    "first_step": Goal("a run's start to its first training step / the same import, ResNet-10", "at most", 1.4),
    "libauc_lenet5": Goal("epoch with validation, LibAUC / ours, LeNet5", "at least", 2),
    "timm_lenet5": Goal("epoch with validation, timm / ours, LeNet5", "at least", 2),
    "plain_lenet5": Goal("epoch with validation, plain DataLoader loop / ours, LeNet5", "at least", 2),
    "cooper_lenet5": Goal("epoch with validation, cooper on tensors in memory / ours, LeNet5", "at least", 1.1),
    "libauc_resnet10": Goal("epoch with validation, LibAUC / ours, ResNet-10", "at least", 1.1),
    "timm_resnet10": Goal("epoch with validation, timm / ours, ResNet-10", "at least", 1.1),
    "plain_resnet10": Goal("epoch with validation, plain DataLoader loop / ours, ResNet-10", "at least", 1.1),
    "row_bf16": Goal("a row of the paper's tables on a GPU, 10 seeds x 100 epochs, bf16", "at most", 30, "s", pairs=1),
    "row_tf32": Goal("a row of the paper's tables on a GPU, 10 seeds x 100 epochs, tf32", "at most", 70, "s", pairs=1),
}
