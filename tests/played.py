"""Sweeps that were played, not trained: the store as real trials would leave it, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from sweeps.settings import Settings
from sweeps.spec.presets import default_parameters, overlay
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, Failed, SweepRecord
from sweeps.store.repository import Repository

SPEC = {
    "name": "played",
    "scene": "embedded:tabletop",
    "space": {"feat_loss_weight": {"type": "float", "low": 1e-5, "high": 10.0, "log": True}},
    "objectives": ["psnr", "feature_gain"],
    "budget": {"trials": 4},
}

# Trials 0 and 2 are the front: 1 is worse than 0 in both. Trial 2's worst objective is 0 of the front's range,
# as is trial 0's; the sum decides nothing either, so the earlier one wins.
RESULTS: Mapping[int, Mapping[str, float]] = {
    0: {"psnr": 20.0, "feature_gain": 0.5, "train_seconds": 10.0},
    1: {"psnr": 19.0, "feature_gain": 0.4, "train_seconds": 9.0},
    2: {"psnr": 18.0, "feature_gain": 0.7, "train_seconds": 8.0},
}


def play(
    store: Repository,
    settings: Settings,
    *,
    finish: bool = True,
    spec: Mapping[str, object] = SPEC,
    results: Mapping[int, Mapping[str, float]] = RESULTS,
    weights: Sequence[float] = (1.0, 0.1, 0.01, 0.001),
) -> SweepRecord:
    """Play a sweep of four trials: 0, 1 and 2 complete with RESULTS, 3 fails by divergence.

    Args:
        store: where to.
        settings: folder of the pictures.
        finish: end the sweep; otherwise it is left running, held by this process.
        spec: the sweep.
        results: of the trials that complete, by number; the others fail.
        weights: feat_loss_weight of each trial.
    """
    sweep, _ = store.create_sweep(parse_spec(dict(spec)))
    driven = DrivenSweep.acquire(store.database, sweep.id, this_process(), lease_seconds=60.0, max_attempts=3)
    attempts = AttemptStore(store.database)
    for number, weight in enumerate(weights):
        own = {"feat_loss_weight": weight, "max_res": 256, "seed": 7 + number, "threads": 1}
        configuration = overlay(default_parameters(), own)
        driven.add_trial(
            number,
            parameters={"feat_loss_weight": weight},
            configuration=configuration,
            optuna_trial=None,
            total_steps=100,
        )
        token = driven.start_attempt(number).token
        attempts.report(token, step=50, loss=0.25, metrics={})
        if number in results:
            attempts.finish(token, _completed(settings, sweep.id, number, results[number]))
        else:
            attempts.finish(token, Failed("diverged", "loss became NaN at step 51; lower lr", "Traceback: NaN"))
    if finish:
        driven.finish("completed", stop_reason="all 4 trials have ended")
    return store.get_sweep(sweep.id)


ABLATION = {
    "kind": "ablation",
    "name": "played-ablation",
    "scene": "embedded:tabletop",
    "base": "demo_cpu",
    "claims": ["samples-few-fast", "max-res-high-sharp", "weight-low-features", "unstable-colours", "mixed-precision"],
    "arms": {"wide-colours": {"hidden_dim_color": 128}},
    "seeds": 3,
    "allow": ["unstable-rates"],
}

# Arm -> metrics, the same for every seed but for PSNR.
ARMS: Mapping[str, Mapping[str, float]] = {
    "base": {"psnr": 20.0, "feature_gain": 0.8, "feature_cosine": 0.9, "train_seconds": 30.0},
    "samples-few": {"psnr": 19.0, "feature_gain": 0.8, "feature_cosine": 0.9, "train_seconds": 20.0},
    "max-res-high": {"psnr": 20.0, "feature_gain": 0.8, "feature_cosine": 0.9, "train_seconds": 30.0},
    "weight-low": {"psnr": 20.0, "feature_gain": 0.8, "feature_cosine": 0.9, "train_seconds": 30.0},
    "wide-colours": {"psnr": 20.5, "feature_gain": 0.8, "feature_cosine": 0.9, "train_seconds": 33.0},
}


def play_ablation(store: Repository, *, trials: int | None = None) -> SweepRecord:
    """Play an ablation: arms complete with ARMS, plus the seed's index in PSNR; `unstable` diverges at seed 1.

    Args:
        store: where to.
        trials: play so many only, and leave the sweep running.
    """
    plan = check_spec(parse_spec(ABLATION))
    assert plan.ablation is not None
    sweep, _ = store.create_sweep(plan.spec)
    driven = DrivenSweep.acquire(store.database, sweep.id, this_process(), lease_seconds=60.0, max_attempts=3)
    attempts = AttemptStore(store.database)
    for number in range(plan.ablation.trials if trials is None else trials):
        arm, seed = plan.ablation.arm(number), plan.ablation.seed_index(number)
        configuration = plan.configuration(arm.values, number)
        driven.add_trial(number, parameters=arm.values, configuration=configuration, optuna_trial=None, total_steps=100)
        token = driven.start_attempt(number).token
        if arm.name == "unstable" and seed == 1:
            attempts.finish(token, Failed("diverged", "loss became NaN at step 51; lower lr"))
        else:
            metrics = dict(ARMS.get(arm.name, ARMS["base"]))
            metrics["psnr"] += seed
            attempts.finish(token, Completed(metrics, "numba", "cpu", 1, 100, 12.5))
    if trials is None:
        driven.finish("completed", stop_reason="all trials have ended")
    return store.get_sweep(sweep.id)


def _completed(settings: Settings, sweep_id: str, number: int, metrics: Mapping[str, float]) -> Completed:
    folder = settings.trial_dir(sweep_id, number)
    folder.mkdir(parents=True)
    Image.new("RGB", (4, 3), (200, 10 * number, 0)).save(folder / "panel.png")
    return Completed(
        metrics=metrics,
        backend="numba",
        device="cpu",
        threads=1,
        steps=100,
        seconds=12.5,
        pictures={"panel": str(Path("trials") / f"{number:04d}" / "panel.png")},
    )
