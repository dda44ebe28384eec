"""Run main.py until the first training step is about to begin, print a line and exit.

``python benchmarks/first_step.py ARGUMENTS...`` with the arguments of main.py. Nothing is imported before main.py
imports it: the module of the training step is patched by an import hook when it is loaded.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

MODULE, WORD = "utils.training.step", "first step"


class Watch(MetaPathFinder):
    """Replaces ``TrainingSteps.run`` on import: it prints a line and exits instead of training."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's usual spec, with a loader that patches it."""
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute: Any = spec.loader.exec_module

        def watched(module: ModuleType) -> None:
            execute(module)
            module.TrainingSteps.run = _say_and_end

        spec.loader.exec_module = watched  # type: ignore[method-assign]
        return spec


def _say_and_end(*_arguments: object, **_options: object) -> None:
    print(f"\n{WORD}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.meta_path.insert(0, Watch())
    import main

    sys.exit(main.main(sys.argv[1:]))
