"""Several seeds of a run at once, in processes of their own (``python -P -m utils.run.seed_workers``).

Each process trains one seed after the other: starting it takes as long as some hundred steps of a small model. Parent
and child share a socket, which is the child's standard input: the parent sends a seed, the child returns what came of
it and waits for the next one. The child ends when the parent closes the socket, which closes when the child ends,
however it ends.
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
    """Trains seeds in turn; what it prints goes where the parent's output goes."""

    def __init__(self, *, files: Sequence[int]) -> None:
        self.seed = 0  # the one that it trains
        self.socket, other = Pipe()
        path = [folder or os.getcwd() for folder in sys.path]
        with other:
            super().__init__(
                [sys.executable, "-P", "-m", __name__],
                stdin=other.fileno(),
                environment={"PYTHONPATH": os.pathsep.join(path)},
                pass_fds=files,
            )

    def start(self, train: Train, seed: int) -> None:
        """Send it a seed."""
        self.seed = seed
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, as its outcome will say
            self.socket.send((train, seed))

    def outcome(self) -> str | None:
        """Why the seed failed, if it did, once the process has written its answer or ended.

        Raises:
            UserError: as the process did.
            BrokenPipeError: the reader of what it prints has gone.
        """
        try:
            answer: tuple[str, str | None] = self.socket.recv()
        except (EOFError, ConnectionResetError):
            code = self.ends()
        else:
            kind, text = answer
            if kind == "refused":
                self.ends()  # by itself, before the others are stopped
                raise UserError(text)
            return text
        if code == BROKEN_PIPE:
            raise BrokenPipeError
        failure = "it was interrupted" if was_killed(code) and code > 0 else how_it_ended(code)
        failure += "; the same command with --resume 1 resumes it from the last completed epoch"
        print(f"seed {self.seed} stopped: {failure}", file=sys.stderr)
        return failure

    def ends(self) -> int:
        """Let it end, as there are no more seeds, or as it ends by itself; returns its exit code."""
        self.close()
        return self.process.wait()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def train_in_processes(
    train: Train, seeds: Sequence[int], *, at_once: int, files: Sequence[int] = ()
) -> dict[int, str]:
    """Call ``train(seed)`` for every seed, in new processes, ``at_once`` of them at the same time.

    A process that is killed costs the seed that it trains; another one takes the next.

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
                process = SeedProcess(files=files)
                running[process.socket] = process
                process.start(train, waiting.popleft())
            check()
            for socket in wait(list(running)):
                assert isinstance(socket, Connection)
                process = running[socket]
                if failure := process.outcome():
                    failures[process.seed] = failure
                if waiting and not socket.closed:
                    process.start(train, waiting.popleft())
                else:
                    process.ends()
                    del running[socket]
    finally:
        stop_all(list(running.values()))
    return dict(sorted(failures.items()))


def work() -> int:
    """In the child: train the seeds that the parent sends, return the result of each; returns the exit code."""
    end_with_parent()
    with Connection(os.dup(0)) as socket, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # programs that this one starts, such as a compiler, have no part in the socket
        with Interruption() as interruption:
            try:
                _train_all(socket)
            except BaseException as error:
                if interruption.signal is None and not isinstance(error, KeyboardInterrupt):
                    raise
                return interruption.exit_code
    return 0


def _train_all(socket: Connection) -> None:
    """Train until the parent has no more seeds, or one is refused."""
    while order := _next_order(socket):
        train, seed = order
        try:
            failure = train(seed)
            print(end="", flush=True)  # what the seed printed comes before what the next one prints
        except BrokenPipeError:
            raise
        except (UserError, OSError) as error:
            check()
            return socket.send(("refused", message_of(error)))
        socket.send(("trained", failure))
    return None


def _next_order(socket: Connection) -> tuple[Train, int] | None:
    """A seed and what trains it; None when the parent has no more."""
    try:
        train, seed = socket.recv()
    except EOFError:
        return None
    return train, seed


if __name__ == "__main__":
    sys.exit(run_command(lambda _: work()))
