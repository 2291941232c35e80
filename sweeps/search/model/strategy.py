"""What a free worker does next: the trial to start or to resume that promises most hypervolume for its cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.pareto import hypervolume, non_dominated
from sweeps.search.history import Goal, Resume, Start, TrialHistory
from sweeps.search.model.encoding import Encoding, distinct, spread
from sweeps.search.model.feasibility import Survival, kept
from sweeps.search.model.fidelity import Chain, Outlook
from sweeps.search.model.improvement import uncovered
from sweeps.search.model.observations import LIMIT, Observations, Table, bounded, metrics_of, softened
from sweeps.search.model.value import Boxes, index, plain

Array = NDArray[np.float64]

Allowed = Callable[[Mapping[str, Any]], bool]

_CANDIDATES = 768
_TRIES = 256
"""Configurations looked at for one that may start."""
_KEPT = 24
_SCALES = (0.1, 0.03, 0.01)
_APART = 0.01
"""Least distance to a trial that runs, in the unit cube, along the parameter in which they differ most."""
_FRONT = 60
_WORTHWHILE = 0.002
"""Once all trials are started, a paused one goes on for no less than this share of the front's hypervolume."""


class ModelStrategy:
    """Gaussian processes over configuration and rung; the option with the highest index is taken.

    A start commits to the first rung only, a resumption to the next. The same history and goal give the same choice.

    Args:
        goal: of the search; its metrics' reference points are those of the hypervolume.
        first: configurations drawn evenly before there is a model; None: two more than the space has dimensions, and
            no more than a third of the trials.
        allowed: whether a configuration may start at all; one that may not is not proposed.
        earlier: trials of earlier sweeps, as this one would have measured them: the model knows them, and they are
            neither results nor options. Those that reached the first rung stand for as many drawn evenly.
    """

    def __init__(
        self,
        goal: Goal,
        first: int | None = None,
        *,
        allowed: Allowed = lambda _: True,
        earlier: Sequence[TrialHistory] = (),
    ) -> None:
        self.goal = goal
        self._allowed = allowed
        self._encoding = Encoding(goal.space, goal.fixed)
        self._metrics = metrics_of(goal)
        self._table = Table(goal, self._encoding, self._metrics)
        dimensions = len(self._encoding.names)
        # About half a full training's worth where first rungs are cheap.
        cheap = min(6 * dimensions, goal.rungs[-1] // (2 * goal.rungs[0]))
        first = first if first is not None else max(1, min(max(dimensions + 2, cheap), goal.trials // 3))
        self._earlier = self._most_telling([replace(trial, number=-1 - i) for i, trial in enumerate(earlier)])
        started = sum(trial.rungs[0].step == goal.rungs[0] for trial in self._earlier)
        self._first = max(0, first - started)
        self._model: _Model | None = None
        self._spread = spread(first, dimensions, goal.seed)

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume | None:
        seen = self._table.read([*self._earlier, *history])
        may_start = len(history) < self.goal.trials
        if may_start and len(history) < self._first:
            point = self._encoding.snap(self._spread[len(history)][None])[0]
            parameters, reason = self._encoding.decode(point), f"{len(history) + 1} of {self._first} spread evenly"
            given = Start(parameters, reason)
            return given if self._allowed(parameters) else self._by_chance(history, reason) or given
        if not (seen.reached >= 0).any():
            # Nothing is known yet: those that run will tell, or all have failed so far.
            busy = any(trial.state in ("queued", "running") for trial in history)
            return None if busy or not may_start else self._by_chance(history, "nothing is known yet")
        model = self._model = _Model(self.goal, self._encoding, seen, self._model)
        paused = model.paused()
        best = max(paused, key=lambda option: option.value, default=None)
        if may_start:
            new = self._best_new(model, history)
            if new is not None and (best is None or new.value > best.value):
                return Start(self._encoding.decode(new.point), new.reason)
            if new is None and best is None:
                return self._by_chance(history, "all that looks best may not start")
        if best is None or (not may_start and best.gain < _WORTHWHILE * model.covered):
            return None
        return Resume(best.number, best.reason)

    def _most_telling(self, earlier: Sequence[TrialHistory]) -> list[TrialHistory]:
        """So many of them that this sweep's own trials have as much room in the model."""
        read = self._table.read(earlier)
        used = bounded(read.scores[..., : len(self.goal.objectives)], LIMIT // 2).any(axis=1)
        return [trial for trial, is_used in zip(read.trials, used, strict=True) if is_used]

    def _by_chance(self, history: Sequence[TrialHistory], reason: str) -> Start | None:
        """The first of many drawn evenly that has not been tried and may start; None: there is none."""
        random, width = np.random.default_rng([self.goal.seed, len(history)]), len(self._encoding.names)
        tried = np.array([self._encoding.encode(trial.parameters) for trial in history]).reshape(-1, width)
        drawn = map(self._encoding.decode, distinct(self._encoding.snap(random.random((_TRIES, width))), tried))
        found = next(filter(self._allowed, drawn), None)
        return None if found is None else Start(found, f"by chance: {reason}")

    def _best_new(self, model: _Model, history: Sequence[TrialHistory]) -> _Option | None:
        """The best configuration found by looking everywhere, then around the best of those, closer and closer."""
        done = sum(len(trial.rungs) for trial in history)
        random = np.random.default_rng([self.goal.seed, len(history), done])
        encoding, known = self._encoding, model.seen.points[model.seen.own]
        running = model.seen.points[[trial.state in ("queued", "running") for trial in model.seen.trials]]
        everywhere = encoding.snap(random.random((_CANDIDATES, len(encoding.names))))
        near = model.seen.points[model.around(_KEPT)]
        around = [encoding.moved(np.repeat(near, 4, axis=0), scale, random) for scale in _SCALES]
        points = distinct(np.concatenate([everywhere, *around]), known)
        if not len(points):
            return None
        points = self._startable(points[np.argsort(-model.rough(points), kind="stable")], 2 * _KEPT, running)
        if not len(points):
            return None
        values = model.index(points)
        for scale in _SCALES:
            best = points[np.argsort(-values, kind="stable")[:_KEPT]]
            moved = distinct(encoding.moved(np.repeat(best, 3, axis=0), scale, random), np.concatenate([known, points]))
            if len(moved):
                points = np.concatenate([points, moved])
                values = np.concatenate([values, model.index(moved)])
        best_allowed = self._startable(points[np.argsort(-values, kind="stable")], 1, running)
        return model.option(best_allowed[0]) if len(best_allowed) else None

    def _startable(self, points: Array, count: int, running: Array) -> Array:  # [points, dimensions]
        """The first so many of them that may start, and are not what another worker tries."""
        others = points[(np.abs(points[:, None] - running).max(axis=2) >= _APART).all(axis=1)]
        may = (point for point in others[:_TRIES] if self._allowed(self._encoding.decode(point)))
        return np.array(list(itertools.islice(may, count))).reshape(-1, points.shape[1])


@dataclass(frozen=True)
class _Option:
    """Something to do. `gain`: hypervolume expected at the last rung; `value`: the index."""

    point: Array
    value: float
    gain: float
    reason: str
    number: int = -1


class _Model:
    """What is believed about every configuration, given what was seen."""

    def __init__(self, goal: Goal, encoding: Encoding, seen: Observations, before: _Model | None) -> None:
        self.goal, self.encoding, self.seen = goal, encoding, seen
        self._objectives = len(goal.objectives)
        self._last = len(goal.rungs) - 1
        scores = seen.scores.copy()
        scores[..., : self._objectives] = softened(scores[..., : self._objectives])
        used = bounded(scores[..., : self._objectives])
        self.fitted: list[Chain] = [
            Chain(seen.features, scores[..., metric], used, before=before.fitted[metric] if before else None)
            for metric in range(scores.shape[2])
        ]
        self._survival = Survival(seen, LIMIT)
        self._costs = _Costs(goal.rungs, seen)
        believed, new = self._believed(self.fitted, scores)
        self._chains = self.fitted
        if new.any():
            self._chains = [
                Chain(seen.features, believed[..., metric], used | new, like=chain)
                for metric, chain in enumerate(self.fitted)
            ]
        self._scores = believed
        front = self._front()
        self.boxes: Boxes = uncovered(front, np.zeros(self._objectives))
        self.covered = _covered(front)

    def paused(self) -> list[_Option]:
        """Options to resume."""
        waiting = np.array([trial.state == "paused" for trial in self.seen.trials]) & (self.seen.reached < self._last)
        found: list[_Option] = []
        for rung in range(self._last):
            rows = np.flatnonzero(waiting & (self.seen.reached == rung))
            if len(rows):
                found += self._options(rows, rung)
        return found

    def option(self, point: Array) -> _Option:
        """A new configuration as an option."""
        features = self.encoding.features(point[None])
        outlooks = self._outlooks(features, -1)
        gain = float((plain(outlooks[: self._objectives], self.boxes) * self._chance(features, outlooks))[0])
        value = float(self.index(point[None])[0])
        return _Option(point, value, gain, self._reason(gain, float(self._costs.whole(features)[0])))

    def rough(self, points: Array) -> Array:
        """Expected gain for the whole cost of new configurations: quick, for many. [points]"""
        features = self.encoding.features(points)
        outlooks = self._outlooks(features, -1)
        gain = plain(outlooks[: self._objectives], self.boxes) * self._chance(features, outlooks)
        return gain / self._costs.whole(features)

    def index(self, points: Array) -> Array:
        """Value of new configurations. [points]"""
        features = self.encoding.features(points)
        outlooks = self._outlooks(features, -1)
        whole = self._costs.whole(features)
        return self._index(features, outlooks, np.zeros(len(points)), whole, -1)

    def around(self, count: int) -> NDArray[np.int64]:
        """Rows of trials near which to look: the best results, and of all trials those whose scores at their last rung
        have the largest product. Two scores below their reference have a large one too, so that some of these are far
        from where the search is. By rank, or by chance, in their place it did no better (docs/search.md)."""
        products = np.nan_to_num(self.seen.scores[..., : self._objectives], nan=-1e9).prod(axis=2)
        value = np.where(self.seen.reached >= 0, products[np.arange(len(products)), self.seen.reached], -np.inf)
        done = np.flatnonzero(self.seen.reached == self._last)
        best = done[np.argsort(-value[done], kind="stable")[: count // 2]]
        return np.union1d(best, np.argsort(-value, kind="stable")[: count // 2])

    def _options(self, rows: NDArray[np.int64], rung: int) -> list[_Option]:
        features = self.seen.features[rows]
        outlooks = self._outlooks(features, rung, rows)
        gains = plain(outlooks[: self._objectives], self.boxes) * self._chance(features, outlooks)
        spent = self.seen.seconds[rows, rung]
        whole = spent * self.goal.rungs[-1] / self.goal.rungs[rung]
        values = self._index(features, outlooks, spent, whole, rung)
        return [
            _Option(
                self.seen.points[row],
                float(value),
                float(gain),
                self._reason(float(gain), float(cost)),
                self.seen.trials[row].number,
            )
            for row, value, gain, cost in zip(rows, values, gains, whole - spent, strict=True)
        ]

    def _index(self, features: Array, outlooks: list[Outlook], spent: Array, whole: Array, rung: int) -> Array:
        reached = self.goal.rungs[rung + 1] / self.goal.rungs[-1] * whole
        values = index(outlooks[: self._objectives], self.boxes, np.maximum(reached - spent, 1e-12), whole - reached)
        return values * self._chance(features, outlooks)

    def _outlooks(self, features: Array, rung: int, rows: NDArray[np.int64] | None = None) -> list[Outlook]:
        found = []
        for metric, chain in enumerate(self._chains):
            measured = None if rows is None else self._scores[rows, rung, metric]
            found.append(chain.outlook(features, rung, measured))
        return found

    def _chance(self, features: Array, outlooks: list[Outlook]) -> Array:
        chance = self._survival.probability(features)
        for limit, outlook in zip(self._limits(), outlooks[self._objectives :], strict=True):
            chance = chance * kept(outlook, limit)
        return chance

    def _limits(self) -> list[float]:
        return [
            metric.score(limit)
            for metric, limit in zip(
                metrics_of(self.goal)[self._objectives :], self.goal.constraints.values(), strict=True
            )
        ]

    def _believed(self, chains: list[Chain], scores: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Scores in which trials that run have measured what is expected of them, so that two workers do not do the
        same ("kriging believer", Ginsbourger et al. 2010); and which of them are such."""
        believed, new = scores.copy(), np.zeros(scores.shape[:2], dtype=bool)
        for row, trial in enumerate(self.seen.trials):
            if trial.running_to not in self.goal.rungs or trial.state not in ("queued", "running"):
                continue
            rung, reached = self.goal.rungs.index(trial.running_to), int(self.seen.reached[row])
            for step in range(reached + 1, rung + 1):
                for metric, chain in enumerate(chains):
                    measured = None if step == 0 else believed[row : row + 1, step - 1, metric]
                    outlook = chain.outlook(self.seen.features[row : row + 1], step - 1, measured)
                    if step >= chain.lowest:
                        believed[row, step, metric] = outlook.mean[0]
                new[row, step] = True
        return believed, new

    def _front(self) -> Array:
        """Results at the last rung that keep every constraint, thinned where they are many. [results, objectives]"""
        results = self._scores[:, self._last]
        keeps = np.isfinite(results).all(axis=1) & self.seen.own & self._keeps(results)
        return _thinned(results[keeps, : self._objectives])

    def _keeps(self, results: Array) -> NDArray[np.bool_]:
        """Which results keep every constraint. [results]"""
        limited = np.nan_to_num(results[:, self._objectives :], nan=-np.inf)
        return np.asarray((limited >= np.array(self._limits())).all(axis=1))

    def _reason(self, gain: float, cost: float) -> str:
        share = 100.0 * gain / self.covered if self.covered > 0 else float("inf")
        return f"{share:.3g}% more hypervolume expected for {cost:.3g} s" if self.covered > 0 else "no result yet"


class _Costs:
    """Seconds of a whole training, from seconds a step: log-linear in what a kernel sees, by ridge regression."""

    def __init__(self, rungs: Sequence[int], seen: Observations) -> None:
        rows = np.flatnonzero(seen.reached >= 0)[-LIMIT:]
        reached = seen.reached[rows]
        rates = np.log(np.maximum(seen.seconds[rows, reached], 1e-9) / np.array(rungs)[reached])
        self._steps = rungs[-1]
        self._mean = float(rates.mean())
        self._center = seen.features[rows].mean(axis=0)
        inputs = seen.features[rows] - self._center
        self._weights = np.linalg.solve(
            inputs.T @ inputs + 0.1 * np.eye(inputs.shape[1]), inputs.T @ (rates - self._mean)
        )

    def whole(self, features: Array) -> Array:
        """[options]"""
        return np.asarray(self._steps * np.exp(self._mean + (features - self._center) @ self._weights))


def _thinned(results: Array) -> Array:
    if not len(results):
        return results
    front = np.unique(results[non_dominated(results, ["maximize"] * results.shape[1])], axis=0)
    return front[np.linspace(0, len(front) - 1, min(_FRONT, len(front))).round().astype(int)]


def _covered(front: Array) -> float:
    return hypervolume(front, ["maximize"] * front.shape[1], [0.0] * front.shape[1])
