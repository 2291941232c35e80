"""The replay: learning curves recorded from this project's trainer, with a surrogate between recorded configurations.

    python -m benchmarks.search.replay --recording benchmarks/search/recordings/tabletop.jsonl.gz

The surrogate is the mean of extremely randomized trees and of a Gaussian process (Matern 3/2) for each rung and
objective, fitted to the runs that did not diverge; the share of the cosine that features leave open, 1 - feature_gain,
is fitted by its logarithm. Trees tell at which rung a configuration diverges. The mean of the two was chosen by its
cross-validated error. Prints how far it is off for configurations that it was not fitted to (ten-fold), and writes
that, the reference point and the largest hypervolume beside the recording.

A run has diverged when it ends no better in colours than after its first rung, or with features worse than a constant:
this trainer's models then render one colour and stay finite. It fails at the first rung from which on that is so.

Costs are steps over all steps, for every configuration alike: seconds were recorded too, but on a machine shared with
other work they vary tenfold for the same configuration.
"""

from __future__ import annotations

import argparse
import gzip
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from benchmarks.search.problems import Outcome
from benchmarks.search.space import SPACE, STEPS
from f3rm_core import Metric
from sweeps.analysis.pareto import hypervolume, non_dominated
from sweeps.search.model.encoding import Encoding
from sweeps.spec.space import Dimension

Array = NDArray[np.float64]
OBJECTIVES = ("psnr", "feature_gain")
RECORDINGS = Path(__file__).parent / "recordings"
_NEVER = len(STEPS)


class Recording:
    """Curves as arrays.

    Args:
        file: of `benchmarks.search.record`, gzipped or not.
    """

    def __init__(self, file: Path) -> None:
        text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()
        runs = [run for run in map(json.loads, text.splitlines()) if len(run["rungs"]) == len(STEPS)]
        self.encoding = Encoding(SPACE, {})
        self.points = np.array([self.encoding.encode(run["parameters"]) for run in runs])
        self.values = np.array(
            [[[rung["metrics"][name] for name in OBJECTIVES] for rung in run["rungs"]] for run in runs]
        )  # [runs, rungs, objectives]
        self.failing = np.array([_failing_rung(curve) for curve in self.values])  # [runs], _NEVER: it does not

    @property
    def features(self) -> Array:
        return self.encoding.features(self.points)


def _failing_rung(curve: Array) -> int:
    """Index of the rung at which a run fails. curve: [rungs, objectives]"""
    lost = (curve[:, 1] < 0.0) | ((curve[:, 0] <= curve[0, 0]) & (np.arange(len(curve)) > 0))
    good = np.flatnonzero(~lost)
    return int(good[-1]) + 1 if len(good) else 0


class Surrogate:
    """Fitted to a recording.

    Args:
        features: [runs, features].
        values: [runs, rungs, objectives].
        failing: [runs].
    """

    def __init__(self, features: Array, values: Array, failing: NDArray[np.int64]) -> None:
        alive = failing == _NEVER
        self._classifier = ExtraTreesClassifier(100, random_state=0).fit(features, failing)
        targets = np.concatenate([values[..., :1], -np.log(1.0 - values[..., 1:])], axis=2)[alive]
        self._shape = targets.shape[1:]
        targets = targets.reshape(len(targets), -1)
        self._mean, self._deviation = targets.mean(axis=0), targets.std(axis=0)
        scaled = (targets - self._mean) / self._deviation
        self._trees = ExtraTreesRegressor(100, random_state=0).fit(features[alive], scaled)
        with warnings.catch_warnings():
            # A parameter that does not matter has a length at its bound.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._processes = [_process(features.shape[1]).fit(features[alive], column) for column in scaled.T]

    def failing(self, features: Array) -> NDArray[np.int64]:
        """[points]"""
        return np.asarray(self._classifier.predict(features), dtype=np.int64)

    def values(self, features: Array) -> Array:
        """[points, rungs, objectives]"""
        smooth = np.stack([process.predict(features) for process in self._processes], axis=1)
        targets = self._mean + self._deviation * (smooth + self._trees.predict(features)) / 2
        targets = targets.reshape(-1, *self._shape)
        return np.concatenate([targets[..., :1], 1.0 - np.exp(-targets[..., 1:])], axis=2)


def _process(width: int) -> GaussianProcessRegressor:
    kernel = ConstantKernel() * Matern([1.0] * width, (0.15, 20.0), nu=1.5) + WhiteKernel(0.05, (1e-3, 1.0))
    return GaussianProcessRegressor(kernel)


class Replay:
    """The recording as a problem.

    Args:
        file: the recording; the summary is beside it.
    """

    def __init__(self, file: Path) -> None:
        recording = Recording(file)
        summary = json.loads(_summary_of(file).read_text())
        self._encoding = recording.encoding
        self._surrogate = Surrogate(recording.features, recording.values, recording.failing)
        self._known: dict[tuple[Any, ...], tuple[int, Array]] = {}
        self.objectives: tuple[Metric, ...] = tuple(
            Metric(name, "maximize", "", "", reference=value, ideal=value + scale)
            for name, value, scale in zip(OBJECTIVES, summary["reference"], summary["scale"], strict=True)
        )
        self.space: Mapping[str, Dimension] = SPACE
        self.fixed: Mapping[str, Any] = {}
        self.rungs = STEPS
        self.best = float(summary["best_hypervolume"])

    def evaluate(self, parameters: Mapping[str, Any], step: int) -> Outcome:
        key = tuple(parameters.values())
        if key not in self._known:
            features = self._encoding.features(self._encoding.encode(parameters)[None])
            self._known[key] = int(self._surrogate.failing(features)[0]), self._surrogate.values(features)[0]
        failing, values = self._known[key]
        rung = STEPS.index(step)
        if rung >= failing:
            return Outcome({}, "diverged")
        return Outcome(dict(zip(OBJECTIVES, map(float, values[rung]), strict=True)))

    def cost(self, parameters: Mapping[str, Any], step: int) -> float:
        return step / STEPS[-1]


def _errors(recording: Recording, folds: int = 10) -> dict[str, Any]:
    """Of a surrogate for runs that it was not fitted to: root mean square, and share of the variance explained."""
    features, alive = recording.features, recording.failing == _NEVER
    fold = np.arange(len(features)) % folds
    values, failing = np.zeros_like(recording.values), np.zeros_like(recording.failing)
    for one in range(folds):
        fitted = fold != one
        surrogate = Surrogate(features[fitted], recording.values[fitted], recording.failing[fitted])
        values[~fitted] = surrogate.values(features[~fitted])
        failing[~fitted] = surrogate.failing(features[~fitted])
    squares = ((values - recording.values)[alive] ** 2).mean(axis=0)
    rows = {
        f"{name} at {step}": {
            "rmse": round(float(squares[rung, column] ** 0.5), 4),
            "explained": round(float(share), 3),
        }
        for rung, step in enumerate(STEPS)
        for column, name in enumerate(OBJECTIVES)
        for share in [1 - squares[rung, column] / recording.values[alive, rung, column].var()]
    }
    right = ((failing == _NEVER) == alive).mean()
    return {"runs": len(features), "diverged": int((~alive).sum()), "told_apart": round(float(right), 3), **rows}


def _best(recording: Recording, reference: Sequence[float], starts: int = 12) -> float:
    """The largest hypervolume of the surrogate: of large even samples, and of what is near their common front."""
    surrogate = Surrogate(recording.features, recording.values, recording.failing)
    random, encoding = np.random.default_rng(0), recording.encoding
    front, values = np.zeros((0, len(SPACE))), np.zeros((0, len(OBJECTIVES)))
    for scale in (0.0, 0.2, 0.1, 0.05, 0.02) * starts + (0.2, 0.1, 0.05, 0.02, 0.01):
        if scale:
            new = encoding.moved(np.repeat(front, 2 + 6_000 // len(front), axis=0), scale, random)
        else:
            new = encoding.snap(random.random((40_000, len(SPACE))))
        features = encoding.features(new)
        lives = surrogate.failing(features) == _NEVER
        front = np.concatenate([front, new[lives]])
        values = np.concatenate([values, surrogate.values(features[lives])[:, -1]])
        keep = non_dominated(values, ["maximize"] * len(OBJECTIVES))
        front, values = front[keep], values[keep]
    return hypervolume(values, ["maximize"] * len(OBJECTIVES), list(reference))


def _summary_of(file: Path) -> Path:
    return file.with_name(file.name.split(".")[0] + ".summary.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recording", type=Path, required=True)
    recording = Recording(parser.parse_args().recording)
    alive = recording.values[recording.failing == _NEVER, -1]
    # The middle of what a random configuration reaches: with a reference far below, any good run is most of the best.
    reference = np.median(alive, axis=0).round(4)
    summary = {
        "reference": reference.tolist(),
        "scale": (alive.max(axis=0) - reference).round(4).tolist(),
        "best_hypervolume": round(_best(recording, reference.tolist()), 6),
        "errors": _errors(recording),
    }
    text = json.dumps(summary, indent=1)
    _summary_of(parser.parse_args().recording).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
