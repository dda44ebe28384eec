"""Where the program lies and what its commands are called: in the source tree, or installed from the wheel.

In the source tree this package is ``utils``, beside configs/, models/ and the scripts main.py, sweep.py and report.py.
In the wheel it is ``rarecall``, holds configs/ and models/, and its commands are those of the program ``rarecall``.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

VERSION = "0.1.0"  # the wheel takes it from here

PACKAGE = __name__.partition(".")[0]
IN_TREE = PACKAGE == "utils"
HOME = Path(__file__).resolve().parents[2 if IN_TREE else 1]
CONFIGS = HOME / "configs"
MODELS_PACKAGE = "models" if IN_TREE else f"{PACKAGE}.models"
RUN_WITH = "python " if IN_TREE else ""  # before what ``called`` returns


def called(command: str) -> str:
    """What messages call a command of ``rarecall``: in the source tree the name of its script.

    >>> called("train"), called("sweep")
    ('main.py', 'sweep.py')
    """
    if not IN_TREE:
        return f"{PACKAGE} {command}"
    return "main.py" if command == "train" else f"{command}.py"


def typed(command: str, argv: Sequence[str] = (), *, anywhere: bool = False) -> str:
    """What to type for it: in the source tree's folder, or ``anywhere``, which is in the working folder.

    >>> typed("train", ["--seeds", "1"])
    'python main.py --seeds 1'
    """
    if not IN_TREE:
        return shlex.join([PACKAGE, command, *argv])
    script = str(HOME / called(command)) if anywhere and Path.cwd() != HOME else called(command)
    return shlex.join(["python", script, *argv])


def started(command: str) -> tuple[str, ...]:
    """What starts it in this environment, from any folder. -P: a package of the working folder does not come first."""
    if IN_TREE:
        return sys.executable, str(HOME / called(command))
    return sys.executable, "-P", "-m", PACKAGE, command


def config_file(path: Path) -> Path:
    """A file of configs/: that of the working folder if there is one, else that of the program."""
    shipped = HOME / path
    return shipped if path.parts[:1] == ("configs",) and shipped.is_file() and not path.exists() else path
