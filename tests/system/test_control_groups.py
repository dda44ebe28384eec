"""Memory and cores where control groups limit them: trees of files as the kernel shows them."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from utils.system import control_groups
from utils.system.memory import memory_to_spare
from utils.system.resources import core_count

VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
VERSION_2 = "memory.max", "memory.current", "inactive_file"
UNLIMITED = 9223372036854771712  # as version 1 writes it


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(control_groups, "ROOT", tmp_path / "groups")
    monkeypatch.setattr(control_groups, "OWN", tmp_path / "cgroup")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    return tmp_path


def group(folder: Path, names: tuple[str, str, str], *, limit: int | str, used: int, dropped: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 12\n{names[2]} {dropped}\n")


def test_a_limit_of_version_2_counts_and_files_that_can_be_dropped_do_not(groups: Path) -> None:
    (groups / "cgroup").write_text("0::/system/job_7/step_0\n")
    group(groups / "groups/system/job_7/step_0", VERSION_2, limit="max", used=5000, dropped=0)
    group(groups / "groups/system/job_7", VERSION_2, limit=9000, used=5000, dropped=300)
    assert memory_to_spare() == 9000 - (5000 - 300)
    group(groups / "groups/system", VERSION_2, limit=7000, used=6500, dropped=0)
    assert memory_to_spare() == 500  # the tightest of all around


def test_version_1_beside_other_controllers(groups: Path) -> None:
    (groups / "cgroup").write_text("9:name=systemd:/\n4:hugetlb,memory:/docker/4caf\n1:cpu:/\n0::/\n")
    group(groups / "groups/memory", VERSION_1, limit=8000, used=6000, dropped=1000)
    assert memory_to_spare() == 3000  # the path is the host's, and the container's group is at the root
    group(groups / "groups/memory", VERSION_1, limit=UNLIMITED, used=6000, dropped=1000)
    assert memory_to_spare() > 1_000_000  # what /proc/meminfo says


def test_a_group_beyond_its_limit_has_nothing_left(groups: Path) -> None:
    (groups / "cgroup").write_text("0::/\n")
    group(groups / "groups", VERSION_2, limit=100, used=150, dropped=0)
    assert memory_to_spare() == 0


@pytest.mark.parametrize("content", ["", "0::/nowhere\n", "0::/../../other\n"])
def test_without_a_limit_the_machine_counts(groups: Path, content: str) -> None:
    (groups / "cgroup").write_text(content)
    assert 2**20 < memory_to_spare() < 2**62
    (groups / "cgroup").unlink()
    assert 2**20 < memory_to_spare() < 2**62


@pytest.mark.parametrize(
    ("own", "folder", "files", "cores"),
    [
        ("0::/job\n", "job", {"cpu.max": "150000 100000"}, 1),
        ("0::/job\n", "job", {"cpu.max": "50000 100000"}, 1),
        ("0::/job\n", "job", {"cpu.max": "max 100000"}, 64),
        ("0::/job\n", "job", {"cpu.max": ""}, 64),
        ("1:cpu,cpuacct:/docker/4caf\n", "cpu", {"cpu.cfs_quota_us": "400000", "cpu.cfs_period_us": "100000"}, 4),
        ("1:cpu,cpuacct:/docker/4caf\n", "cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_a_quota_limits_the_cores(
    groups: Path, monkeypatch: pytest.MonkeyPatch, own: str, folder: str, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    (groups / "cgroup").write_text(f"4:memory:/\n{own}")
    (groups / "groups" / folder).mkdir(parents=True)
    for name, content in files.items():
        (groups / "groups" / folder / name).write_text(content)
    assert core_count() == cores
