"""The store's records as plain values: what --json prints, and what the service answers with addresses added."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from f3rm_core import METRICS, Parameter
from sweeps.store.records import RungRecord, SweepRecord, TrialRecord

if TYPE_CHECKING:
    from sweeps.analysis.claims import ClaimsReport, Judged
    from sweeps.analysis.repeats import Repeats
    from sweeps.analysis.scenarios import Winner
    from sweeps.outcome import Outcome
    from sweeps.spec.check import Checked
    from sweeps.spec.claims import Claim
    from sweeps.spec.memory import Memory
    from sweeps.spec.presets import Preset
    from sweeps.spec.suggest import Suggestion


def sweep_view(sweep: SweepRecord, *, spec: bool = False) -> dict[str, Any]:
    """A sweep; with its spec where asked for."""
    view = {
        "id": sweep.id,
        "name": sweep.name,
        "state": sweep.state,
        "scene": sweep.spec["scene"],
        "objectives": objectives_view(sweep),
        "trials_planned": sweep.trials_planned,
        "counts": dict(sweep.counts),
        "created_at": sweep.created_at,
        "started_at": sweep.started_at,
        "finished_at": sweep.finished_at,
        "driver_seconds": sweep.driver_seconds,
        "cancel_requested": sweep.cancel_requested,
        "stop_reason": sweep.stop_reason,
        "error": sweep.error,
    }
    return {**view, "spec": dict(sweep.spec)} if spec else view


def objectives_view(sweep: SweepRecord) -> list[dict[str, str]]:
    """The objectives with what the metrics know of themselves."""
    metrics = [METRICS[name] for name in sweep.spec["objectives"]]
    return [{"name": metric.name, "direction": metric.direction, "unit": metric.unit} for metric in metrics]


def trial_view(trial: TrialRecord) -> dict[str, Any]:
    """A trial. `pictures` are paths relative to the sweep's folder."""
    failed = trial.failure_reason is not None
    return {
        "number": trial.number,
        "state": trial.state,
        "parameters": dict(trial.parameters),
        "seed": trial.seed,
        "attempts": trial.attempts,
        "step": trial.step,
        "total_steps": trial.total_steps,
        "loss": trial.loss,
        "metrics": dict(trial.metrics),
        "failure": {"reason": trial.failure_reason, "message": trial.failure_message} if failed else None,
        "backend": trial.backend,
        "device": trial.device,
        "threads": trial.threads,
        "seconds": trial.seconds,
        "created_at": trial.created_at,
        "started_at": trial.started_at,
        "finished_at": trial.finished_at,
        "pictures": dict(trial.pictures),
    }


def rung_view(rung: RungRecord) -> dict[str, Any]:
    """What a trial measured at a rung, and what was decided there."""
    return {name: value for name, value in asdict(rung).items() if name != "trial"}


def parameter_view(parameter: Parameter) -> dict[str, Any]:
    """A documented parameter."""
    return {**asdict(parameter), "changes_result": parameter.changes_result}


def preset_view(preset: Preset, *, values: bool = False) -> dict[str, Any]:
    """A preset; with its values where asked for."""
    view = {"name": preset.name, "base": preset.base, "summary": preset.summary, "trade_off": preset.trade_off}
    return {**view, "parameters": dict(preset.parameters), "resolved": dict(preset.resolved)} if values else view


def suggestion_view(suggested: Suggestion) -> dict[str, Any]:
    """A suggested preset with the reason of each value."""
    return {**preset_view(suggested.preset, values=True), "reasons": [asdict(reason) for reason in suggested.reasons]}


def checked_view(checked: Checked) -> dict[str, Any]:
    """What the rules found."""
    return {
        "name": checked.name,
        "kind": checked.kind,
        "ok": checked.ok,
        "samples": checked.samples,
        "forbidden": checked.forbidden,
        "findings": [{**asdict(finding), "parameters": dict(finding.parameters)} for finding in checked.findings],
        "warnings": list(checked.warnings),
        "memory": None if checked.memory is None else memory_view(checked.memory),
        "sharing": None if checked.sharing is None else asdict(checked.sharing),
    }


def memory_view(memory: Memory) -> dict[str, Any]:
    """The largest predicted peak, by part."""
    largest = memory.largest
    return {
        "peak_memory_gb": largest.total_bytes / 1e9,
        "phase": largest.phase,
        "device": largest.device,
        "backend": largest.backend,
        "measured": largest.measured,
        "parts_gb": {name: size / 1e9 for name, size in largest.parts.items()},
        "training_step_gb": largest.training_step_bytes / 1e9,
        "evaluation_gb": largest.evaluation_bytes / 1e9,
        "mapped_gb": largest.mapped_bytes / 1e9,
        "limit_gb": memory.limit_gb,
        "share_over": memory.share_over,
    }


def front_view(outcome: Outcome) -> dict[str, Any]:
    """The completed trials, those on the front first; the front's knee and its hypervolume."""
    knee = outcome.knee()
    grown = outcome.growth()
    return {
        "sweep_id": outcome.sweep.id,
        "objectives": objectives_view(outcome.sweep),
        "constraints": dict(outcome.constraints),
        "hypervolume": grown[-1].hypervolume if grown else 0.0,
        "knee": None if knee is None else {"trial": knee.trial, "distance": knee.distance, "scores": dict(knee.scores)},
        "points": [
            {
                "trial": point.trial,
                "on_front": point.on_front,
                "feasible": point.feasible,
                "metrics": dict(point.metrics),
                "parameters": dict(outcome.trials[point.trial].parameters),
            }
            for point in outcome.points()
        ],
    }


def winner_view(outcome: Outcome, winner: Winner) -> dict[str, Any]:
    """Who wins a scenario, and why."""
    return {
        "sweep_id": outcome.sweep.id,
        "scenario": winner.scenario,
        "trial": trial_view(outcome.trials[winner.number]),
        "runner_up": winner.runner_up,
        "scores": dict(winner.scores),
        "reason": winner.reason,
        "repeats": None if winner.repeats is None else _repeats_view(winner.repeats),
    }


def winners_view(outcome: Outcome, winners: Sequence[Winner], without: Mapping[str, str]) -> dict[str, Any]:
    """Who wins each scenario; and why nobody wins the others, by scenario."""
    return {
        "sweep_id": outcome.sweep.id,
        "winners": [winner_view(outcome, winner) for winner in winners],
        "without_winner": dict(without),
    }


def hypervolume_view(outcome: Outcome) -> dict[str, Any]:
    """The hypervolume over the cost."""
    grown = outcome.growth()
    return {
        "sweep_id": outcome.sweep.id,
        "hypervolume": grown[-1].hypervolume if grown else 0.0,
        "seconds": grown[-1].seconds if grown else 0.0,
        "scales": [
            {"name": m.name, "unit": m.unit, "reference": m.reference, "ideal": m.ideal, "scale": m.scale}
            for m in outcome.objectives
        ],
        "history": [asdict(point) for point in grown],
    }


def importance_view(outcome: Outcome) -> dict[str, Any]:
    """Importance of every parameter for each objective."""
    found = outcome.importance()
    return {
        "sweep_id": outcome.sweep.id,
        "trials": found.trials,
        "best": found.best,
        "note": found.note,
        "importance": {
            target: [{**asdict(share), "beyond_chance": share.beyond_chance} for share in shares]
            for target, shares in found.shares.items()
        },
    }


def _repeats_view(repeats: Repeats) -> dict[str, Any]:
    return {
        "trials": list(repeats.trials),
        "metrics": {name: asdict(spread) for name, spread in repeats.spreads.items()},
        "runner_up_trials": list(repeats.runner_up_trials),
        "differences": [
            {
                "metric": difference.metric.name,
                "better_by": difference.better_by,
                "low": difference.low,
                "high": difference.high,
                "beyond_noise": difference.beyond_noise,
            }
            for difference in repeats.differences
        ],
    }


def claims_view(report: ClaimsReport) -> dict[str, Any]:
    """What an ablation says of the guide's claims."""
    return {
        "sweep_id": report.sweep.id,
        "state": report.sweep.state,
        "counts": dict(report.counts),
        "arms": {arm: dict(values) for arm, values in report.arms.items()},
        "claims": [_judged_view(judged) for judged in report.judged],
        "others": [
            {"arm": other.arm, "metric": other.metric, "effect": asdict(other.effect)} for other in report.others
        ],
        "not_asked": list(report.not_asked),
    }


def claim_view(claim: Claim) -> dict[str, Any]:
    """A claim of the guide. Infinite ends of a region are null."""
    reached = not claim.out_of_reach
    size = claim.size
    return {
        "id": claim.id,
        "says": claim.says,
        "arm": claim.arm or None,
        "metric": claim.metric or None,
        "measure": claim.measure if reached else None,
        "claimed": [_finite(claim.region.low), _finite(claim.region.high)] if reached else None,
        "stated": size.stated if size else None,
        "stated_fits": [size.fits.low, size.fits.high] if size else None,
        "out_of_reach": claim.out_of_reach or None,
    }


def _judged_view(judged: Judged) -> dict[str, Any]:
    return {
        **claim_view(judged.claim),
        "effect": asdict(judged.effect) if judged.effect else None,
        "verdict": judged.verdict,
        "fit": judged.fit,
        "note": judged.note,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
