"""A search: Optuna proposes settings one after the other, and rows are then trained with the best.

    search:
      flags:
        lr: {low: 1e-4, high: 1, log: true}
        m: {low: 0, high: 5, step: 0.5}
        optimizer: [sgd, adam]
      trials: 30
      sampler: tpe                      # or: random
      seed: 1                           # of the sampler
      parallel: 1                       # trials at once; more finish sooner, but each knows fewer results
      set: {num_epochs: 20}             # options of the trials only
      seeds: 1-2                        # of the trials only
      select: validation AUC            # or: validation FPR at TPR 0.95
    rows:
      - {name: chosen, seeds: 1-10}

The proposals are kept in search.json and their results in the folders of the runs, so a search resumes where it
stopped. Each proposal depends on the sampler's seed, its number and the results so far, and on nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..config.kinds import COUNT, POSITIVE, SWITCH, WHOLE, Kind, read
from ..config.options import OPTIONS
from ..data import NATURAL
from ..errors import UserError
from ..run_files.paths import SweepPaths
from ..run_files.search_json import read_proposals, write_proposals
from ..system.files import locked, make_folder
from .blocks import Scan, Stage
from .selection import Candidate, Selection
from .table_file import Row, Table, option_name, options_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

SAMPLERS = ("tpe", "random")
NAMES = ("text", "name", "switch")  # kinds of options whose values decide which others are read
RANGE_KEYS = ("low", "high", "step", "log")


class Search(Selection):
    """See above."""

    keys = ("flags", "trials", "sampler", "seed", "parallel", "set", "seeds", "select")

    def __init__(self, table: Table, content: Mapping[str, Any], origin: str) -> None:
        super().__init__(table, content, origin)
        if importlib.util.find_spec("optuna") is None:
            raise UserError(f"the {origin} needs Optuna: pip install 'optuna>=5,<6'")
        self.trials: int = _read(COUNT, content.get("trials"), "trials", origin)
        self.parallel: int = _read(COUNT, content.get("parallel", 1), "parallel", origin)
        self.seed: int = _read(WHOLE, content.get("seed"), "seed", origin)
        self.sampler = content.get("sampler")
        if self.sampler not in SAMPLERS:
            raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, got {self.sampler!r} (from {origin})")
        self.flags = _ranges(content.get("flags"), origin)
        self.paths = SweepPaths(table.checkpoint_root, table.name)
        self.rule.check(self.row(0, {}))

    def examples(self) -> tuple[Row, ...]:
        """A trial for each combination of names, one at the upper end of all ranges, and the rows that would follow."""
        ends = {name: (s[0], s[-1]) if isinstance(s, list) else (s["low"], s["high"]) for name, s in self.flags.items()}
        names = {name: s for name, s in self.flags.items() if OPTIONS[name].metadata["kind"].name in NAMES}
        low, high = ({name: values[end] for name, values in ends.items()} for end in (0, -1))
        points = [{**low, **dict(zip(names, each, strict=True))} for each in itertools.product(*names.values())]
        points.append(high)
        return tuple(row for point in points for row in (self.row(0, point), *self.table.rows(point)))

    def row(self, number: int, point: Mapping[str, Any]) -> Row:
        """The run of a trial."""
        return self.run(f"trial_{number:04d}", point)

    def stage(self, scan: Scan, *, advance: bool) -> Stage:
        """The trials so far, new ones as earlier ones end, and finally the rows that follow."""
        if not advance and not self.paths.search.exists():
            return Stage((), f"{self.trials} trials are to come")
        make_folder(self.paths.folder)
        with locked(self.paths.search_lock, what=f"the search in {self.paths.folder}", wait=True):
            proposals = read_proposals(self.paths.search)
            points = proposals.setdefault(self._identity(), [])
            candidates = [self._trial(number, point, scan) for number, point in enumerate(points)]
            while advance and self._may_propose(candidates):
                points.append(self._propose(points, candidates))
                write_proposals(self.paths.search, proposals)
                candidates.append(self._trial(len(candidates), points[-1], scan))  # it may have run before
        rows = tuple(item.row for item in candidates)
        to_come = max(self.trials - len(candidates), 0) + sum(item.pending for item in candidates)
        if to_come:
            return Stage(rows, f"{to_come} of {self.trials} trials are to come")
        chosen, note = self.best(candidates, of="search")
        if chosen:
            read = self.flags.keys() & chosen.row.shared
            rows += self.table.rows({name: chosen.row.options[name] for name in self.flags if name in read})
        return Stage(rows, notes=(note,))

    def _may_propose(self, candidates: Sequence[Candidate]) -> bool:
        return len(candidates) < self.trials and sum(item.pending for item in candidates) < self.parallel

    def _trial(self, number: int, point: Mapping[str, Any], scan: Scan) -> Candidate:
        """How a proposal did."""
        if set(point) != set(self.flags):
            raise UserError(f"cannot read {self.paths.search}: trial {number} has other flags; remove it")
        row = self.row(number, options_of(point, str(self.paths.search)))
        return self.candidate(row, scan(row))

    def _propose(self, points: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate]) -> dict[str, Any]:
        """The next values of the flags, from Optuna and the trials so far."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        space = {name: _distribution(name, spec) for name, spec in self.flags.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # parts of the sampler are marked as experimental
            study = optuna.create_study(
                sampler=self._sampler(len(points)), direction="maximize" if self.rule.sign > 0 else "minimize"
            )
            try:
                study.add_trials([_as_trial(*item, space) for item in zip(points, candidates, strict=True)])
            except ValueError as error:
                raise UserError(f"cannot read {self.paths.search}: {error}; remove it to search anew") from None
            return study.ask(space).params

    def _sampler(self, number: int) -> BaseSampler:
        from optuna.samplers import RandomSampler, TPESampler

        seed = int.from_bytes(hashlib.sha256(f"{self.seed} {number}".encode()).digest()[:4], "big")
        if self.sampler == "random":
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, constant_liar=self.parallel > 1)

    def _identity(self) -> str:
        """Tells this search from one with other ranges or settings."""
        base = self.row(0, {})
        options = {**base.options, **base.left_out}
        options = {name: value for name, value in options.items() if name not in self.table.machine}
        definition = [self.flags, self.sampler, self.seed, str(self.rule), options, base.seeds]
        return hashlib.sha256(json.dumps(definition, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _as_trial(point: Mapping[str, Any], found: Candidate, space: dict[str, BaseDistribution]) -> FrozenTrial:
    """A trial as Optuna sees it: still running, failed, or complete with its score."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.COMPLETE
    if found.score is None:
        state = TrialState.RUNNING if found.pending else TrialState.FAIL
    return create_trial(state=state, params=dict(point), distributions=space, value=found.score)


def _ranges(content: Any, origin: str) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        raise UserError(f"flags of the {origin} must hold ranges such as lr: {{low: 1e-4, high: 1, log: true}}")
    names = {option_name(given, origin): spec for given, spec in content.items()}
    if len(names) < len(content):
        raise UserError(f"flags of the {origin} have an option twice, under two names; remove one")
    return {name: _range(name, spec, origin) for name, spec in names.items()}


def _range(name: str, spec: Any, origin: str) -> Any:
    """A list of values, or {low, high, step, log} with numbers."""
    if isinstance(spec, list) and spec and all(isinstance(value, (str, int, float)) for value in spec):
        values = [options_of({name: value}, origin)[name] for value in spec]
        if len(set(values)) < len(values):
            raise UserError(f"{name} of the {origin} has a value twice: {spec}")
        return values
    kind = OPTIONS[name].metadata["kind"].name
    if not isinstance(spec, dict) or not {"low", "high"} <= set(spec) or set(spec) - set(RANGE_KEYS):
        raise UserError(f"{name} of the {origin} must be a list, or low, high and if need be step or log; got {spec!r}")
    if kind not in ("int", "float", "ratio") or NATURAL in (spec["low"], spec["high"]):
        raise UserError(f"{name} of the {origin} has no range of numbers; give a list of values")
    low, high = (options_of({name: spec[end]}, origin)[name] for end in ("low", "high"))
    log = bool(_read(SWITCH, spec.get("log", 0), f"log of {name}", origin))
    step = spec.get("step")
    if step is not None:
        step = float(_read(COUNT if _is_whole(name, low, high) else POSITIVE, step, f"step of {name}", origin))
    if not low < high or (log and (low <= 0 or step is not None)):
        raise UserError(f"{name} of the {origin} needs low < high, and log without step above 0; got {spec!r}")
    return {"low": low, "high": high, "step": step, "log": log}


def _is_whole(name: str, *ends: float) -> bool:
    """Whether the values of a range are integers; ratios are, where both ends are."""
    kind = OPTIONS[name].metadata["kind"].name
    return kind == "int" or (kind == "ratio" and all(isinstance(end, int) for end in ends))


def _distribution(name: str, spec: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(spec, list):
        return CategoricalDistribution(spec)
    if _is_whole(name, spec["low"], spec["high"]):
        return IntDistribution(spec["low"], spec["high"], log=spec["log"], step=int(spec["step"] or 1))
    return FloatDistribution(spec["low"], spec["high"], log=spec["log"], step=spec["step"])


def _read(kind: Kind, value: Any, what: str, origin: str) -> Any:
    try:
        return read(kind, value)
    except (TypeError, ValueError):
        raise UserError(f"{what} must be {kind.expected}, got {value} (from {origin})") from None
