"""Two Gaussians in the plane at 1:x: how balanced batches move the boundary of a linear model.

Linear model, binary cross-entropy, SGD, 100 steps of 128 samples at a learning rate of 0.1, with natural and with
balanced batches, 10 seeds each. Accuracy, balanced accuracy and TPR are compared with those of two Bayes rules: for the
training prior (best accuracy) and for equal priors (best balanced accuracy).
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import build_model
from studies.published_runs import markdown, mean_and_sd, record, shown, write
from utils.losses import BCE
from utils.samplers import BalancedSampler, NaturalSampler
from utils.seeding import torch_stream
from utils.system.pictures import plain_matplotlib

NAME = "toy"
CENTRES = ((0.0, 0.0), (1.5, 1.5))  # of the negatives, of the positives; both have the unit matrix as covariance
NEGATIVES = 10_000  # to train on
TESTED = 100_000  # of each class; the accuracy weights them by the prior
STEPS, BATCH, RATE = 100, 128, 0.1
SAMPLERS = ("natural", "balanced")
COLOURS = {"natural": "#14508c", "balanced": "#c2410c"}


@dataclass(frozen=True)
class Line:
    """The boundary weights . x + bias = 0; a point counts as positive on its upper side."""

    weights: tuple[float, float]
    bias: float

    def share_above(self, points: Tensor) -> float:
        """Share of the points classified as positive."""
        return float((points @ torch.tensor(self.weights) + self.bias >= 0).float().mean())


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--ratios", nargs="+", type=int, default=[20, 100], help="negatives per positive")
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--quick", action="store_true", help="two seeds, and no picture unless asked for")
    parser.add_argument("--out", type=Path, default=None, help="folder of toy.json and toy.md")
    parser.add_argument("--picture", type=Path, default=None, help="PNG of the boundaries (docs/pictures/toy.png)")
    options = parser.parse_args(argv)
    seeds = range(1, (2 if options.quick else options.seeds) + 1)
    lines = {
        ratio: {name: [trained(name, ratio=ratio, seed=seed) for seed in seeds] for name in SAMPLERS}
        for ratio in options.ratios
    }
    content = {
        **record(NAME, argv, quick=options.quick),
        "n": f"{len(seeds)} seeds; tested on {TESTED} points of each class",
        "setting": {
            "centres": CENTRES,
            "training_negatives": NEGATIVES,
            "steps": STEPS,
            "batch": BATCH,
            "learning_rate": RATE,
        },
        "rows": [row for ratio in options.ratios for row in rows_of(ratio, lines[ratio])],
    }
    write(content, table(content["rows"]), options.out)
    picture = options.picture or (None if options.quick else Path("docs/pictures/toy.png"))
    if picture:
        draw(lines, picture)
        print(f"-> {picture} ({picture.stat().st_size / 1000:.0f} kB)")
    return 0


def trained(sampler: str, *, ratio: int, seed: int) -> Line:
    """The boundary after training."""
    points, labels = drawn(ratio, seed)
    indices = torch.arange(len(labels))
    order = torch_stream(seed, "order")
    batches = (
        BalancedSampler(indices, batch_size=BATCH, generator=order, labels=labels)
        if sampler == "balanced"
        else NaturalSampler(indices, batch_size=BATCH, generator=order)
    )
    model = build_model("linear", channels=1, image_size=(1, 2), generator=torch_stream(seed, "initialisation"))
    loss, optimizer = BCE(), torch.optim.SGD(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        batch = next(batches)
        optimizer.zero_grad()
        loss(model(points[batch]), labels[batch]).backward()
        optimizer.step()
    weights, bias = (parameter.detach().flatten().tolist() for parameter in model.parameters())
    return Line((weights[0], weights[1]), bias[0])


def drawn(ratio: int, seed: int) -> tuple[Tensor, Tensor]:
    """The training points of one seed, negatives first, and their labels."""
    generator = torch_stream(seed, f"points 1:{ratio}")
    counts = (NEGATIVES, NEGATIVES // ratio)
    points = [
        torch.randn(count, 2, generator=generator) + torch.tensor(centre)
        for count, centre in zip(counts, CENTRES, strict=True)
    ]
    return torch.cat(points), torch.cat([torch.zeros(counts[0]), torch.ones(counts[1])]).long()


def bayes(prior: float) -> Line:
    """The best boundary where a share ``prior`` is positive: log-likelihood ratio + log(prior / (1 - prior)) = 0.

    >>> line = bayes(0.5)    # the perpendicular bisector of the centres
    >>> line.weights, line.bias
    ((1.5, 1.5), -2.25)
    """
    (a, b), (c, d) = CENTRES
    return Line((c - a, d - b), (a * a + b * b - c * c - d * d) / 2 + math.log(prior / (1 - prior)))


def rows_of(ratio: int, lines: dict[str, list[Line]]) -> list[dict[str, Any]]:
    """The numbers of one ratio: a row for each sampler and each Bayes rule."""
    generator = torch_stream(0, "test points")
    tested = [torch.randn(TESTED, 2, generator=generator) + torch.tensor(centre) for centre in CENTRES]
    prior = 1 / (1 + ratio)
    named = {f"{name} batches": found for name, found in lines.items()}
    named |= {"Bayes, training prior": [bayes(prior)], "Bayes, equal priors": [bayes(0.5)]}
    rows = []
    for name, found in named.items():
        fprs, tprs = ([line.share_above(points) for line in found] for points in tested)
        pairs = list(zip(fprs, tprs, strict=True))
        rows.append(
            {
                "ratio": ratio,
                "boundary": name,
                "accuracy": mean_and_sd([prior * tpr + (1 - prior) * (1 - fpr) for fpr, tpr in pairs]),
                "balanced_accuracy": mean_and_sd([(tpr + 1 - fpr) / 2 for fpr, tpr in pairs]),
                "tpr": mean_and_sd(tprs),
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Mean and SD over the seeds, in %."""
    names = ("accuracy", "balanced_accuracy", "tpr")
    cells = [[f"1:{row['ratio']}", row["boundary"], *(_percent(row[name]) for name in names)] for row in rows]
    return markdown(["ratio", "boundary", "accuracy, %", "balanced accuracy, %", "TPR, %"], cells)


def _percent(value: dict[str, Any]) -> str:
    return shown({"mean": 100 * value["mean"], "sd": None if value["sd"] is None else 100 * value["sd"]}, 2)


@plain_matplotlib()
def draw(lines: dict[int, dict[str, list[Line]]], path: Path) -> None:
    """Some of the points and all the boundaries, a panel a ratio."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(4.6 * len(lines), 4.4), layout="constrained", dpi=90)
    panels = figure.subplots(1, len(lines), squeeze=False)[0]
    for axes, (ratio, found) in zip(panels, lines.items(), strict=True):
        points, labels = drawn(ratio, 1)
        some = points[labels == 0][:500], points[labels == 1][: max(5, 500 // ratio)]
        for part, colour, size in zip(some, ("#9db4cc", "#111111"), (4, 14), strict=True):
            axes.plot(part[:, 0].tolist(), part[:, 1].tolist(), "o", color=colour, markersize=size**0.5)
        for name, ours in found.items():
            for number, line in enumerate(ours):
                _draw_line(axes, line, color=COLOURS[name], linewidth=0.8, label="" if number else f"{name} batches")
        _draw_line(axes, bayes(1 / (1 + ratio)), color="0.3", linestyle="--", label="Bayes, training prior")
        _draw_line(axes, bayes(0.5), color="0.3", linestyle=":", label="Bayes, equal priors")
        axes.set(xlim=(-3.5, 5), ylim=(-3.5, 5), aspect="equal", title=f"1:{ratio}")
    panels[0].legend(loc="lower left", fontsize=7.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    Image.open(content).convert("RGB").quantize(64).save(path, optimize=True)  # a third of the size


def _draw_line(axes: Any, line: Line, **style: Any) -> None:
    """Where weights . x + bias = 0."""
    (a, b), norm = line.weights, line.weights[0] ** 2 + line.weights[1] ** 2
    foot = (-line.bias * a / norm, -line.bias * b / norm)  # the point of the line that is nearest to the origin
    axes.plot([foot[0] - 20 * b, foot[0] + 20 * b], [foot[1] + 20 * a, foot[1] - 20 * a], **style)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
