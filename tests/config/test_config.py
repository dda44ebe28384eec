"""From files and command line to settings: what wins, where each value came from, what is refused."""

from __future__ import annotations

import doctest
import inspect
import json
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import predict
import prepare
import report
import sweep
import utils
from models import MODELS
from utils.commands.main import FIRST_WORDS, main
from utils.config.command_line import parse
from utils.config.constructors import takers
from utils.config.options import ALIASES, GROUPS, MOST_USED, OPTIONS, Config, convert, spelled
from utils.config.settings import find_config, read_config, resolve
from utils.config.synonyms import ABSENT
from utils.config.synonyms import FLAGS as SYNONYMS
from utils.config.synonyms import VALUES as SYNONYMOUS_VALUES
from utils.constraints import CONSTRAINTS, constraint_class, label
from utils.constraints.base import default_mu_limit
from utils.data import class_names, defaults_for, load_raw
from utils.data.sources import ArraySource, class_numbers
from utils.errors import UserError
from utils.losses import LOSSES
from utils.run.components import CLASSES, build_constraint, build_loss, check_components
from utils.samplers import SAMPLERS
from utils.sweeping import arguments as sweeping_arguments
from utils.system.installation import CONFIGS

ROOT = Path(__file__).resolve().parents[2]

BASE_FILES, ALM_FILES = (sorted(path.stem for path in (CONFIGS / name).iterdir()) for name in ("baseline", "ALM"))
FACTS = {"class_counts": (4410, 44), "ratio_pos_train": 100, "num_samples": 5000}
CONSTRAINT_FACTS = {**FACTS, "first_epoch": 0}

# The command line is what scripts and papers rely on: a flag is added here on purpose, and none is ever removed.
FLAGS = [
    *("train", "seeds", "resume", "num_epochs", "evaluate_every_steps", "dry_run"),
    *("name_file_bs", "name_file_alm", "model_name", "subfolder_name", "checkpoint_root"),
    *("dataset_name", "data_root", "download", "negative_classes", "positive_classes", "ratio_pos_train"),
    *("validation_fraction", "validation_per_class", "calibration_fraction", "train_fraction", "augment"),
    "images",
    *("task", "classes", "critical_classes", "imbalance", "imbalance_factor", "select"),
    *("folds", "fold", "subset_ratios", "test_subset", "train_on", "downsample"),
    *("resnet_type", "hidden_widths", "weights", "freeze_epochs", "image_size", "normalisation"),
    *("training_type", "gamma", "m", "c", "beta", "tau", "focal_alpha", "max_fpr", "anyloss_metric", "f_beta"),
    *("amplification", "drw_from", "eps", "max_margin", "scale"),
    *("use_ALM", "constraint", "tpr_at_least", "fpr_at_most"),
    *("introd_ALM_from", "p2_norm", "mu", "mu_limit", "rho", "delta", "against", "cap_mu"),
    *("sampler", "positive_share", "least_positives", "natural_from", "temperature", "cool_down", "neighbours"),
    *("optimizer", "lr", "momentum", "weight_dec", "bsize"),
    *("lr_decrease", "patience_lr", "schedule", "warm_up", "lr_steps", "lr_factor", "ema"),
    "patience_early_stopping",
    *("continue_train", "continue_train_epochs", "baseline_cont_train"),
    *("tpr", "fpr", "promise", "cost_ratio", "alpha"),
    *("device", "precision", "threads", "parallel_seeds", "compile", "deterministic", "keep_last", "hot_enc"),
]

# flag of alm-dnn -> kind, default; None: it follows from other options, the data set or the base file
REFERENCE: dict[str, tuple[str, Any]] = {
    "train": ("switch", 1),
    "name_file_bs": ("text", ""),
    "name_file_alm": ("text", ""),
    "model_name": ("name", None),
    "subfolder_name": ("name", "runs"),
    "dataset_name": ("name", "cifar10"),
    "bsize": ("int", 64),
    "lr_decrease": ("switch", 0),
    "patience_lr": ("int", 10),
    "patience_early_stopping": ("int", 30),
    "continue_train": ("switch", 0),
    "continue_train_epochs": ("int", 50),
    "baseline_cont_train": ("name", None),
    "ratio_pos_train": ("ratio", None),
    "hot_enc": ("int", 0),
    "num_epochs": ("int", 100),
    "resnet_type": ("text", "resnet10"),
    "training_type": ("text", "BCE"),
    "gamma": ("float", None),
    "m": ("float", None),
    "c": ("float", None),
    "beta": ("float", None),
    "use_ALM": ("switch", 0),
    "introd_ALM_from": ("int", 0),
    "p2_norm": ("float", 1.0),
    "mu": ("float", 0.1),
    "mu_limit": ("float", None),
    "rho": ("float", 2.0),
    "delta": ("float", 0.0),
    "cap_mu": ("switch", 1),
    "weight_dec": ("float", 2e-4),
}
TEXTS: dict[str, tuple[str, Any, str]] = {  # kind -> a legal text, its value, an illegal text
    "switch": ("1", 1, "2"),
    "int": ("7", 7, "7.5"),
    "float": ("0.75", 0.75, "x"),
    "text": ("BCE", "BCE", "a\nb"),
    "name": ("plain-1.5", "plain-1.5", "a/b"),
    "ratio": ("99", 99, "0.5"),
}


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A folder of configs: base.yaml with mu 0.2, rho 3 and a focal loss; alm.yaml with mu 0.3."""
    folder = tmp_path / "configs"
    for name, content in {
        "baseline/Base.yaml": "training_type: SYM_FL\ngamma: 1.5\nmu: 0.2\nrho: 3\n",
        "ALM/alm.yaml": "use_ALM: 1\nmu: 0.3\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def refused(argv: list[str], **options: Any) -> str:
    """The one line with which ``resolve`` refuses."""
    with pytest.raises(UserError) as caught:
        resolve(argv, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- precedence --------------------------------------------------------------------------------------------


def test_a_later_source_wins_and_each_value_knows_its_own(configs: Path) -> None:
    files = ["--name_file_bs", "base", "--name_file_alm", "alm"]
    found = resolve([*files, "--gamma", "2"], configs=configs)
    assert (found.config.bsize, found.origins["bsize"]) == (64, "default")
    assert (found.config.rho, found.origins["rho"]) == (3.0, "configs/baseline/Base.yaml")
    assert (found.config.mu, found.origins["mu"]) == (0.3, "configs/ALM/alm.yaml")
    assert (found.config.gamma, found.origins["gamma"]) == (2.0, "the command line")
    assert found.origins["name_file_bs"] == "the command line"
    assert set(found.origins) == set(OPTIONS)
    assert [found.is_given(name) for name in ("bsize", "rho", "mu", "gamma")] == [False, True, True, True]


def test_what_wins_over_a_file_is_said(configs: Path) -> None:
    files = ["--name_file_bs", "base", "--name_file_alm", "alm"]
    assert resolve([*files, "--gamma", "2"], configs=configs).notes == (
        "mu = 0.3 (configs/ALM/alm.yaml) wins over 0.2 (configs/baseline/Base.yaml)",
        "gamma = 2.0 (command line) wins over 1.5 (configs/baseline/Base.yaml)",
    )
    # the same value contradicts nobody
    assert resolve(["--name_file_bs", "base", "--gamma", "1.50"], configs=configs).notes == ()


def test_a_config_of_the_working_folder_comes_before_that_of_the_program(
    configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (configs / "baseline" / "baseline_LDAM.json").write_text('{"training_type": "BCE"}')
    monkeypatch.chdir(configs.parent)
    found = resolve(["--name_file_bs", "baseline_ldam", "--name_file_alm", "alm"])
    assert (found.config.training_type, found.config.mu) == ("BCE", 0.3)
    assert found.notes == (
        "name_file_bs baseline_ldam is configs/baseline/baseline_LDAM.json of the working folder",
        "name_file_alm alm is configs/ALM/alm.yaml of the working folder",
    )
    found = resolve(["--name_file_bs", "baseline_bce", "--name_file_alm", "ALM_12_beg"])  # it has none of these
    assert (found.config.mu, found.origins["mu"], found.notes) == (0.01, "configs/ALM/ALM_12_beg.yaml", ())
    assert "did you mean Base?" in refused(["--name_file_bs", "bas"])
    assert "Known: Base, baseline_AUCM, " in refused(["--name_file_bs", "nothing_like_it"])


def test_the_folder_of_the_program_is_no_other_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert resolve(["--name_file_bs", "baseline_bce"]).notes == ()


def test_the_order_of_flags_does_not_matter(configs: Path) -> None:
    first = resolve(["--gamma", "2", "--name_file_bs", "base"], configs=configs)
    second = resolve(["--name_file_bs", "base", "--gamma", "2"], configs=configs)
    assert (first.config, first.origins, first.notes) == (second.config, second.origins, second.notes)


def test_the_command_can_be_pasted_into_a_shell() -> None:
    argv = ["--data_root", "my data", "--tpr", "0.9", "0.8"]
    assert shlex.split(resolve(argv).command) == ["python", "main.py", *argv]


def test_an_unused_flag_is_accepted_and_says_so() -> None:
    assert resolve(["--hot_enc", "0"]).notes == ("hot_enc is ignored; it is accepted for alm-dnn compatibility",)


def test_open_values_are_filled_in_once() -> None:
    scans = resolve(["--dataset_name", "scans", "--lr", "0.5"])
    first = scans.completed({"lr": 0.1, "augment": "crop", "validation_fraction": None}, "the data")
    assert (first.config.lr, first.config.augment, first.config.validation_fraction) == (0.5, "crop", None)
    assert (first.origins["augment"], first.origins["validation_fraction"]) == ("the data", "default")
    shown = first.as_yaml_ready()
    assert shown["seeds"] == {"value": list(range(1, 11)), "origin": "default"}
    assert yaml.safe_load(yaml.safe_dump(shown)) == shown


OF_THE_DATA = ("lr", "negative_classes", "positive_classes", "augment", "validation_fraction", "validation_per_class")


@pytest.mark.parametrize(
    "argv, expected",
    [
        ("cifar10", (0.01, (1,), (9,), "crop_flip", None, 100, 100)),
        ("cifar100", (0.001, (72, 4, 95, 30, 55), (73,), "crop_flip", None, 50, 100)),
        ("digits", (0.01, (1, 3, 5, 7, 9), (0, 2, 4, 6, 8), "none", 0.1, None, 20)),
        ("cifar10 --positive_classes 9", (0.01, None, (9,), "crop_flip", None, 100, 100)),  # the rest is negative
        ("digits --negative_classes 3", (0.01, (3,), None, "none", 0.1, None, 20)),
        ("cifar10 --validation_fraction 0.2 --lr 1", (1.0, (1,), (9,), "crop_flip", 0.2, None, 100)),
        ("cifar10 --folds 3", (0.01, (1,), (9,), "crop_flip", 0.1, None, None)),  # the subsets decide on the ratio
        ("scans", (0.01, None, None, None, None, None, "natural")),  # data of one's own: the rest follows from them
        ("scans --folds 3", (0.01, None, None, None, 0.1, None, None)),
    ],
)
def test_what_follows_from_the_name_of_the_data_set(argv: str, expected: tuple[Any, ...]) -> None:
    found = resolve(["--dataset_name", *argv.split()])
    assert tuple(getattr(found.config, name) for name in (*OF_THE_DATA, "ratio_pos_train")) == expected
    for name in OF_THE_DATA:
        given = f"--{name}" in argv
        value = getattr(found.config, name)
        origin = "the command line" if given else "default" if value is None else f"default of {argv.split()[0]}"
        assert found.origins[name] == origin


@pytest.mark.parametrize(
    "argv, name",
    [
        ("", "cifar10_BCE_1to100"),
        ("--resnet_type featureless --folds 3", "cifar10_featureless_subset1_on_same_fold1of3"),
        ("--name_file_bs bce_smote --ratio_pos_train 5", "cifar10_bce_smote_1to5"),
        ("--ratio_pos_train 2.5", "cifar10_BCE_1to2.5"),
        ("--ratio_pos_train 10.0", "cifar10_BCE_1to10"),
        ("--ratio_pos_train natural", "cifar10_BCE_natural"),
        ("--sampler smote --use_ALM 1 --delta 0.5", "cifar10_BCE_smote_ALM_mu0.1_delta0.5_1to100"),
        ("--name_file_alm ALM_15_beg --delta 1", "cifar10_BCE_ALM_15_beg_delta1_1to100"),
        ("--use_ALM 1 --constraint rate --mu 1", "cifar10_BCE_rate_mu1_1to100"),
        ("--name_file_alm RATE_TPR98", "cifar10_BCE_RATE_TPR98_1to100"),
    ],
)
def test_the_default_name_of_a_run(argv: str, name: str) -> None:
    assert resolve(argv.split()).config.model_name == name


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["base", "BASE", "Base.yaml", "bAsE.YAML"])
def test_names_are_found_without_regard_to_case(configs: Path, name: str) -> None:
    found = resolve(["--name_file_bs", name], configs=configs)
    assert (found.config.gamma, found.origins["gamma"]) == (1.5, "configs/baseline/Base.yaml")


def test_the_reference_s_spelling_is_found() -> None:
    assert find_config([CONFIGS / "baseline"], "baseline_BCE", flag="name_file_bs").name == "baseline_bce.yaml"


def test_json_reads_as_yaml_does(configs: Path) -> None:
    content = yaml.safe_load((configs / "baseline" / "Base.yaml").read_text())
    (configs / "baseline" / "Same.json").write_text(json.dumps(content))
    as_yaml = resolve(["--name_file_bs", "base"], configs=configs)
    as_json = resolve(["--name_file_bs", "same"], configs=configs)
    differing = {name for name in OPTIONS if getattr(as_yaml.config, name) != getattr(as_json.config, name)}
    assert differing == {"name_file_bs", "model_name"}  # the default name of a run holds the file's
    assert as_json.origins["gamma"] == "configs/baseline/Same.json"


@pytest.mark.parametrize("text, mu", [("1e-2", 0.01), ("1.0e-2", 0.01), ("'0.01'", 0.01), ("1", 1.0)])
def test_numbers_become_floats_however_yaml_reads_them(configs: Path, text: str, mu: float) -> None:
    (configs / "ALM" / "alm.yaml").write_text(f"use_ALM: 1\nmu: {text}\n")
    found = resolve(["--name_file_alm", "alm"], configs=configs).config.mu
    assert (type(found), found) == (float, mu)


def test_null_leaves_the_default(configs: Path) -> None:
    (configs / "ALM" / "alm.yaml").write_text("use_ALM: true\nmu: null\n")
    found = resolve(["--name_file_alm", "alm"], configs=configs)
    assert (found.config.use_ALM, found.config.mu, found.origins["mu"]) == (1, 0.1, "default")


@pytest.mark.parametrize(
    "content, words",
    [
        ("gama: 1", r"unknown key 'gama' \(from configs/baseline/Base.yaml\); did you mean gamma or ema\? Known: "),
        ("3: 1", r"unknown key '3' \(from configs/baseline/Base.yaml\)"),
        ("name_file_alm: alm", r"unknown key 'name_file_alm' \(from configs/baseline/Base.yaml\)"),
        ("gamma: high", r"gamma must be a number >= 0, got high \(from configs/baseline/Base.yaml\)"),
        ("gamma: [1, 2]", r"gamma must be a number >= 0, got 1 2 \(from configs/baseline/Base.yaml\)"),
        ("gamma: true", "gamma must be a number >= 0, got true"),
        ("gamma: .nan", "gamma must be a number >= 0, got .nan"),
        ('gamma: "1\\n2"', r"gamma must be a number >= 0, got '1\\n2' \(from"),
        ("bsize: 1.5", "bsize must be an integer >= 1, got 1.5"),
        ("use_ALM: 2", "use_ALM must be 0 or 1, got 2"),
        ("model_name: a/b", "model_name must be a plain name .* got a/b"),
        ("", r"configs/baseline/Base.yaml must hold lines such as 'gamma: 2.0', got NoneType"),
        ("- gamma", ".*must hold lines such as 'gamma: 2.0', got list"),
        ("gamma: [1", r"cannot read configs/baseline/Base.yaml: expected ',' or ']', but got .* \(line 1\)"),
        ("!!python/object/apply:os.getcwd []", "cannot read configs/baseline/Base.yaml: could not determine"),
        ("gamma: 1\n\0", "cannot read configs/baseline/Base.yaml"),
    ],
)
def test_bad_content_of_a_file(configs: Path, content: str, words: str) -> None:
    (configs / "baseline" / "Base.yaml").write_text(content)
    assert re.match(words, refused(["--name_file_bs", "base"], configs=configs))


def test_a_file_of_bytes_and_a_folder_in_the_place_of_a_file(configs: Path) -> None:
    (configs / "baseline" / "Base.yaml").write_bytes(b"\xff\xfe\x00")
    assert refused(["--name_file_bs", "base"], configs=configs).startswith("cannot read configs/baseline/Base.yaml: ")
    (configs / "ALM" / "folder.yaml").mkdir()
    assert refused(["--name_file_alm", "folder"], configs=configs).startswith("cannot read configs/ALM/folder.yaml: ")


def test_an_unknown_name_lists_the_near_ones() -> None:
    message = refused(["--name_file_bs", "baseline_bec"])
    assert message.startswith("unknown name_file_bs 'baseline_bec'; did you mean baseline_bce or ")
    assert all(name in message for name in BASE_FILES)
    assert "did you mean ALM_12_beg or " in refused(["--name_file_alm", "ALM_12"])
    assert re.match(r"unknown name_file_bs '../x'\. Known: baseline_AUCM, ", refused(["--name_file_bs", "../x"]))


@pytest.mark.parametrize(
    "argv, words",
    [
        ("--criterion focal", "'--criterion'; did you mean --training_type or --name_file_bs?"),
        ("--arch=mlp", "'--arch=mlp'; did you mean --resnet_type?"),
        ("--data digits", "did you mean --dataset_name?"),
        ("--batchsize 8", "did you mean --bsize?"),
        ("--batch-size 8", "did you mean --batch_size?"),
        ("--Epochs 8", "did you mean --epochs?"),
        ("--gpu 0", "did you mean --device?"),
        ("--learning_rate 1", "did you mean --lr?"),
        ("--num-epochs 8", "did you mean --num_epochs?"),
        ("--pretrained", "did you mean --weights?"),
        ("--img-size 64", "did you mean --image_size?"),
        ("--loss focal", "unknown loss 'focal' (from the command line as loss); did you mean ALPHA_FL or SYM_FL or AS"),
        ("--training_type focal", "did you mean ALPHA_FL or SYM_FL or ASYM_FL? Known: "),
        ("--training_type bce", "did you mean BCE? Known: "),
        ("--training_type Cross-Entropy", "did you mean BCE or WCE? Known: "),
        ("--sampler oversampling", "did you mean oversample? Known: "),
        ("--name_file_bs bce", "did you mean baseline_bce? Known: "),
        ("--name_file_bs focal", "did you mean baseline_alpha_FL or baseline_s_FL_g2 or baseline_a_FL_g2? Known: "),
    ],
)
def test_a_name_that_other_programs_use_suggests_ours(argv: str, words: str) -> None:
    assert words in refused(argv.split())


def test_a_key_that_other_programs_use_suggests_ours(configs: Path) -> None:
    (configs / "baseline" / "Base.yaml").write_text("batchsize: 8")
    assert "did you mean bsize? Known: " in refused(["--name_file_bs", "base"], configs=configs)


def test_every_synonym_leads_to_a_name_that_is_there_and_is_none_itself() -> None:
    known: dict[str, Any] = {
        **{name: OPTIONS[name].metadata["names"] for name in ("training_type", "sampler")},
        "resnet_type": MODELS,
        "name_file_bs": BASE_FILES,
    }
    assert set(known) == set(SYNONYMOUS_VALUES)
    for table, names in ((SYNONYMS, OPTIONS), *((SYNONYMOUS_VALUES[option], known[option]) for option in known)):
        for other, ours in table.items():
            assert set(ours) <= set(names), other
            assert other == other.lower().replace("-", "_")
            assert other not in names
    assert not (set(ABSENT) & {*SYNONYMS, *OPTIONS})
    assert not (set(ALIASES) & {*SYNONYMS, *ABSENT, *OPTIONS})


# --- two names of one option -------------------------------------------------------------------------------


def test_the_set_of_aliases_is_frozen() -> None:
    assert ALIASES == {
        "model": "resnet_type",
        "dataset": "dataset_name",
        "batch_size": "bsize",
        "epochs": "num_epochs",
        "loss": "training_type",
    }


def test_an_alias_is_the_option_and_its_origin_says_what_was_typed(configs: Path) -> None:
    (configs / "baseline" / "Base.yaml").write_text("loss: SYM_FL\ngamma: 1\nbatch_size: 8\n")
    argv = "--model linear --dataset=digits --epochs 3 --name_file_bs base"
    found = resolve(argv.split(), configs=configs)
    same = "--resnet_type linear --dataset_name digits --num_epochs 3 --name_file_bs base"
    assert found.config == resolve(same.split(), configs=configs).config
    assert (found.config.training_type, found.config.bsize) == ("SYM_FL", 8)
    assert found.origins["num_epochs"] == "the command line as epochs"
    assert found.origins["bsize"] == "configs/baseline/Base.yaml as batch_size"
    assert all(found.is_given(name) for name in ALIASES.values())
    assert found.command == f"python main.py {argv}"
    found = resolve([*argv.split(), "--bsize", "16"], configs=configs)  # another place, by the other name
    assert found.notes == ("bsize = 16 (command line) wins over 8 (configs/baseline/Base.yaml as batch_size)",)


@pytest.mark.parametrize(
    "argv, words",
    [
        ("--bsize 8 --batch_size 8", "bsize and batch_size are one option (from the command line); give one"),
        ("--epochs 2 --num_epochs 3", "num_epochs and epochs are one option (from the command line); give one"),
        ("--batch_size 0", "batch_size must be an integer >= 1, got 0 (from the command line)"),
        ("--model logistic_cv --batch_size 8", "batch_size (from the command line) cannot act with logistic_cv"),
        ("--epochs 5 --continue_train 1", "epochs and continue_train 1 exclude each other; use --continue_train_ep"),
    ],
)
def test_a_message_names_what_was_typed(argv: str, words: str) -> None:
    assert refused(argv.split()).startswith(words)


def test_a_file_may_set_an_option_by_one_name_only(configs: Path) -> None:
    (configs / "baseline" / "Base.yaml").write_text("batch_size: 8\nbsize: 8\n")
    words = "bsize and batch_size are one option (from configs/baseline/Base.yaml); give one"
    assert refused(["--name_file_bs", "base"], configs=configs) == words


def test_a_switch_without_a_value_is_on() -> None:
    switches = [name for name, item in OPTIONS.items() if item.metadata["kind"].name == "switch"]
    assert {"train", "resume", "use_ALM"} <= set(switches)
    for name in switches:
        assert parse([f"--{name}"]) == {name: "1"}
    config = resolve(["--use_ALM", "--delta", "0.5", "--resume"]).config
    assert (config.use_ALM, config.delta, config.resume) == (1, 0.5, 1)
    assert refused(["--resume", "yes"]) == "resume must be 0 or 1, got yes (from the command line)"


# --- the files that come with the project ------------------------------------------------------------------


def test_every_component_has_a_config() -> None:
    base = [resolve(["--name_file_bs", name]).config for name in BASE_FILES]
    assert {config.training_type for config in base} == set(LOSSES)
    assert {config.sampler for config in base} == set(SAMPLERS)
    assert {resolve(["--name_file_alm", name]).config.constraint for name in ALM_FILES} == set(CONSTRAINTS)
    files = [path.relative_to(CONFIGS) for path in CONFIGS.rglob("*") if path.suffix in (".yaml", ".yml", ".json")]
    assert {path.parts[0] for path in files} == {"baseline", "ALM", "table"}
    assert len(files) >= 52 + 11


@pytest.mark.parametrize("name", BASE_FILES)
def test_every_base_config_gives_an_objective(name: str) -> None:
    found = resolve(["--name_file_bs", name])
    assert found.notes == ()
    assert found.origins["training_type"] == f"configs/baseline/{name}.yaml"
    check_components(found)
    loss = build_loss(found, FACTS)
    for option in ("gamma", "m"):
        if re.search(rf"_{option[0]}\d+$", name):  # a name such as a_LM_m05 says the value of the option
            assert found.is_given(option)
            digits = re.findall(rf"_{option[0]}(\d+)$", name)[0]
            assert getattr(loss, option) == float(digits[0] + "." + digits[1:])


@pytest.mark.parametrize("name", [name for name in BASE_FILES if name.startswith("bce_")])
def test_a_base_config_names_its_sampler(name: str) -> None:
    assert f"bce_{resolve(['--name_file_bs', name]).config.sampler}" == name


@pytest.mark.parametrize("name", ALM_FILES)
def test_every_alm_config_gives_a_constraint(name: str) -> None:
    config = resolve(["--name_file_alm", name]).config
    has_margin = config.constraint == "pairwise"
    found = resolve(["--name_file_alm", name, *(["--delta", "0.5"] if has_margin else [])])
    config = found.config
    constraint = build_constraint(found, {**FACTS, "first_epoch": 0})
    assert constraint is not None
    assert type(constraint) is constraint_class(config.constraint)
    assert (config.use_ALM, config.rho, config.delta) == (1, 2.0, 0.5 if has_margin else 0.0)
    assert constraint.mu_limit == pytest.approx(config.mu * (8 if config.mu >= 1e-3 else 32))
    said = {key: int(number) for key, number in re.findall(r"(ALM_|TPR|FPR)(\d+)", name)}  # the name says the values
    assert config.mu == pytest.approx(10.0 ** (10 - said["ALM_"]) if "ALM_" in said else 0.1)
    if "TPR" in said:
        asked = said["TPR"] / 100, said["FPR"] / 100 if "FPR" in said else None
        assert (config.constraint, config.tpr_at_least, config.fpr_at_most) == ("rate", *asked)


def test_labels_of_constraints() -> None:
    pairwise = {"mu": 0.01, "delta": 0.5, "tpr_at_least": 0.98}
    assert label(pairwise) == label({**pairwise, "constraint": "pairwise"}) == "ALM mu=0.01 delta=0.5"
    rates = {**pairwise, "constraint": "rate", "fpr_at_most": 0.1}
    assert label(rates) == "ALM rate TPR>=0.98 FPR<=0.1 mu=0.01"
    assert label({**pairwise, "constraint": "mine"}, show=str) == "ALM mine mu=0.01"  # without a line in SHOWN


# --- flags -------------------------------------------------------------------------------------------------


def test_the_set_of_flags_is_frozen() -> None:
    assert list(OPTIONS) == FLAGS
    assert set(REFERENCE) <= set(FLAGS)
    assert len(REFERENCE) == 31


@pytest.mark.parametrize("name", REFERENCE)
def test_flags_of_the_reference_keep_type_and_default(name: str) -> None:
    kind, default = REFERENCE[name]
    option = OPTIONS[name]
    assert option.metadata["kind"].name == kind
    assert (type(option.default), option.default) == (type(default), default)
    text, value, illegal = ("1.75", 1.75, "0.75") if name == "rho" else TEXTS[kind]
    found = convert(name, text, "here")
    assert (type(found), found) == (type(value), value)
    assert refused([f"--{name}", illegal]).startswith(f"{name} must be {option.metadata['kind'].expected}, got ")


def test_defaults_that_follow_from_something_else() -> None:
    assert (defaults_for("cifar10").ratio_pos_train, defaults_for("digits").ratio_pos_train) == (100, 20)
    assert (defaults_for("cifar10").lr, defaults_for("cifar100").lr, defaults_for("mnist").lr) == (0.01, 0.001, 0.01)
    for mu in (1e-9, 1e-3, 0.1):
        assert default_mu_limit(mu, 1.0) >= mu
    config = Config()
    assert config.seeds == tuple(range(1, 11))
    assert (config.device, config.precision, config.data_root) == ("auto", "fp32", "datasets")


@pytest.mark.parametrize(
    "argv, seeds",
    [
        (["1-3"], (1, 2, 3)),
        (["1,3,5"], (1, 3, 5)),
        (["1", "4-5"], (1, 4, 5)),
        (["7"], (7,)),
        (["0"], (0,)),
    ],
)
def test_seeds(argv: list[str], seeds: tuple[int, ...]) -> None:
    assert resolve(["--seeds", *argv]).config.seeds == seeds


def test_lists_and_the_form_with_an_equals_sign() -> None:
    config = resolve(["--tpr=0.9", "--negative_classes", "72", "4", "--positive_classes=3,5"]).config
    assert (config.tpr, config.negative_classes, config.positive_classes) == ((0.9,), (72, 4), ("3,5",))


@pytest.mark.parametrize("form", ["--negative_classes -1 {}", "--negative_classes=-1,{}", "--negative_classes -1,{}"])
def test_a_class_may_have_a_negative_number(form: str) -> None:
    config = resolve([*form.format(-3).split(), "--positive_classes", "1"]).config
    assert (spelled("negative_classes", config.negative_classes), config.positive_classes) == ([-1, -3], (1,))


@pytest.mark.parametrize(
    "text, classes",
    [
        ("0-4", (0, 1, 2, 3, 4)),
        ("0-2,7", (0, 1, 2, 7)),
        ("8 5-6", (8, 5, 6)),
        ("3-3", (3,)),
        ("-3--1", (-3, -2, -1)),
        ("-2-1,5", (-2, -1, 0, 1, 5)),
        ("-1,-3", (-1, -3)),
        ("1-2-3,0-", ("1-2-3", "0-")),  # names, which the data must know
    ],
)
def test_ranges_of_classes(text: str, classes: tuple[int | str, ...]) -> None:
    argv = ["--negative_classes", *text.split(), "--positive_classes", "9"]
    for value in (resolve(argv).config.negative_classes, convert("negative_classes", [text], "a file")):
        assert spelled("negative_classes", value) == list(classes)


def test_doctests_of_class_names() -> None:
    assert doctest.testmod(class_names)[:] == (0, 2)


@pytest.mark.parametrize(
    "text, rule",
    [
        ("4-0", "4-0 runs backwards; write 0-4"),
        ("-1--3", "-1--3 runs backwards; write -3--1"),
        ("0-4,3", "3 stands twice"),
        ("0-10000", "at most 10,000 classes in one range"),
        ("9" * 30, "at most 9007199254740992"),
    ],
)
@pytest.mark.parametrize("names", [None, ("0", "1", "2", "3", "4")])
def test_bad_ranges_of_classes(text: str, rule: str, names: tuple[str, ...] | None) -> None:
    """Known once the data are: a class may have such a name."""
    source = ArraySource(load_raw("digits", data_root=Path()))
    source.class_names = names
    with pytest.raises(UserError) as caught:
        class_numbers([text], source, flag="negative_classes", origin="the command line")
    found = str(caught.value)
    assert found.startswith("negative_classes must be class numbers, such as 1 3 5 or 0-4,7, or names, got ")
    assert found.endswith(f" {text} (from the command line): {rule}")
    source.class_names = (text, "other")
    assert class_numbers([text], source, flag="negative_classes", origin="the command line") == (0,)


@pytest.mark.parametrize("text", ["-1", "-1,2", "-.5", "-1e-3"])
def test_a_negative_value_is_refused_as_a_value_not_as_a_flag(text: str) -> None:
    assert refused(["--lr", text]).startswith(f"lr must be a number > 0, got {text} (from the command line)")
    assert refused(["--model_name", text]).startswith("model_name must be a plain name")
    assert refused(["--train", "1", text]).startswith(f"unknown argument {text!r}")


# --- an option stands once, and a path is not empty ---------------------------------------------------------

STARTS = {"main": main, "predict": predict.main, "prepare": prepare.main, "report": report.main, "sweep": sweep.main}
TWICE = (
    "main --critical_classes 4 --critical_classes 5",
    "main --positive_classes 4 --positive_classes=5",
    "main --seeds 1 --seeds 1",
    "main --lr .1 --lr .01",
    "main --train --train 1",
    "main --epochs 2 --epochs 3",
    "predict x --by a --by b",
    "predict x --rule cost --rule plug-in 0.9",
    "predict x --promise 0.9 --promise 0.98",
    "prepare x --drop a --drop b",
    "report x --prevalence 0.1 --prevalence 0.2",
    "report x --card --card",
    "sweep x --seeds 1 --seeds 2",
)


@pytest.mark.parametrize("line", TWICE)
def test_an_option_that_stands_twice_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last of them won without a word: of two critical classes one became an ordinary one."""
    name, *argv = line.split()
    assert STARTS[name](argv) == 2
    flag = next(text for text in argv if text.startswith("--"))
    (said,) = capsys.readouterr().err.splitlines()
    several = flag in (
        "--critical_classes",
        "--positive_classes",
        "--seeds",
        "--by",
        "--rule",
        "--drop",
        "--prevalence",
    )
    remedy = "all its values behind it" if several else "the value that is meant"
    assert said == f"error: {flag} stands twice on the command line; give it once, with {remedy}"


def test_options_that_add_to_those_before_may_stand_twice() -> None:
    asked = sweeping_arguments.parse(
        ["t", "--launcher", "slurm", "--set", "lr=1", "--set", "bsize=2", "mu=3", "--slurm", "a=1", "--slurm", "b=2"]
    )
    assert (asked.set, asked.slurm) == (["lr=1", "bsize=2", "mu=3"], ["a=1", "b=2"])


EMPTY = {
    "main --data_root {}": "data_root must be a path in printable text, got '' (from the command line): an empty text",
    "main --checkpoint_root {}": "checkpoint_root must be a path in printable text, got ''",
    "main --weights {}": "weights must be a path in printable text, got ''",
    "predict {} --images x --out y": "argument run: must be a path, got an empty text",
    "predict x --images {} --out y": "argument --images/--data: must be a path, got an empty text",
    "predict x --images x --out {}": "argument --out: must be a path, got an empty text",
    "predict x --images x --labels {} --name n": "argument --labels: must be a path, got an empty text",
    "predict x --images x --labels y --name n --group {}": "--group must name a column of y, got an empty text",
    "predict x --images x --labels y --name n --by a {}": "--by must name a column of y, got an empty text",
    "predict x --images x --out y --promise {}": "--promise must be a rate in (0, 1], got",
    "prepare {} --out x": "SOURCE is needed",
    "prepare {} --csv y --out x": "--source must be a path in printable text, got",
    "prepare x --csv {} --out x": "--csv must be a path in printable text, got",
    "prepare x --out {}": "--out FOLDER is needed",
    "report {}": "argument folder: must be a path, got an empty text",
    "report x --out {}": "argument --out: must be a path, got an empty text",
    "report x --latex {}": "argument --latex: must be a path, got an empty text",
    "report x --card --html {}": "argument --html: must be a path, got an empty text",
    "sweep {}": "argument table: must be a path, got an empty text",
    "sweep x --committed {}": "argument --committed: must be a path, got an empty text",
}


@pytest.mark.parametrize("line", EMPTY)
def test_an_empty_path_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a variable of the shell that is not set: it was the working folder, with all below it."""
    monkeypatch.chdir(tmp_path)
    name, *argv = [text.format("") for text in line.split(" ")]
    assert STARTS[name](argv) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {EMPTY[line]}")
    assert list(tmp_path.iterdir()) == []


# --- help --------------------------------------------------------------------------------------------------


def test_help_is_grouped_and_mentions_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help", "all"]) == 0
    out, err = capsys.readouterr()
    body = out.partition("options:")[2].partition("examples:")[0]
    assert err == ""
    for title in GROUPS.values():
        assert f"\n{title}:\n" in body
    described = re.findall(r"^  --(\w+) ", body, flags=re.MULTILINE)
    assert sorted(described) == sorted(FLAGS)
    assert max(map(len, out.splitlines())) <= 110


def test_help_alone_shows_the_options_most_used_and_examples_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    body = out.partition("options:")[2].partition("examples:")[0]
    described = re.findall(r"^  --(\w+) ", body, flags=re.MULTILINE)
    assert sorted(described) == sorted(MOST_USED)
    assert len(described) == 20
    assert max(map(len, out.splitlines())) <= 110
    assert f"--help all lists {len(OPTIONS) - 20} more options" in out
    examples = re.findall(r"^  python main\.py (.*)$", out, flags=re.MULTILINE)
    assert len(examples) == 3
    for each in examples:
        resolve(shlex.split(each))


def test_help_says_every_default_and_group(capsys: pytest.CaptureFixture[str]) -> None:
    main(["-h", "all"])
    text = " ".join(capsys.readouterr().out.partition("examples:")[0].split())
    for item in fields(Config):
        assert item.metadata["group"] in GROUPS
        if item.default not in (None, "") and not isinstance(item.default, tuple):
            start = text.rindex(f" --{item.name} ")
            assert f"(default: {item.default})" in text[start : start + 500], item.name


def test_help_names_the_components_that_take_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    """As their constructors say when they are imported, which --help does not do."""
    main(["--help", "all"])
    text = " ".join(capsys.readouterr().out.partition("examples:")[0].split())
    assert "{takers}" not in text
    signatures = {
        choice: {name: inspect.signature(CLASSES[choice](name).__init__).parameters for name in item.metadata["names"]}
        for choice, item in OPTIONS.items()
        if choice in CLASSES
    }
    for choice, table in signatures.items():
        for option, item in OPTIONS.items():
            if item.metadata["group"] == OPTIONS[choice].metadata["group"] and option in takers():
                expected = [name for name, parameters in table.items() if option in parameters]
                assert takers()[option] == expected, option
                if "{takers}" in item.metadata["help"]:
                    assert f"({', '.join(expected)}" in text[text.rindex(f" --{option} ") :], option


def test_the_version_is_that_of_the_citation_and_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert utils.__version__ == cited
    assert main(["--version"]) == 0
    assert main(["--lr", "1", "--version"]) == 0
    for other in (sweep.main, report.main, predict.main):
        assert other(["--version"]) == 0
    assert capsys.readouterr().out == f"rarecall {cited}\n" * 5


def test_every_source_that_a_component_names_is_cited() -> None:
    """Titles as far as the docstring has them, regardless of case."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    titles = [each["title"].casefold() for each in cited]
    folders = [ROOT / "utils" / name for name in ("losses", "samplers", "constraints")]
    named = set()
    for path in (path for folder in folders for path in folder.glob("*.py")):
        for text in re.findall(r"Reference: (.*?)(?:\n *\n|\"\"\")", path.read_text(), flags=re.DOTALL):
            named |= {" ".join(title.split()).casefold() for title in re.findall(r'"([^"]+)"', text)}
    assert len(named) >= 25
    assert {title for title in named if not any(title in each for each in titles)} == set()


def test_help_and_a_mistyped_flag_wait_for_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, main; main.main(['--help']); main.main(['--gama', '1']); main.main(['--lr', '0']); main.main([]);"
        "print(sorted({'torch', 'numpy', 'sklearn', 'torchvision'}.intersection(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.stderr.splitlines()[-1] == "[]"


def test_main_alone_says_what_to_try_first() -> None:
    done = subprocess.run([sys.executable, "main.py"], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", FIRST_WORDS + "\n")
    (command,) = re.findall(r"python main\.py (--dataset_name .*?)\n\n", FIRST_WORDS, flags=re.DOTALL)
    found = resolve(shlex.split(command.replace("\\\n", " ")))
    assert (found.config.dataset_name, found.config.use_ALM) == ("digits", 1)
    assert "--help" in FIRST_WORDS


# --- anything at all ---------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(), max_size=12)  # surrogates too: what the system cannot decode comes as such
VALUES = st.sampled_from(
    [
        *("0", "1", "-1", "2", "1.5", "1e400", "nan", "-inf", "1-3", "3-1", "1,2", "9" * 5000, "", "x", "None"),
        *("BCE", "linear", "adam", "baseline_bce", "ALM_12_beg", "../x", "cuda:-1", "--", "a\nb", "\r", "\u2028"),
    ]
)
FLAG = st.sampled_from([f"--{name}" for name in (*OPTIONS, *ALIASES)])
TOKEN = st.one_of(FLAG, VALUES, ANY_TEXT, st.builds("{}={}".format, FLAG, VALUES))
PAIRS = st.lists(st.tuples(FLAG, VALUES), max_size=4).map(lambda pairs: [part for pair in pairs for part in pair])


def is_no_help(argv: list[str]) -> bool:
    return not any(token.startswith(("-h", "--help")) for token in argv)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(TOKEN, max_size=6), PAIRS).filter(is_no_help))
@example(["--model_name", "a\nb"])
@example(["--name_file_bs", "a\x85b"])
@example(["\udcff"])
@example(["--seeds", "1", "--", "2"])
def test_any_command_line_is_read_or_refused_in_one_line(argv: list[str]) -> None:
    message = ""
    try:
        found = resolve(argv)
    except UserError as error:
        message = str(error)
    else:
        assert all(note.isprintable() for note in found.notes)
    assert message.isprintable()  # which no line break is


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, VALUES),
    *(st.dates(), st.datetimes(), st.binary(max_size=5)),
)
CONTENT = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=5,
)
MAPPINGS = st.dictionaries(st.sampled_from(list(OPTIONS)) | SCALARS, CONTENT, max_size=4)


@settings(max_examples=300, deadline=None)
@given(MAPPINGS.map(yaml.safe_dump) | ANY_TEXT, st.sampled_from([".yaml", ".json"]))
@example("gamma: 1\ngamma: {", ".yaml")
@example('{"gamma": "\\n"}', ".json")
@example("[" * 5000, ".yaml")
@example("[" * 100_000, ".json")
@example("{a: {b: 1}: 2}", ".yaml")
def test_any_content_of_a_file_is_read_or_refused_in_one_line(text: str, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"any{ending}")
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        message = ""
        try:
            found = read_config(path, "configs/baseline/any")
        except UserError as error:
            message = str(error)
        else:
            assert set(found) <= set(OPTIONS)
            assert all(isinstance(value, int | float | str | tuple) for value in found.values())
        assert message.isprintable()
