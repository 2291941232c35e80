"""The store's records as plain values: what --json prints, and what the service answers with addresses added."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from f3rm_core import METRICS, Parameter
from sweeps.store.records import SweepRecord, TrialRecord

if TYPE_CHECKING:
    from sweeps.outcome import Outcome
    from sweeps.spec.check import Checked
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
        "memory": None if checked.memory is None else memory_view(checked.memory),
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
    """The completed trials, those on the front first."""
    return {
        "sweep_id": outcome.sweep.id,
        "objectives": objectives_view(outcome.sweep),
        "points": [
            {
                "trial": point.trial,
                "on_front": point.on_front,
                "metrics": dict(point.metrics),
                "parameters": dict(outcome.trials[point.trial].parameters),
            }
            for point in outcome.points()
        ],
    }
