"""Which runs have the same data, and so may be compared."""

from __future__ import annotations

from collections.abc import Sequence

from .labels import ratio
from .read_seeds import Run, same_samples


def data_groups(runs: Sequence[Run]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Runs with the same data, class counts, critical class and test samples form a group; the largest is group 0."""
    groups: list[list[Run]] = []
    for run in runs:
        home = next((members for members in groups if _are_alike(members[0], run)), None)
        if home is None:
            groups.append(home := [])
        home.append(run)
    groups.sort(key=len, reverse=True)
    first = {members[0].critical: members[0] for members in reversed(groups)}
    differences = tuple(difference_of_data(first[members[0].critical], members[0]) for members in groups)
    return {run.name: number for number, members in enumerate(groups) for run in members}, differences


def _are_alike(first: Run, second: Run) -> bool:
    return first.critical == second.critical and not difference_of_data(first, second)


def difference_of_data(first: Run, second: Run) -> str:
    """How the data of the second run differ from those of the first, as text; '' if they are the same."""
    parts = []
    if first.record.checksum != second.record.checksum:
        parts.append(f"data checksum {second.record.checksum[:12]}, not {first.record.checksum[:12]}")
    for part in ("train", "validation", "test"):
        ours, theirs = first.record.class_counts[part], second.record.class_counts[part]
        if ours != theirs:
            parts.append(f"{part} set {ratio(theirs)}, not {ratio(ours)}")
    if not parts and first.record.sizes != second.record.sizes:
        parts.append("other sizes of the classes")
    one, other = (next(iter(run.seeds.values())) for run in (first, second))
    if not parts and not (same_samples(one.test, other.test) and same_samples(one.validation, other.validation)):
        parts.append("other test or validation samples")
    return "; ".join(parts)


def group_letter(group: int) -> str:
    """A, B, C, ..."""
    return chr(ord("A") + group) if group < 26 else f"#{group + 1}"
