"""Cross-validation: each row of the table once for every fold, test subset and choice of training set.

resampling:
  folds: 5
  subset_ratios: [1, 99]            # negatives per positive of each disjoint subset; one, or left out: plain K-fold
  train_on: [same, other, all]      # default: all three; with one subset: same
  downsample: [0]                   # [0, 1] adds the training sets reduced to the size of the smallest of the three
rows:
  - {name: LeNet5_BCE, objective: baseline_bce, set: {resnet_type: lenet5}}
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ..config.options import OPTIONS
from ..errors import UserError
from .blocks import Block
from .table_file import Row, Table, options_of


class Resampling(Block):
    """See above."""

    keys = ("folds", "subset_ratios", "train_on", "downsample")

    def __init__(self, table: Table, content: Mapping[str, Any], origin: str) -> None:
        super().__init__(table, content, origin)
        checked = options_of({key: content[key] for key in ("folds", "subset_ratios") if key in content}, origin)
        self.folds: int = checked.get("folds", 0)
        if self.folds < 2:
            raise UserError(f"{origin} needs folds: an integer >= 2, got {content.get('folds', 'none')}")
        if not table.lines:
            raise UserError(f"{origin} needs rows: what is to be cross-validated")
        self.ratios: tuple[int | float | str, ...] | None = checked.get("subset_ratios")  # None: of the data set
        several = len(self.ratios or ()) > 1
        ways = OPTIONS["train_on"].metadata["kind"].choices if several else ("same",)
        self.ways = _values(content, "train_on", ways, origin)
        if not several and "other" in self.ways:
            raise UserError(f"train_on other of {origin} needs two subset_ratios or more, got one")
        self.cuts = _values(content, "downsample", (0,), origin)

    def examples(self) -> tuple[Row, ...]:
        """All rows."""
        subsets, folds = range(1, len(self.ratios or (1,)) + 1), range(1, self.folds + 1)
        return tuple(
            self._row(line, subset, way, cut, fold)
            for line in self.table.lines
            for subset, way, cut, fold in itertools.product(subsets, self.ways, self.cuts, folds)
        )

    def _row(self, line: Row, subset: int, way: str, cut: int, fold: int) -> Row:
        own = {
            "folds": self.folds,
            "fold": fold,
            **({"subset_ratios": self.ratios} if self.ratios else {}),
            "test_subset": subset,
            "train_on": way,
            "downsample": cut,
        }
        name = f"{line.name}_subset{subset}_on_{way}{'_cut' if cut else ''}_fold{fold}"
        return self.table.row(name, {**line.options, **own}, line.seeds)


def _values(content: Mapping[str, Any], name: str, default: tuple[Any, ...], origin: str) -> tuple[Any, ...]:
    given = content.get(name, list(default))
    return tuple(options_of({name: value}, origin)[name] for value in (given if isinstance(given, list) else [given]))
