"""Write the ensemble of a run in a form that other programs load, with the preprocessing inside."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.image_files import find_images
from ..data.image_format import resized
from ..data.image_pixels import BrokenImageError
from ..data.raw import UInt8Array, enlarging
from ..data.reading_ahead import read_ahead
from ..errors import UserError
from ..losses.base import Loss
from ..losses.softmax import SoftmaxLoss
from ..metrics.roc import Array
from ..metrics.scores import mean_of_seeds
from ..system.files import write_atomically
from .class_model import ClassModel
from .seed_models import SeedModels
from .trained_model import TrainedModel, load

ENDINGS = {"onnx": ".onnx", "torch_export": ".pt2", "torchscript": ".ts"}
EXTRA = ("onnx", "onnxscript", "onnxruntime")
TRIED = 64  # images on which the exported file is compared with the model
TOLERANCE = 1e-5  # of the largest difference, relative to the largest score where that is above 1
Outputs = tuple[Array, ...]


class Ensemble(nn.Module):
    """(B, C, H, W) uint8 pixels as in the files -> float32 means over the seeds.

    Of two sides (B,) scores; of K classes (B, C) scores of the critical ones and (B, K) outputs.
    """

    scale: Tensor
    shift: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, model: TrainedModel | ClassModel) -> None:
        super().__init__()
        form = model.form
        mean, std = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (form.mean, form.std))
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())
        self.image_size, self.repeats = form.image_size, form.input_channels // form.channels
        enlarged = enlarging(form.height, form.width)
        self.divisor = enlarged[2] if enlarged else 0
        for name, matrix in zip(("rows", "columns"), enlarged[:2] if enlarged else (), strict=False):
            self.register_buffer(name, torch.from_numpy(matrix).double())  # holds all integers that occur
        kind = ClassMember if isinstance(model, ClassModel) else Member
        self.members = nn.ModuleList(kind(*parts) for parts in model.members)
        self.has_classes = isinstance(model, ClassModel)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The scores, or scores and outputs."""
        if self.divisor:
            sums = self.rows @ images.double() @ self.columns.T
            images = torch.floor((sums + self.divisor // 2) / self.divisor)
        batch = images.float()
        if self.image_size is not None:
            batch = resized(batch, self.image_size)
        if self.repeats > 1:
            batch = batch.repeat(1, self.repeats, 1, 1)
        batch = batch * self.scale + self.shift
        if not self.has_classes:
            return torch.stack([member(batch) for member in self.members]).mean(0)
        scores, outputs = zip(*(member(batch) for member in self.members), strict=True)
        return torch.stack(scores).mean(0), torch.stack(outputs).mean(0)


class Member(nn.Module):
    """The score of one seed's model."""

    threshold: Tensor

    def __init__(self, model: nn.Module, loss: Loss, threshold: Tensor) -> None:
        super().__init__()
        self.model, self.loss = model.to(memory_format=torch.contiguous_format), loss
        self.register_buffer("threshold", threshold.float())

    def forward(self, batch: Tensor) -> Tensor:
        """(B,) scores."""
        return self.loss.score(self.model(batch)) - self.threshold


class ClassMember(Member):
    """Scores and outputs of one seed's model of K classes."""

    loss: SoftmaxLoss

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(B, C) and (B, K)."""
        outputs = self.model(batch)
        scores = self.loss.score(outputs) - self.threshold
        return scores.unsqueeze(1) if scores.dim() == 1 else scores, self.loss.class_outputs(outputs)


def export_model(run: Path, *, kind: str, images: Path | None, fit: str | None) -> int:
    """Write ``<model.pt>.<ending>`` beside model.pt, compare it with the model, and print the largest difference.

    Args:
        run: see ``trained_model.load``.
        kind: onnx, torch_export or torchscript.
        images: to compare on; None: made-up ones.
        fit: see ``image_pixels.fitted``.

    Raises:
        UserError: a package is missing, or the exported file gives other scores, and is not kept.
    """
    if kind == "onnx" and (missing := [name for name in EXTRA if importlib.util.find_spec(name) is None]):
        raise UserError(f"--export onnx needs {' and '.join(missing)}: pip install {' '.join(EXTRA)}")
    model = load(run, device="cpu")
    if model.form.bits != 8:
        what = "features" if model.form.has_features else f"images of {model.form.bits} bits"
        raise UserError(f"--export writes models of 8-bit images, but {run} was trained on {what}")
    pixels = _pixels(model, images, fit)
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    ensemble = Ensemble(model).eval()
    out = model.content.path.with_suffix(ENDINGS[kind])
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        content, found = WRITERS[kind](ensemble, batch)
    expected = _expected(model, pixels)
    difference = max(_difference(values, expected[name]) for name, values in zip(expected, found, strict=True))
    on = images or "made-up images"
    if not difference <= TOLERANCE:
        raise UserError(f"the exported model differs from the model by {difference:.2g} on {on}; nothing was written")
    write_atomically(out, lambda stream: stream.write(content))
    form = model.form
    made = ", ".join(f"{name}, float32 {_shape(values)}" for name, values in expected.items())
    print(f"{out}: images, uint8 (B, {form.channels}, {form.height}, {form.width}) -> {made}")
    print(f"largest difference on {len(pixels)} images of {on}: {difference:.2g} (relative where scores exceed 1)")
    return 0


def _expected(model: TrainedModel | ClassModel, pixels: UInt8Array) -> dict[str, Array]:
    """What the exported file has to give, by the names of its outputs."""
    if isinstance(model, TrainedModel):
        return {"score": model.score(pixels)}
    scores, outputs = model.parts(mean_of_seeds(model.of_seeds(pixels)))
    return {"scores": scores, "outputs": outputs}


def _difference(found: Array, expected: Array) -> float:
    """The largest, relative to the largest value where that is above 1."""
    return float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))


def _shape(values: Array) -> str:
    return "(B,)" if values.ndim == 1 else f"(B, {values.shape[1]})"


def _pixels(model: SeedModels, images: Path | None, fit: str | None) -> UInt8Array:
    form = model.form
    if images is None:
        generator = np.random.Generator(np.random.PCG64(0))
        return generator.integers(0, 256, (TRIED, form.height, form.width, form.channels), dtype=np.uint8)
    for _, read in read_ahead(find_images(images, form, fit=fit), size=TRIED):
        good = [image for image in read if not isinstance(image, BrokenImageError)]
        if good:
            return np.stack(good)
    raise UserError(f"{images} has no image that can be read")


def _onnx(ensemble: Ensemble, batch: Tensor) -> tuple[bytes, Outputs]:
    import onnxruntime

    program = torch.onnx.export(
        ensemble,
        (batch,),
        input_names=["images"],
        output_names=["scores", "outputs"] if ensemble.has_classes else ["score"],
        dynamic_shapes=_any_batch(),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, tuple(session.run(None, {"images": batch.numpy()}))


def _torch_export(ensemble: Ensemble, batch: Tensor) -> tuple[bytes, Outputs]:
    stream = io.BytesIO()
    torch.export.save(torch.export.export(ensemble, (batch,), dynamic_shapes=_any_batch()), stream)
    stream.seek(0)
    return stream.getvalue(), _arrays(torch.export.load(stream).module()(batch))


def _torchscript(ensemble: Ensemble, batch: Tensor) -> tuple[bytes, Outputs]:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(ensemble, (batch,)), stream)
    stream.seek(0)
    return stream.getvalue(), _arrays(torch.jit.load(stream)(batch))


def _arrays(outputs: Tensor | tuple[Tensor, ...]) -> Outputs:
    return tuple(each.numpy() for each in ((outputs,) if isinstance(outputs, Tensor) else outputs))


def _any_batch() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch")},)


WRITERS: dict[str, Callable[[Ensemble, Tensor], tuple[bytes, Outputs]]] = {
    "onnx": _onnx,
    "torch_export": _torch_export,
    "torchscript": _torchscript,
}
