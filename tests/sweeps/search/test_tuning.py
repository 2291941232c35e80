"""What Ray Tune is given. No Ray cluster: the Tuner is a recorder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeps.errors import StoreUnavailable
from sweeps.search import tuning
from sweeps.search.cluster import Slots
from sweeps.search.worker import TrialWorker


def test_each_drive_has_a_trainable_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two Tuners of one process with one trainable name run each other's code."""
    given: list[Any] = []

    class Recorder:
        def __init__(self, trainable: Any, **_: Any) -> None:
            given.append(trainable)

        def fit(self) -> None:
            """Nothing."""

    monkeypatch.setattr(tuning, "Tuner", Recorder)
    for name in ("s1_a", "s1_b"):
        tuning.tune(
            None,  # type: ignore[arg-type]
            Slots(2, 1, 0.0),
            name=name,
            sweep_folder=tmp_path,
            trainer="none:None",
            is_stopping=lambda: False,
            on_cancelled=lambda: None,
        )
    assert [trainable.__name__ for trainable in given] == ["Trial_s1_a", "Trial_s1_b"]
    assert all(issubclass(trainable, TrialWorker) for trainable in given)


def test_what_the_conductor_raises_is_not_lost_in_ray_tune(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Asking:
        def __init__(self, _trainable: Any, *, tune_config: Any, **_: Any) -> None:
            self.searcher = tune_config.search_alg

        def fit(self) -> None:
            self.searcher.suggest("a")

    class Away:
        def next_job(self) -> None:
            raise StoreUnavailable("the database is away")

    monkeypatch.setattr(tuning, "Tuner", Asking)
    with pytest.raises(StoreUnavailable, match="is away"):
        tuning.tune(
            Away(),  # type: ignore[arg-type]
            Slots(2, 1, 0.0),
            name="s1_a",
            sweep_folder=tmp_path,
            trainer="none:None",
            is_stopping=lambda: False,
            on_cancelled=lambda: None,
        )
