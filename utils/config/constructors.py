"""Which components take an option: read from the source of their constructors, so that ``--help`` imports no torch."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from .options import OPTIONS

PACKAGES = {"training_type": "losses", "constraint": "constraints", "sampler": "samplers"}


@functools.cache
def takers() -> dict[str, list[str]]:
    """Parameter -> the names of the losses, constraints and samplers whose constructor has it, in the table's order."""
    result: dict[str, list[str]] = {}
    for choice, package in PACKAGES.items():
        for name, target in OPTIONS[choice].metadata["names"].items():
            module, component = target.split(":")
            for parameter in _parameters(Path(__file__).resolve().parents[1] / package, module, component):
                result.setdefault(parameter, []).append(name)
    return result


def _parameters(package: Path, module: str, component: str) -> list[str]:
    """The parameters of the class ``component``, or of the nearest base class in the package with an ``__init__``."""
    body = ast.parse((package / f"{module}.py").read_text(encoding="utf-8")).body
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    if component not in classes:
        sources = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in body
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
            for alias in node.names
        }
        return _parameters(package, *sources[component]) if component in sources else []
    for node in classes[component].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
    bases = [base.id for base in classes[component].bases if isinstance(base, ast.Name)]
    return next(filter(None, (_parameters(package, module, base) for base in bases)), [])
