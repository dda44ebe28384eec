"""The HTML page: self-contained, accessible, and working in a real browser."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_folders import Page, make_run

import report
from utils.reporting.svg import Axis, Panel, axis, thinned

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


# --- the text of the page ----------------------------------------------------------------------------------


def test_loads_nothing(text: str, page: Page) -> None:
    assert "default-src 'none'" in text
    links = [value for _, given in page.tags for name, value in given.items() if name in ("href", "src", "action")]
    assert all(link is not None and re.match(r"#|data:", link) for link in links)
    assert not re.search(r"url\(|@import|https?://", text)


def test_every_chart_has_a_description(page: Page) -> None:
    charts = [given for tag, given in page.tags if tag == "svg" and given.get("class") == "chart"]
    # 4 forest plots, 2 panels for all rows, 2 for each of 4 objectives as ROC and again by epoch, 3 in each of 6 cards
    assert len(charts) == 4 + 2 + 4 * 2 * 2 + 6 * 3
    assert all(given.get("role") == "img" and len(given.get("aria-label") or "") > 40 for given in charts)


def test_links_and_labels_have_targets(page: Page) -> None:
    tags = page.tags
    ids = [given["id"] for _, given in tags if "id" in given]
    assert len(ids) == len(set(ids))
    wanted = [str(given["href"])[1:] for tag, given in tags if tag == "a"]
    wanted += [str(given["aria-labelledby"]) for _, given in tags if "aria-labelledby" in given]
    assert set(wanted) <= set(ids)


def test_tags_are_closed(text: str) -> None:
    for tag in ("section", "table", "tr", "td", "th", "div", "svg", "ul", "li", "details", "button", "span", "text"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag


def test_failed_seeds_are_listed_apart_from_unfinished_ones(page: Page, text: str) -> None:
    rows = [[cell for cell, _ in row] for row in page.rows("problems")]
    assert [row[:3] for row in rows] == [["s_lm_alm", "3", "failed"]]
    assert [[cell for cell, _ in row][:3] for row in page.rows("unfinished")] == [
        ["mbauc", "2", "unfinished"],
        ["bce_1to5", "–", "missing"],
        ["mbauc", "–", "missing"],
        ["s_lm", "–", "missing"],
    ]
    assert rows[0][3] == "the loss is not finite in epoch 1, batch 2: lower --lr or --mu"
    assert "--name_file_alm ALM_12_beg" in rows[0][4]
    assert "<li>1 failed or damaged, 4 not finished or not started: see the lists below.</li>" in text
    assert text.index("<h3>Failed</h3>") < text.index("<h3>Unfinished</h3>")


def test_data_versions_and_commands_are_listed(text: str, page: Page) -> None:
    (first, second) = ([cell for cell, _ in row] for row in page.rows("data"))
    assert first[:5] == ["A", "5", "111 : 11", "13 : 13", "46 : 44"]
    assert second[:3] == ["B", "1", "111 : 22"]
    assert re.fullmatch("[0-9a-f]{64}", first[5])
    assert second[7] == "train set 111 : 22, not 111 : 11"
    assert "torch 2." in page.rows("versions")[0][1][0]
    assert text.count("python main.py --dataset_name digits") >= 6


@pytest.mark.parametrize(
    ("found", "ticks"),
    [
        (axis(0, 1, ""), "0.0 0.2 0.4 0.6 0.8 1.0"),
        (axis(0.8, 1, "", percent=True), "80 85 90 95 100"),
        (axis(-0.02, 0.02, "", most=5), "−0.02 −0.01 0.00 0.01 0.02"),
        (axis(0, 0.012, "", percent=True, most=5), "0.00 0.25 0.50 0.75 1.00"),
    ],
)
def test_axes_have_round_ticks(found: Axis, ticks: str) -> None:
    assert " ".join(text for _, text in found.ticks) == ticks


def test_ticks_without_room_are_left_out() -> None:
    """Five texts of 6 letters need 5 x (12 + 6 x 6.6) = 258 units between the first and the last, and have 4 steps."""
    found = axis(-0.005, 0.005, "", most=5)
    assert [text for _, text in found.ticks] == ["−0.004", "−0.002", "0.000", "0.002", "0.004"]
    assert thinned(found, 5 * 51.6) == found  # a step is a fifth of the plot
    assert [text for _, text in thinned(found, 5 * 51.5).ticks] == ["−0.004", "0.000", "0.004"]
    assert [text for _, text in thinned(found, 60).ticks] == ["0.000"]


def test_a_line_is_drawn_where_its_numbers_are() -> None:
    panel = Panel(axis(0, 1, "x"), axis(0, 1, "y"), "t", width=176, height=172)  # the plot is 100 x 100
    panel.line([(0, 0), (0, 0.5), (0, 0.75), (1, 1)], "c0")
    assert panel.marks[0].attributes["d"] == "M0 100L0 25L100 0"  # the middle of a vertical run is left out


# --- in a browser ------------------------------------------------------------------------------------------


def chromium(page: Path, tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a headless browser; its console goes to stderr."""
    assert CHROMIUM is not None
    fixed = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --v=0"
    command = [CHROMIUM, *fixed.split(), *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=3000", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def with_script(text: str, script: str, to: Path) -> Path:
    """Write the page with ``script`` at its end and without its policy, which would block the script."""
    to.write_text(POLICY.sub("", text).replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return to


def title_after(text: str, script: str, tmp_path: Path, *flags: str) -> str:
    """The title of the page that ``script`` set."""
    done = chromium(with_script(text, script, tmp_path / "asked.html"), tmp_path, "--dump-dom", *flags)
    assert not console(done)
    found = re.search(r"<title>(.*?)</title>", done.stdout, flags=re.DOTALL)
    assert found, done.stderr
    return found.group(1)


@browser
@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_renders_without_console_messages(out: Path, tmp_path: Path, width: int, scheme: str) -> None:
    picture = tmp_path / "picture.png"
    setting = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    done = chromium(out / "report.html", tmp_path, f"--window-size={width},900", f"--screenshot={picture}", setting)
    assert not console(done)
    content = picture.read_bytes()
    assert struct.unpack(">II", content[16:24]) == (width, 900)
    assert len(content) > 20_000  # not an empty page


@pytest.mark.slow
@browser
def test_script_errors_reach_the_console(text: str, tmp_path: Path) -> None:
    broken = with_script(text, "nothing.at.all()", tmp_path / "broken.html")
    assert "nothing is not defined" in console(chromium(broken, tmp_path, "--dump-dom"))[0]
    foreign = tmp_path / "foreign.html"
    foreign.write_text(text.replace("</body>", "<script>document.title = 'ours'</script></body>"), encoding="utf-8")
    done = chromium(foreign, tmp_path, "--dump-dom")  # the policy blocks any other script
    assert "Content Security Policy" in console(done)[0]
    assert "<title>ours" not in done.stdout


ORDER = """
const table = document.getElementById("results");
const heads = [...table.querySelectorAll("tr.heads th")];
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[COLUMN].dataset.value).join(" ");
const seen = [order()];
for (let i = 0; i < 3; i++) {
  heads[COLUMN].querySelector("button").click();
  seen.push((heads[COLUMN].getAttribute("aria-sort") || "none") + " " + order());
}
document.title = seen.join("; ");
"""


@browser
@pytest.mark.parametrize("column", [1, 3])
def test_a_click_sorts(text: str, page: Page, tmp_path: Path, column: int) -> None:
    values = [row[column][1] for row in page.rows("results")]
    first, up, down, back = title_after(text, ORDER.replace("COLUMN", str(column)), tmp_path).split("; ")
    assert first.split() == values
    assert up.split() == ["ascending", *sorted(values, key=float)]
    assert down.split() == ["descending", *sorted(values, key=float, reverse=True)]
    assert back.split() == ["none", *values]


@browser
def test_a_legend_entry_highlights_its_curve(text: str, tmp_path: Path) -> None:
    script = """
const button = document.querySelector(".legend button[data-row=bce_alm]");
const figure = button.closest(".figure");
const state = () => [figure.classList.contains("focus"), figure.querySelectorAll(".chosen").length,
  [...figure.querySelectorAll(".chosen")].every((line) => line.dataset.row === "bce_alm")].join(" ");
button.click();
const first = state();
button.click();
document.title = first + "; " + state();
"""
    assert title_after(text, script, tmp_path) == "true 2 true; false 0 true"


@pytest.mark.slow
@browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overflows_sideways(text: str, tmp_path: Path, width: int) -> None:
    """Long names wrap; wide tables scroll inside their box."""
    make_run(tmp_path / "runs", "x" * 100, training_type="Y" * 60, command="python main.py --" + "z" * 300)
    make_run(tmp_path / "runs", "w" * 100, training_type="Y" * 60, use_ALM=1)
    assert report.main([str(tmp_path / "runs"), "--out", str(tmp_path)]) == 0
    wide = (tmp_path / "report.html").read_text(encoding="utf-8")
    script = "document.title = document.documentElement.scrollWidth + ' ' + window.innerWidth"
    for page in (wide, text):
        content, window = map(int, title_after(page, script, tmp_path, f"--window-size={width},900").split())
        assert content <= window == width


@pytest.fixture(autouse=True)
def no_profile_left(tmp_path: Path) -> Iterator[None]:
    """A browser's profile is tens of megabytes."""
    yield
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)
