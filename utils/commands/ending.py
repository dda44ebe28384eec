"""How a command that can be resumed ends: an exit code for every outcome."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..errors import UserError, message_of, one_line
from ..system.interruption import Interruption


def exit_code_of(work: Callable[[], int]) -> int:
    """What ``work`` returns; 2 for bad input, with its line on stderr; 130 for Ctrl-C, 143 for SIGTERM."""
    with Interruption() as interruption:
        try:
            return work()
        except BrokenPipeError:  # the reader of what is printed has gone
            raise
        except (UserError, OSError) as error:
            print("error:", one_line(message_of(error)), file=sys.stderr)
            return 2
        except BaseException as error:
            if interruption.signal is None and not isinstance(error, KeyboardInterrupt):
                raise
            print(f"\n{interruption}; the same command with --resume 1 goes on", file=sys.stderr)
            return interruption.exit_code
