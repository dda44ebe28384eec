"""An environment for each peer: its own pinned packages before those of the running environment, torch among them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT_FOLDER = Path.home() / ".cache" / "rarecall-bench"
BUILT = "built"  # a file in a finished environment


class NotInstalledError(Exception):
    """A peer's packages could not be installed."""


def requirements(name: str) -> Path:
    """The pins of a peer."""
    return HERE / f"requirements-{name}.txt"


def shared_packages() -> list[str]:
    """The folders of packages of the running environment, without links."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(str(Path(paths[name]).resolve()) for name in ("purelib", "platlib")))


def environment(name: str, folder: Path) -> Path:
    """The Python of the environment ``name`` under ``folder``, built if it is missing or what it is made of changed.

    Raises:
        NotInstalledError: pip failed; the message ends with its last lines.
    """
    made_of = "\n".join([sys.version, *shared_packages(), requirements(name).read_text(encoding="utf-8")])
    root = folder / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    python = root / "bin" / "python"
    if not (root / BUILT).exists():
        shutil.rmtree(root, ignore_errors=True)
        print(f"building {root}", flush=True)
        _run([sys.executable, "-m", "venv", str(root)])
        (own,) = root.glob("lib/python*/site-packages")
        # pip sees these packages too, and installs none again whose version is as asked for
        (own / "shared.pth").write_text("".join(f"{path}\n" for path in shared_packages()), encoding="utf-8")
        pip = [str(python), "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check"]
        _run([*pip, "-r", str(requirements(name))])
        (root / BUILT).touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = " ".join(done.stdout.split("\n")[-6:]).strip()
        raise NotInstalledError(f"exit code {done.returncode} of {' '.join(command)}: {last}")
