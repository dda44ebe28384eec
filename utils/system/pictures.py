"""matplotlib as it comes: without a display, and without the user's settings, which may not fit or be broken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

SETTINGS = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}  # an unknown backend would end the import


@contextlib.contextmanager
def plain_matplotlib() -> Iterator[None]:
    """Make and draw figures in here: ``MPLBACKEND``, a matplotlibrc and styles have no effect, such as usetex."""
    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update(SETTINGS)
    try:
        import matplotlib  # loaded when a picture is drawn, not when a run starts
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    # not rcdefaults(), which reads the user's styles
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    with matplotlib.rc_context(defaults):
        yield
