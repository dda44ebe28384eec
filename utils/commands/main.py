"""Train and evaluate classifiers whose rare class must not be missed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..config.command_line import print_help, print_version
from ..config.settings import Settings, resolve
from ..errors import UserError, message_of, one_line
from ..run.architectures import MODELS
from ..system.child_processes import end_with_parent
from ..system.installation import typed
from ..system.interruption import Interruption
from ..system.torchrun import end_with_first_rank, says_why_it_ends

FIRST_WORDS = f"""\
No arguments. Try first (embedded data, about a minute on two cores):

    {typed("train")} --dataset_name digits --resnet_type lenet5 --name_file_bs baseline_bce \\
        --name_file_alm ALM_12_beg --delta 1 --seeds 1-3 --num_epochs 20

then look at it with    tensorboard --logdir checkpoint
The options             {typed("train")} --help, and all of them with --help all"""


def main(argv: Sequence[str]) -> int:
    """Returns the exit code: 0 success, 1 a seed failed, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM."""
    if not argv:
        print(FIRST_WORDS)
        return 0
    if asked := {"-h", "--help"}.intersection(argv):
        print_help(models=MODELS, whole=any(argv[argv.index(flag) + 1 :][:1] == ["all"] for flag in asked))
        return 0
    if "--version" in argv:
        print_version()
        return 0
    end_with_parent()
    with Interruption() as interruption:
        try:
            return train_or_evaluate(argv)
        except BaseException as error:
            # torch and numpy turn a KeyboardInterrupt that comes while they are imported into other errors
            silent = isinstance(error, SystemExit)  # another rank of torchrun says it
            if silent or (interruption.signal is None and not isinstance(error, KeyboardInterrupt)):
                raise
            if says_why_it_ends():
                print(
                    f"\n{interruption}; the last completed epoch of each seed is kept: "
                    "the same command with --resume 1 resumes from it",
                    file=sys.stderr,
                )
            return interruption.exit_code


def _resolved(argv: Sequence[str]) -> Settings:
    """The settings; of several ranks of torchrun, which all read the same, the first says what is wrong with them."""
    try:
        return resolve(argv)
    except (UserError, OSError):
        end_with_first_rank()
        raise


def train_or_evaluate(argv: Sequence[str]) -> int:
    """Returns the exit code: 0 success, 1 a seed failed, 2 bad input."""
    try:
        settings = _resolved(argv)
        from ..run.command import run  # imports torch, which --help and a mistyped flag do not need

        return run(settings)
    except BrokenPipeError:  # the reader of what is printed has gone
        raise
    except (UserError, OSError) as error:  # OSError: no permission, a path too long, a broken disk
        print("error:", one_line(message_of(error)), file=sys.stderr)
        return 2
