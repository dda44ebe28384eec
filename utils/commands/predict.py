"""Score new images with a trained run, judge the run on other data, or export it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..config.command_line import Parser, path, print_version
from ..config.kinds import NAME, POSITIVE, RATE, SWITCH, Kind, read
from ..config.options import OPTIONS
from ..data import FITS
from ..errors import UserError
from ..metrics.decisions import RULES
from ..system.installation import called, typed
from .ending import exit_code_of

EXAMPLES = (
    "--images new/ --promise 0.98 --out pred.csv",
    "--images other.csv --labels other.csv --name hospital_b --by scanner",
    "--export onnx",
)
DEFAULTS: dict[str, Any] = {"fit": None, "resume": "0", "overwrite": "0", "by": [], "device": "auto", "threads": "0"}
READ_BY = {  # flag -> the tasks that read it, each named by the flag that asks for it
    "out": ("out",),
    "resume": ("out",),
    "two_thresholds": ("out",),
    **dict.fromkeys(("labels", "by", "group"), ("name",)),
    **dict.fromkeys(("promise", "rule", "overwrite", "device", "threads"), ("out", "name")),
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("predict"),
        description="Score new images with a trained run. Needs none of its data, and changes none of its files.",
        epilog="\n".join(["examples:", *(f"  {typed('predict')} checkpoint/runs/scans {more}" for more in EXAMPLES)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=path, help="folder of a run, its model.pt, or seed<k>/best.pt")
    add = parser.add_argument_group("images").add_argument
    images = "a folder (searched to any depth), an image, .csv with a column path, .txt with a path a line, or .npz; "
    images += "of features: .csv with a column for each, found by its name"
    add("--images", "--data", type=path, metavar="PATH", help=images)
    fit = "another size than the model's is refused (exact), or resized: squeezed, with black bars (letterbox), or cut "
    fit += "(default: as prepare.py did for the training data, else exact)"
    add("--fit", choices=FITS, help=fit)
    add = parser.add_argument_group("decisions").add_argument
    add("--promise", metavar="TPR", help="the threshold that promises this TPR on new images (NP)")
    rule = f"another threshold: one of {', '.join(RULES)}, and its target, such as plug-in 0.95 (default: NP with the "
    add("--rule", nargs="+", metavar="X", help=f"{rule}highest TPR that it can promise, or else plug-in)")
    pair = "rule out, refer, rule in by the thresholds for these, of one critical class (default: the run's first)"
    add("--two_thresholds", nargs=2, metavar=("TPR", "FPR"), help=pair)
    add = parser.add_argument_group("output").add_argument
    add("--out", type=path, metavar="CSV", help="where to write a row for each image")
    switch: dict[str, Any] = {"nargs": "?", "const": "1", "metavar": "0|1"}
    add("--resume", **switch, help="1 goes on with a file that a stopped command has begun")
    add("--overwrite", **switch, help="1 replaces the file, or the evaluation, if it is there")
    add = parser.add_argument_group("evaluation on other data, in RUN/external/NAME/").add_argument
    labels = "columns path and label: classes by name (by number if they have none), or positive and negative"
    add("--labels", type=path, metavar="CSV", help=labels)
    add("--name", help="name of the evaluation")
    add("--by", nargs="+", metavar="COLUMN", help="further columns of the labels whose groups are compared")
    group = "another column: of what belongs together, such as the patient; intervals then count groups, not images"
    add("--group", metavar="COLUMN", help=group)
    add = parser.add_argument_group("export").add_argument
    export = "write the ensemble beside model.pt with the preprocessing inside: pixels in, scores out"
    add("--export", choices=("onnx", "torch_export", "torchscript"), help=export)
    add = parser.add_argument_group("machine").add_argument
    add("--device", help="auto, cpu, cuda or cuda:N")
    add("--threads", metavar="N", help="CPU threads (changes rounding); 0: all cores")
    parser.set_defaults(**DEFAULTS)
    return parser


def main(argv: Sequence[str]) -> int:
    """Return the exit code: 0 for success, 1 if an image could not be scored, 2 for bad input, 130 for Ctrl-C."""
    if "--version" in argv:
        print_version()
        return 0
    return exit_code_of(lambda: _predict(argv))


def _predict(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    values = _checked(asked)
    # they import torch, which --help and a mistyped flag do not need
    from ..run import export, external_evaluation, predictions

    if asked.export:
        return export.export_model(asked.run, kind=asked.export, images=asked.images, fit=asked.fit)
    model = predictions.open_model(asked.run, device=asked.device, threads=values["threads"])
    rows = predictions.rows_of(model, rule=values["rule"], target=values["target"], pair=values["pair"])
    if asked.name:
        return external_evaluation.evaluate(
            rows,
            asked.run,
            images=asked.images,
            labels=asked.labels,
            name=asked.name,
            by=asked.by,
            group=asked.group,
            fit=asked.fit,
            overwrite=values["overwrite"],
        )
    return predictions.predict(
        rows,
        images=asked.images,
        out=asked.out,
        fit=asked.fit,
        resume=values["resume"],
        overwrite=values["overwrite"],
    )


def _checked(asked: argparse.Namespace) -> dict[str, Any]:
    """The values, after a check that they fit each other."""
    task = "export" if asked.export else "name" if asked.name else "out"
    if task != "export" and asked.images is None:
        raise UserError("--images PATH is needed: a folder, an image, a .csv, .txt or .npz file")
    if not (asked.export or asked.out or asked.name):
        raise UserError("give --out CSV to score images, or --name NAME with --labels to judge the run on other data")
    unread = [name for name in READ_BY if task not in READ_BY[name] and getattr(asked, name) != DEFAULTS.get(name)]
    if unread:
        owners = " or ".join(f"--{name}" for name in READ_BY[unread[0]] if name != unread[0])
        remedy = f"it belongs to {owners}" if owners else "leave one of them out"
        raise UserError(f"--{unread[0]} cannot act with --{task}; {remedy}")
    if asked.fit != DEFAULTS["fit"] and asked.images is None:
        raise UserError("--fit resizes images: add --images PATH, or leave it out")
    if bool(asked.name) != bool(asked.labels):
        raise UserError("--name and --labels belong together; give both or none")
    for flag, columns in (("--by", asked.by), ("--group", [asked.group])):
        if "" in columns:
            raise UserError(f"{flag} must name a column of {asked.labels}, got an empty text")
    if asked.promise is not None and asked.rule:
        raise UserError("--promise and --rule choose a threshold each; leave one of them out")
    if asked.name:
        _value(NAME, asked.name, "--name")
    rule, target = (None if asked.promise is None else "NP"), asked.promise
    if asked.rule:
        rule, target = asked.rule[0], asked.rule[1] if len(asked.rule) == 2 else None
        if rule not in RULES or len(asked.rule) > 2:
            raise UserError(f"--rule must be one of {', '.join(RULES)} and its target, got {' '.join(asked.rule)}")
        if rule == "default" and target is not None:
            raise UserError(f"--rule default has no target, got {target:.80}; leave it out")
    number = POSITIVE if rule in ("cost", "prior") else RATE
    return {
        "rule": rule,
        "target": None if target is None else _value(number, target, "--promise" if asked.rule is None else "--rule"),
        "pair": [_value(RATE, text, "--two_thresholds") for text in asked.two_thresholds or ()],
        "resume": bool(_value(SWITCH, asked.resume, "--resume")),
        "overwrite": bool(_value(SWITCH, asked.overwrite, "--overwrite")),
        "threads": _value(OPTIONS["threads"].metadata["kind"], asked.threads, "--threads"),
    }


def _value(kind: Kind, text: str, flag: str) -> Any:
    try:
        return read(kind, text)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"{flag} must be {kind.expected}, got {text:.80}") from None
