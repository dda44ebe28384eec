"""Images find their labels in a table, however it spells their paths."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from utils.data.image_format import ImageFormat
from utils.run.labelled_images import read_labelled
from utils.run.seed_models import SeedModels

FORM = ImageFormat(channels=1, height=2, width=3, mean=(0.0,), std=(1.0,))


def brightness(images: Any) -> Any:
    """(1 seed, n) the first pixel of each image."""
    return np.asarray(images)[None, :, 0, 0, 0].astype(float)


MODEL = cast("SeedModels", SimpleNamespace(form=FORM, batch_size=8, seeds=(1,), columns=(), score_batch=brightness))


def test_labels_are_found_by_other_spellings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        path = tmp_path / "new" / "a" / ("0.png", "1.png", "\N{LATIN SMALL LETTER U WITH DIAERESIS}.png")[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 2), number).save(path)
    (tmp_path / "t.csv").write_text(
        "Label;Path;site\n0;./a/0.png;x\n1;a//1.png;y\n2;a/u\N{COMBINING DIAERESIS}.png;z\n3;other.png;z\n",
        encoding="utf-8",
    )
    (tmp_path / "new" / "3.jfif").touch()
    found = read_labelled(MODEL, images=tmp_path / "new", labels=tmp_path / "t.csv", by=["site"], group=None, fit=None)
    assert found.names == ["a/0.png", "a/1.png", "a/\N{LATIN SMALL LETTER U WITH DIAERESIS}.png"]
    assert found.labels == ["0", "1", "2"]
    assert found.groups == {"site": ["x", "y", "z"]}
    assert found.numbers.tolist() == [[0, 1, 2]]
    assert found.without_image == {"3": 1}
    assert capsys.readouterr().err.splitlines() == [
        "note: 1 file is no image by its ending: .jfif 1",
        f"note: {tmp_path / 't.csv'} has labels without an image in {tmp_path / 'new'}, which do not count: 3 1",
    ]
