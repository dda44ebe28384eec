"""Several seeds of a run at once, each in a process of its own (``python -P -m utils.run.seed_workers``).

Parent and child share a socket, which is the child's standard input: the parent sends what is to be done, the child
returns what came of it. The socket closes when the child ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from ..errors import UserError, message_of
from ..system.child_processes import Child, end_with_parent, how_it_ended, stop_all, was_killed
from ..system.interruption import Interruption, check
from ..system.streams import BROKEN_PIPE, run_command

Train = Callable[[int], str | None]


class SeedProcess(Child):
    """Trains one seed; what it prints goes where the parent's output goes."""

    def __init__(self, train: Train, seed: int, *, files: Sequence[int]) -> None:
        self.seed = seed
        self.socket, other = Pipe()
        path = [folder or os.getcwd() for folder in sys.path]
        with other:
            super().__init__(
                [sys.executable, "-P", "-m", __name__, str(seed)],
                stdin=other.fileno(),
                environment={"PYTHONPATH": os.pathsep.join(path)},
                pass_fds=files,
            )
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended
            self.socket.send((train, seed))

    def outcome(self) -> str | None:
        """Why the seed failed, if it did, once the process has written its answer or ended.

        Raises:
            UserError: as the process did.
            BrokenPipeError: the reader of what it prints has gone.
        """
        kind, text = "", None
        with contextlib.suppress(EOFError, ConnectionResetError):
            kind, text = self.socket.recv()
        code = self.process.wait()
        self.close()
        if kind == "refused":
            raise UserError(text)
        if code == 0:
            return text
        if code == BROKEN_PIPE:
            raise BrokenPipeError
        failure = "it was interrupted" if was_killed(code) and code > 0 else how_it_ended(code)
        failure += "; the same command with --resume 1 resumes it from the last completed epoch"
        print(f"seed {self.seed} stopped: {failure}", file=sys.stderr)
        return failure

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def train_in_processes(
    train: Train, seeds: Sequence[int], *, at_once: int, files: Sequence[int] = ()
) -> dict[int, str]:
    """Call ``train(seed)`` for every seed, each call in a new process, ``at_once`` of them at the same time.

    Args:
        train: returns None, or why the seed failed. It is pickled, and may hold no tensors.
        files: open files that the processes inherit under the same numbers.

    Returns:
        Why each seed failed that did.

    Raises:
        UserError: as one of the processes did; the others are stopped.
    """
    waiting, running, failures = deque(seeds), dict[Connection, SeedProcess](), dict[int, str]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                process = SeedProcess(train, waiting.popleft(), files=files)
                running[process.socket] = process
            check()
            for socket in wait(list(running)):
                assert isinstance(socket, Connection)
                if failure := running[socket].outcome():
                    failures[running[socket].seed] = failure
                del running[socket]
    finally:
        stop_all(list(running.values()))
    return dict(sorted(failures.items()))


def work() -> int:
    """In the child: do what the parent sends, return the result; returns the exit code."""
    end_with_parent()
    with Connection(os.dup(0)) as socket, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # programs that this one starts, such as a compiler, have no part in the socket
        train, seed = socket.recv()
        with Interruption() as interruption:
            try:
                socket.send(("failed", train(seed)))
            except BaseException as error:
                if interruption.signal is not None or isinstance(error, KeyboardInterrupt):
                    return interruption.exit_code
                if isinstance(error, BrokenPipeError) or not isinstance(error, (UserError, OSError)):
                    raise
                socket.send(("refused", message_of(error)))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda _: work()))
