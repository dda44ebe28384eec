"""Values in files of the user mean what they mean on the command line; nothing is read by YAML's or Python's rules."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from utils.config.options import convert
from utils.config.settings import read_config
from utils.errors import UserError
from utils.system.text_files import UnreadableError, parse_json, read_json_as_written
from utils.system.yaml_files import read_yaml, read_yaml_as_written


@pytest.mark.parametrize(
    "text",
    ["1:20", "010", "1_3", "no", "yes", "on", "1.10", "0x1f", "0b11", "0o17", "1e3", ".inf", "2026-11-25", "=", "~/a"],
)
def test_a_value_of_a_users_yaml_is_the_text_that_stands_there(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(f"a: {text}\nb: [{text}, x]\n{text}: c\n")
    assert read_yaml_as_written(path) == {"a": text, "b": [text, "x"], text: "c"}


@pytest.mark.parametrize("text", ["~", "null", ""])
def test_nothing_stays_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(f"a: {text}\n")
    assert read_yaml_as_written(path) == {"a": None}


def test_a_number_of_a_users_json_is_the_text_that_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"a": 1.10, "b": 1e3, "c": [20, "x"], "d": true}')
    assert read_json_as_written(path) == {"a": "1.10", "b": "1e3", "c": ["20", "x"], "d": True}


@pytest.mark.parametrize("content", ["a: 1\na: 2\n", "a: 1\nb: {c: 1, c: 1}\n", '{"a": 1, "a": 1}', "- {a: 1, 'a': 2}"])
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(content)
    for read in (read_yaml, read_yaml_as_written):
        with pytest.raises(UnreadableError, match=r"it has [ac] twice"):
            read(path)
    if content.startswith("{"):
        with pytest.raises(UnreadableError, match="it has a twice"):
            parse_json(content)


def test_a_merged_key_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}\n")
    assert read_yaml_as_written(path)["y"] == {"a": "3", "b": "2"}


@pytest.mark.parametrize("ending", [".json", ".yaml"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    path.write_bytes(b'\xef\xbb\xbf{"lr": 0.02}')
    assert read_config(path, "here") == {"lr": 0.02}


@pytest.mark.parametrize("name", ["ratio_pos_train", "seeds", "bsize", "lr", "tpr", "subset_ratios", "gamma"])
@pytest.mark.parametrize("text", ["1:20", "1_3", "0x10", "１", "1e", "", "nan", "inf", "0b1", "--1", "1 000"])
def test_numbers_are_read_by_one_rule(name: str, text: str) -> None:
    if text == "1 000" and name in ("tpr", "seeds", "subset_ratios"):
        pytest.skip("these take several numbers")
    with pytest.raises(ValueError, match=f"{name} must be "):
        convert(name, text, "here")


@pytest.mark.parametrize(
    "value, expected",
    [
        ("1 3,5", ("1 3,5",)),  # a list, or the name of a class: the data must know
        (["1", "3,5"], (1, "3,5")),
        ([1, 3], (1, 3)),
        ("-1", (-1,)),
        ("+2", ("+2",)),
        ("benign nevus,melanoma", ("benign nevus,melanoma",)),
        (["benign nevus", "3"], ("benign nevus", 3)),
        ("3 mm", ("3 mm",)),
        ("1_3", ("1_3",)),  # a name, which the data must know
    ],
)
def test_classes_are_numbers_or_names(value: object, expected: tuple[object, ...]) -> None:
    assert convert("positive_classes", value, "here") == expected


@pytest.mark.parametrize("value", [[1, 1], ["ill", "ill"], ["1", 1]])
def test_a_class_stands_once(value: list[object]) -> None:
    with pytest.raises(ValueError, match=f"negative_classes must be .* \\(from here\\): {value[0]} stands twice"):
        convert("negative_classes", value, "here")


@pytest.mark.parametrize(
    "value, expected", [("100", 100), ("100.0", 100), (2.5, 2.5), ("natural", "natural"), ("1e2", 100)]
)
def test_a_ratio_is_an_integer_where_it_is_one(value: object, expected: object) -> None:
    found = convert("ratio_pos_train", value, "here")
    assert (type(found), found) == (type(expected), expected)
    assert convert("subset_ratios", value, "here") == (expected,)


@pytest.mark.parametrize(
    "name, text, rule",
    [
        ("seeds", "1 1", "1 stands twice"),
        ("seeds", "10-1", "10-1 runs backwards; write 1-10"),
        ("seeds", "1-99999", "at most 10,000 seeds"),
        ("tpr", "0.95 0.95", "0.95 stands twice"),
        ("subset_ratios", "natural 2", "natural stands alone"),
        ("model_name", "b" * 129, "at most 128 characters, got 129"),
        ("model_name", ".x", "the first character must be a letter"),
        ("data_root", "a\u00a0b", r"it holds '\\xa0', which cannot be printed"),
        ("cost_ratio", "1e308", r"its magnitude must be 0 or in \[1e-30, 1e\+30\]"),
        ("lr", "1e-320", "its magnitude must be"),
        ("bsize", "99999999999999999999", "at most 9007199254740992"),
    ],
)
def test_a_message_names_the_rule_that_refused(name: str, text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be .* \(from here\): {rule}"):
        convert(name, text, "here")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert convert("data_root", "~/data", "here") == "/somewhere/data"
    assert convert("checkpoint_root", "a/~", "here") == "a/~"


def test_a_table_keeps_names_and_refuses_what_the_command_line_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    rows = "".join(f"  - {{name: {name}, objective: baseline_bce}}\n" for name in ("no", "1.10", "010"))
    path.write_text(f"seeds: 1\ncommon: {{dataset_name: digits, resnet_type: linear}}\nrows:\n{rows}")
    assert sweep.main([str(path), "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert all(f"--model_name {name} " in shown for name in ("no", "1.10", "010"))
    path.write_text(f"seeds: 1\ncommon: {{dataset_name: digits, ratio_pos_train: 1:20}}\nrows:\n{rows}")
    assert sweep.main([str(path), "--dry_run"]) == 2
    assert "must be natural or a number >= 1 (negatives per positive), got 1:20" in capsys.readouterr().err
    with pytest.raises(UserError, match="trials must be an integer"):
        sweep_search(tmp_path, "1_0")


def sweep_search(folder: Path, trials: str) -> None:
    from utils.sweeping.blocks import block_of
    from utils.sweeping.table_file import read_table

    path = folder / "s.yaml"
    path.write_text(
        f"search: {{trials: {trials}, seed: 1, sampler: tpe, flags: {{lr: {{low: 0.1, high: 1}}}},"
        " select: validation AUC}\n"
    )
    block_of(read_table(path))
