"""Folders of runs made up for the report: any options, any scores, any damage. And how to read its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from utils.config.options import Config
from utils.metrics.multiclass import log_odds
from utils.metrics.scores import ClassScores, Scores
from utils.run_files.class_scores_csv import write_class_scores
from utils.run_files.scores_csv import write_scores

COUNTS = {"train": (200, 10), "validation": (20, 20), "test": (40, 30)}


def scores(part: str, seed: int, *, gain: float = 1.5, counts: Mapping[str, tuple[int, int]] = COUNTS) -> Scores:
    """Scores of a made-up model."""
    negatives, positives = counts[part]
    labels = np.repeat([0, 1], [negatives, positives])
    noise = np.random.default_rng([seed, len(part)]).normal(size=len(labels))
    index = np.arange(len(labels))
    return Scores(
        index, labels, labels * gain + noise, ["train" if part == "validation" else part] * len(index), labels
    )


def make_run(
    folder: Path,
    name: str,
    *,
    seeds: Sequence[int] = (1, 2),
    gain: float = 1.5,
    counts: Mapping[str, tuple[int, int]] = COUNTS,
    checksum: str = "c0ffee" * 10,
    command: str = "python main.py",
    **options: Any,
) -> Path:
    """A finished run with the given options."""
    run = folder / name
    run.mkdir(parents=True)
    values = {**asdict(Config()), "dataset_name": "digits", "ratio_pos_train": 20, **options}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    record = {
        "commands": [command],
        "options": {key: {"value": value, "origin": "default"} for key, value in plain.items()},
        "class_counts": {part: {"negative": n, "positive": p} for part, (n, p) in counts.items()},
        "data": {"source": "made up", "checksum": checksum},
        "versions": {"python": "3.11", "torch": "2.15"},
        "device": "cpu",
        "threads": 1,
        "platform": "linux",
    }
    (run / "config.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    for seed in seeds:
        make_seed(run, seed, gain=gain, counts=counts)
    return run


SIZES = {"train": (200, 60, 30, 10), "validation": (12, 12, 12, 12), "test": (30, 25, 20, 15)}
CLASSES = ("cat", "dog", "eel", "fox")


def class_scores(
    part: str,
    seed: int,
    *,
    gain: float = 1.5,
    sizes: Mapping[str, Sequence[int]] = SIZES,
    names: Sequence[str] = CLASSES,
    critical: Sequence[int] = (2, 3),
) -> ClassScores:
    """Scores of a made-up model of K classes."""
    labels = np.repeat(np.arange(len(names)), sizes[part])
    noise = np.random.default_rng([seed, len(part), 7]).normal(size=(len(labels), len(names)))
    outputs = noise + gain * np.eye(len(names))[labels]
    index = np.arange(len(labels))
    return ClassScores(
        index,
        labels,
        outputs,
        log_odds(outputs, critical),
        ["train" if part == "validation" else part] * len(index),
        labels,
        tuple(names),
        tuple(critical),
    )


def make_class_run(
    folder: Path,
    name: str,
    *,
    seeds: Sequence[int] = (1, 2),
    gain: float = 1.5,
    sizes: Mapping[str, Sequence[int]] = SIZES,
    names: Sequence[str] = CLASSES,
    critical: Sequence[int] = (2, 3),
    last: bool = True,
    **options: Any,
) -> Path:
    """A finished run of K classes with the given options."""
    run = make_run(folder, name, seeds=(), task="classes", ratio_pos_train=None, **options)
    record = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    record["class_counts"] = {part: dict(zip(names, each, strict=True)) for part, each in sizes.items()}
    (run / "config.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    given: dict[str, Any] = {"gain": gain, "sizes": sizes, "names": names, "critical": critical}
    for seed in seeds:
        files = make_seed(run, seed)
        for part in ("validation", "test"):
            write_class_scores(files / f"{part}.csv", class_scores(part, seed, **given))
        if last:
            write_class_scores(files / "last_test.csv", class_scores("test", seed + 100, **given))
    return run


def make_seed(run: Path, seed: int, *, gain: float = 1.5, counts: Mapping[str, tuple[int, int]] = COUNTS) -> Path:
    """A finished seed: scores, three epochs of history, done."""
    folder = run / f"seed{seed}"
    folder.mkdir()
    for part in ("validation", "test"):
        write_scores(folder / f"{part}.csv", scores(part, seed, gain=gain, counts=counts))
    records = [
        {"epoch": epoch, "train_auc": 0.7 + 0.1 * epoch + 0.01 * seed, "val_auc": 0.6 + 0.1 * epoch + 0.01 * seed}
        for epoch in range(3)
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = {"finished": f"2026-01-0{seed % 9 + 1} 10:00:00", "epochs": 3, "stopped_early": False, "best_epoch": 2}
    (folder / "done").write_text(json.dumps(done))
    return folder


class Page(HTMLParser):
    """The tables of a page by their ids: a list of rows, each a list of (text, data-value)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._table = ""
        self._value: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "table":
            self._table = given.get("id") or ""
        elif tag == "tr" and self._table:
            self.tables.setdefault(self._table, []).append([])
        elif tag in ("td", "th") and self._table:
            self._value = given.get("data-value")
            self.text = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._table and self._value is not None:
            self.tables[self._table][-1].append((" ".join("".join(self.text).split()), self._value))
            self._value = None
        elif tag == "table":
            self._table = ""

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def rows(self, table: str) -> list[list[tuple[str, str]]]:
        """The body of a table."""
        return [row for row in self.tables[table] if row]
