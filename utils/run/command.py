"""The command of main.py: train or evaluate."""

from __future__ import annotations

from dataclasses import replace

from ..config.settings import Settings
from ..run_files.config_yaml import recorded_threads
from ..run_files.paths import RunPaths
from ..system.links import check_inside
from .dry_run import dry_run
from .evaluate import evaluate_run
from .rank_group import rank_group
from .train import train_run


def run(settings: Settings) -> int:
    """Train or evaluate. Returns the exit code: 0, or 1 if a seed failed.

    Raises:
        UserError: the input is invalid; nothing was written.
    """
    paths = RunPaths.of(settings.config)
    check_inside(paths.folder, root=paths.root)
    settings = _with_threads(settings)
    with rank_group(settings.config):
        for note in settings.notes:
            print(f"note: {note}")
        if settings.config.dry_run:
            return dry_run(settings)
        return train_run(settings) if settings.config.train else evaluate_run(settings)


def _with_threads(settings: Settings) -> Settings:
    """With the number of threads that the run started with, unless the user sets it: it changes rounding."""
    threads = recorded_threads(RunPaths.of(settings.config).config)
    if settings.config.threads or not threads:
        return settings
    return replace(
        settings,
        config=replace(settings.config, threads=threads),
        origins={**settings.origins, "threads": "config.yaml"},
    )
