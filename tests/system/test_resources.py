"""The GPUs and the user that a sweep sees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from utils.errors import UserError
from utils.sweeping.slurm import _squeue
from utils.system.resources import share_out, visible_gpus


def program(folder: Path, name: str, text: str) -> None:
    """An executable of that name."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    "value, expected",
    [
        ("0,1", ("0", "1")),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, 3", ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "3")),
        ("MIG-GPU-8932f937/1/0", ("MIG-GPU-8932f937/1/0",)),
        ("", ()),
        ("-1", ()),
        (" -1", ()),
        ("NoDevFiles", ()),
        ("none", ()),
        ("-1,0", ()),  # CUDA hides what stands behind an invalid entry
        ("0,-1,1", ("0",)),
        ("1,x,2", ("1",)),
        ("1,,2", ("1",)),
    ],
)
def test_visible_gpus_are_those_that_cuda_sees(
    value: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == expected
    assert share_out(None, None).gpus == expected


def test_an_nvidia_smi_that_hangs_or_cannot_start_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "nvidia-smi", "#!/nowhere/interpreter\n")
    with pytest.raises(UserError, match=r"cannot ask nvidia-smi .*name them in CUDA_VISIBLE_DEVICES"):
        visible_gpus()

    def hang(*command: Any, timeout: float, **options: Any) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(UserError, match="it gave no answer in 30 s"):
        visible_gpus()


def test_a_user_without_a_name_is_asked_for_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: no variable and no entry in the user database has the name."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    program(tmp_path, "squeue", f'#!/bin/sh\n[ "$4" = {os.getuid()} ] && echo 17_1\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _squeue() == frozenset({"17_1"})


def test_a_squeue_that_cannot_start_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "squeue", "#!/nowhere/interpreter\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _squeue() is None
