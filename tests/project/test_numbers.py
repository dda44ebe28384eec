"""Numbers in the pages: each that a link to committed results names stands there; those of README have such a link."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from utils.losses import LOSSES
from utils.metrics.promised_thresholds import samples_needed
from utils.samplers import SAMPLERS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+|\b\d+ of \d+")


def numbers(text: str) -> list[str]:
    """Those with a decimal point, and counts of what was clear."""
    return NUMBER.findall(" ".join(text.split()))


LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#]+)\)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CLAIMS = [
    (number, (page.parent / target).resolve().relative_to(ROOT).as_posix())
    for page in PAGES
    for text, target in LINK.findall(page.read_text(encoding="utf-8"))
    if "results" in Path(target).parts
    for number in numbers(text)
]


def test_there_are_claims() -> None:
    assert len(CLAIMS) >= 10


@pytest.mark.parametrize(("number", "target"), CLAIMS)
def test_a_number_in_a_link_stands_in_the_file(number: str, target: str) -> None:
    text = (ROOT / target).read_text(encoding="utf-8")
    assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d])", text), f"{number} is not in {target}"


def paragraphs(page: Path) -> list[str]:
    """Without code."""
    blocks = re.split(r"\n\s*\n", page.read_text(encoding="utf-8"))
    return [re.sub(r"`[^`]*`", "", block) for block in blocks if not block.startswith(("    ", "```"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_paragraph_with_a_link_to_results_has_its_numbers_in_links(page: Path) -> None:
    for paragraph in paragraphs(page):
        if any("results" in Path(target).parts for _, target in LINK.findall(paragraph)):
            assert numbers(re.sub(r"!?\[[^\]]*\]\([^)]*\)", "", paragraph)) == [], paragraph


TABLES = [
    (page, before, table)
    for page in PAGES
    if page.name != "remedies.md"  # tests/studies/test_published.py makes its table again
    for before, table in pairwise(paragraphs(page))
    if table.startswith("|") and any("results" in Path(target).parts for _, target in LINK.findall(before))
]


def test_a_table_below_such_a_link_has_its_numbers_from_there() -> None:
    assert len(TABLES) >= 2
    for page, before, table in TABLES:
        targets = [target for _, target in LINK.findall(before) if "results" in Path(target).parts]
        texts = "\n".join((page.parent / target).read_text(encoding="utf-8") for target in targets)
        missing = [number for number in numbers(table) if not re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", texts)]
        assert missing == [], f"{page.name} below: {before}"


def test_what_was_found_has_no_number_outside_a_link() -> None:
    section = README[README.index("## What was found") : README.index("## Links")]
    assert numbers(re.sub(r"!?\[[^\]]*\]\([^)]*\)", "", section)) == []


def test_counts() -> None:
    assert f"trains {len(LOSSES)} objectives with {len(SAMPLERS)}\nsamplers" in README
    assert f"{samples_needed(0.02, 0.05)} for 98 % from a set of their own" in README


def test_every_table_file_is_counted() -> None:
    page = " ".join((ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8").split())
    kinds = {  # what the page says -> the files that it means
        "the paper's four tables": r"cifar\d+_1_\d+",
        "a quick one, a grid, a search, a cross-validation": r"quick|quick_grid|quick_search|mnist_same_other_all",
        "two comparisons": r"comparison_\w+",
        "four tables of published numbers": r"published_\w+",
        "six of long-tailed classes": r"cifar\d+_lt_\w+",
    }
    files = [path.stem for path in (ROOT / "configs" / "table").glob("*.yaml")]
    counted = [sum(bool(re.fullmatch(pattern, name)) for name in files) for pattern in kinds.values()]
    assert counted == [4, 4, 2, 4, 6]
    assert sum(counted) == len(files)
    assert all(text in page for text in kinds)
