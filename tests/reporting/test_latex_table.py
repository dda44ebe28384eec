"""The LaTeX table: what is escaped, its columns, and that LaTeX could read it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_by_hand import STORED
from report_folders import Page, make_run

import report
from utils.reporting.latex import escaped

PDFLATEX = shutil.which("pdflatex")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b", r"a\_b"),
        ("50 % & more", r"50 \% \& more"),
        ("$x^2$ #1 {y}~", r"\$x\textasciicircum{}2\$ \#1 \{y\}\textasciitilde{}"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a\nb\x1b[31m", "a b[31m"),
        ("\N{PLUS-MINUS SIGN} 0.1, \N{MINUS SIGN}2", r"$\pm$ 0.1, $-$2"),
        ("--seeds 1-2", "-{}-seeds 1-2"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
    ],
)
def test_special_characters_are_escaped(text: str, written: str) -> None:
    assert escaped(text) == written


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("latex")
    target = folder / "table.tex"
    assert report.main([str(STORED), "--out", str(folder / "out"), "--latex", str(target)]) == 0
    return target.read_text(encoding="utf-8").splitlines()


def test_rows_and_columns_are_those_of_the_page(lines: list[str], page: Page) -> None:
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    rows = [line.removesuffix(r" \\").split(" & ") for line in body if line != r"\addlinespace"]
    shown = page.rows("results")
    assert len(rows) == 2 * len(shown)
    assert {len(row) for row in rows} == {10}
    assert lines[lines.index(r"\toprule") - 1] == r"\begin{tabular}{@{}lrrrrrrrrr@{}}"
    for first, second, (name, seeds, mean, *_) in zip(rows[::2], rows[1::2], shown, strict=True):
        assert first[0].split(" (")[0] == escaped(name[0].split()[0])
        assert first[1] == seeds[0]
        assert re.sub(r"\\textbf\{(.*)\}", r"\1", first[2]) == mean[0].split()[0].removesuffix("\N{BLACK STAR}")
        assert second[0].startswith(r"{\footnotesize ")


def test_shared_headings_have_rules(lines: list[str]) -> None:
    top = lines.index(r"\toprule")
    assert lines[top + 1].startswith(r" &  & \multicolumn{2}{c}{AUC} & \multicolumn{2}{c}{FPR at TPR 98 \% (in \%)}")
    assert lines[top + 2] == "".join(rf"\cmidrule(lr){{{start}-{start + 1}}}" for start in (3, 5, 7, 9))


def test_a_name_that_begins_with_a_bracket_is_no_argument(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "[2cm]", training_type="*x")
    target = tmp_path / "table.tex"
    assert report.main([str(tmp_path / "runs"), "--latex", str(target)]) == 0
    assert "\n{}[2cm] & 2 & " in target.read_text(encoding="utf-8")


@pytest.mark.skipif(PDFLATEX is None, reason="needs pdflatex on the PATH")
def test_latex_reads_it(lines: list[str], tmp_path: Path) -> None:
    assert PDFLATEX is not None
    page = [r"\documentclass{article}\usepackage{booktabs}\begin{document}", *lines, r"\end{document}"]
    (tmp_path / "page.tex").write_text("\n".join(page), encoding="utf-8")
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_file_that_cannot_be_written_is_refused_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "runs", "run")
    assert report.main([str(tmp_path / "runs"), "--latex", str(tmp_path / "none" / "t.tex")]) == 2
    assert "--latex must be a file in a folder that exists" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "report").exists()
    assert report.main([str(tmp_path / "runs" / "run"), "--card", "--latex", str(tmp_path / "t.tex")]) == 2
    assert "--latex is for a report" in capsys.readouterr().err
