"""Runs that are killed again and again, resumed, and compared with undisturbed ones."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from children import FOLDER, Board, forked, fresh, started
from combinations import CLASS_FACTORS, drawn
from comparing import Files, broken_sums, differences, snapshot
from phases import PHASES, RENAMED, Death, Phases, deaths

SEEDS = ("1", "2", "1-2")
PLACES = 2 + len(PHASES)
NOWHERE = Death("", 0, 0.0)
AT_RANDOM = 0.25  # share of the kills that come from outside, at any moment, not at a chosen call


@dataclass(frozen=True)
class Undisturbed:
    """The run that the killed ones must equal, and what it tells about where to kill them."""

    files: Files
    calls: dict[str, int]
    renames: int
    seconds: float


@dataclass
class Tally:
    """What was done and found."""

    kills: Counter[str] = field(default_factory=Counter)
    afresh: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    mismatches: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All kills."""
        return self.kills.total() + self.afresh.total()


def configurations(stream: random.Random, count: int) -> list[list[str]]:
    """Combinations of all factors, each with seeds; with crops or lenet5 now and then. A third has K classes."""
    more = ("--augment crop", "--resnet_type lenet5 --evaluate_every_steps 2", "", "")
    many = count // 3
    combinations = [*drawn(stream, count - many), *drawn(stream, many, CLASS_FACTORS)]
    return [f"{each} --seeds {stream.choice(SEEDS)} {stream.choice(more)}".split() for each in combinations]


def undisturbed(folder: Path, options: list[str]) -> Undisturbed:
    """Run once without a kill, count, and take a snapshot."""
    board = Board(PLACES)
    begin = time.monotonic()
    ended = forked(fresh(folder), options, Phases(board, {}, None).install).wait()
    if ended.code:
        raise AssertionError(f"main.py ended with {ended.code}: {' '.join(options)}: {ended.err[-500:]}")
    calls = {phase: board[1 + number] for number, phase in enumerate(PHASES)}
    return Undisturbed(snapshot(folder / FOLDER), calls, board[RENAMED], time.monotonic() - begin)


class Killing:
    """Kills until enough are counted.

    Args:
        folder: an empty one for the runs.
        seed: of the kills.
        options: the configurations; each has one undisturbed run.
    """

    def __init__(self, folder: Path, *, seed: int, options: list[list[str]]) -> None:
        self.folder, self.stream, self.options = folder, random.Random(seed), options
        self.known: dict[int, Undisturbed] = {}
        self.tally = Tally()
        self.board = Board(PLACES)

    def until(self, kills: int, *, each: int, seconds: float) -> Tally:
        """Kill runs until ``kills`` are counted, ``each`` of them at least in every phase, or the time is up."""
        end = time.monotonic() + seconds
        while self.tally.total < kills or any(self.tally.kills[phase] < each for phase in PHASES):
            if time.monotonic() > end:
                break
            self.one_run()
        return self.tally

    def reference(self, number: int) -> Undisturbed:
        """The undisturbed run of a configuration."""
        if number not in self.known:
            self.known[number] = undisturbed(self.folder / f"undisturbed{number}", self.options[number])
        return self.known[number]

    def one_run(self) -> None:
        """Kill one run several times, let it end, compare."""
        number = self.stream.randrange(len(self.options))
        expected, options = self.reference(number), self.options[number]
        folder = fresh(self.folder / "killed")
        for death in deaths(self.stream, expected.renames):
            if self.stream.random() < AT_RANDOM:
                delay = self.stream.uniform(0, expected.seconds)
                child = forked(folder, options, Phases(self.board, {}, NOWHERE).install)
                time.sleep(delay)
                child.kill()
            else:
                child = forked(folder, options, Phases(self.board, expected.calls, death).install)
            code = child.wait().code
            if code == -signal.SIGKILL:
                self.tally.kills[PHASES[self.board[0]]] += 1
            elif code:
                self.note(folder, options, [f"exit code {code} after a kill"])
                return
        self.compare(folder, options, expected)

    def afresh(self, kills: int, *, loading: float) -> None:
        """Some kills of programs that were started as users start them, at any moment.

        Args:
            loading: how many seconds it takes to load the program.
        """
        expected, options = self.reference(0), self.options[0]
        folder = fresh(self.folder / "afresh")
        seconds = loading + 2 * expected.seconds
        for _ in range(kills):
            child = started(folder, options)
            time.sleep(self.stream.uniform(0.02, seconds))
            before = _written(folder)
            child.kill()
            if child.wait().code == -signal.SIGKILL:
                self.tally.afresh["running" if before else "import"] += 1
        self.compare(folder, options, expected)

    def compare(self, folder: Path, options: list[str], expected: Undisturbed) -> None:
        """Let the run end, and note what differs."""
        self.tally.runs += 1
        ended = forked(folder, options).wait()
        if ended.code:
            self.note(folder, options, [f"exit code {ended.code} at the end: {ended.err[-300:]}"])
            return
        found = differences(snapshot(folder / FOLDER), expected.files)
        self.note(folder, options, found + broken_sums(folder / FOLDER))

    def note(self, folder: Path, options: list[str], found: list[str]) -> None:
        """Keep what is wrong, and the folder."""
        if found:
            self.tally.mismatches.append(f"{' '.join(options)}: {'; '.join(found)}")
            folder.rename(folder.with_name(f"wrong{len(self.tally.mismatches)}"))


def _written(folder: Path) -> bool:
    """Whether the run in ``folder`` has begun to write in the last moments; for the statistics only."""
    files = list((folder / FOLDER).rglob("*"))
    return any(path.is_file() and time.time() - path.stat().st_mtime < 1 for path in files)
