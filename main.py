"""Train and evaluate classifiers whose rare class must not be missed: arguments -> config -> seeds -> results."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from models import MODELS
from utils.config.command_line import parser
from utils.config.settings import resolve
from utils.errors import UserError, one_line
from utils.system.interruption import Interruption
from utils.system.streams import run_command

FIRST_WORDS = """\
Nothing asked for. Try first (embedded data, about a minute on two cores):

    python main.py --dataset_name digits --resnet_type lenet5 --name_file_bs baseline_bce \\
        --name_file_alm ALM_12_beg --delta 1 --seeds 1-3 --num_epochs 20

then look at it with    tensorboard --logdir checkpoint
All options             python main.py --help"""


def main(argv: Sequence[str]) -> int:
    """Returns the exit code: 0 done, 1 a seed failed, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM."""
    if not argv:
        print(FIRST_WORDS)
        return 0
    if {"-h", "--help"}.intersection(argv):
        parser(models=MODELS).print_help()
        return 0
    with Interruption() as interruption:
        try:
            return train_or_evaluate(argv)
        except BaseException as error:
            # whatever it became on its way: torch and numpy turn a KeyboardInterrupt while they load into other errors
            if interruption.signal is None and not isinstance(error, KeyboardInterrupt):
                raise
            print(
                f"\n{interruption}; the last finished epoch of each seed is kept: "
                "the same command with --resume 1 goes on",
                file=sys.stderr,
            )
            return interruption.exit_code


def train_or_evaluate(argv: Sequence[str]) -> int:
    """Returns the exit code: 0 done, 1 a seed failed, 2 bad input."""
    try:
        settings = resolve(argv)
        from utils.run.command import run  # imports torch, which --help and a mistyped flag do not wait for

        return run(settings)
    except UserError as error:
        print("error:", one_line(error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of what is printed has gone
        raise
    except OSError as error:  # a path that the system refuses: no permission, too long, a broken disk
        where = f"{str(error.filename)!r:.200}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(run_command(main))
