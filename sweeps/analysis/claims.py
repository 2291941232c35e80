"""What an ablation says of the guide's claims: the measured effect, its interval, and a verdict. Plain values only.

A verdict compares the 95% interval with the claim's region, the effects that count as what the guide says:

- confirmed: the whole interval lies in the region;
- contradicted: none of it does;
- inconclusive: some of it does, or there are fewer than two seeds to compare;
- no data: the arm or the base has no completed trial, or the arm is not in this sweep;
- out of reach: no sweep of this project measures it; the claim says why.

Where the guide states a size, the same is said of the size: as stated, otherwise, undecided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sweeps.analysis.effects import Effect, paired_effect
from sweeps.errors import NotAnAblation
from sweeps.spec.ablation import BASE_ARM, Ablation
from sweeps.spec.claim_table import CLAIMS
from sweeps.spec.claims import Claim, Region
from sweeps.spec.sweep import SweepSpec
from sweeps.store.records import SweepRecord, TrialRecord

Verdict = Literal["confirmed", "contradicted", "inconclusive", "no data", "out of reach"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "contradicted", "inconclusive", "no data", "out of reach")
Fit = Literal["as stated", "otherwise", "undecided"]


@dataclass(frozen=True)
class Judged:
    """A claim with what an ablation says of it.

    Args:
        claim: the claim.
        verdict: see the module.
        effect: the measured one; None where there is none.
        fit: whether the size is the one stated; None where none is, or nothing was measured.
        note: what else must be known: failures, seeds that are missing, a reason.
    """

    claim: Claim
    verdict: Verdict
    effect: Effect | None = None
    fit: Fit | None = None
    note: str = ""


@dataclass(frozen=True)
class ArmEffect:
    """What an arm that no claim asks about does to an objective."""

    arm: str
    metric: str
    effect: Effect


@dataclass(frozen=True)
class ClaimsReport:
    """An ablation's answer.

    Args:
        sweep: the ablation.
        arms: arm -> its values over the base's.
        judged: its claims, in the guide's order.
        others: arms of the user's own, over the objectives, as differences.
        not_asked: ids of the claims that this ablation has no arms for.
    """

    sweep: SweepRecord
    arms: Mapping[str, Mapping[str, object]]
    judged: Sequence[Judged]
    others: Sequence[ArmEffect]
    not_asked: Sequence[str]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many claims have each verdict."""
        counted = Counter(judged.verdict for judged in self.judged)
        return {verdict: counted[verdict] for verdict in VERDICTS}


def claims_report(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> ClaimsReport:
    """Judge the claims that an ablation asks about, by the trials that it has so far.

    Args:
        sweep: an ablation.
        trials: its trials.

    Raises:
        NotAnAblation: the sweep is a search.
    """
    spec = SweepSpec.model_validate(dict(sweep.spec))
    ablation = Ablation.of(spec)
    if ablation is None:
        raise NotAnAblation(
            f"sweep {sweep.id} is a search, which has no arms to compare; submit a spec with kind: ablation"
        )
    runs = by_arm(ablation, trials)
    judged = [judge(claim, runs) for id_, claim in CLAIMS.items() if id_ in spec.claims]
    asked = {one.claim.arm for one in judged}
    others = [
        ArmEffect(arm.name, metric, effect)
        for arm in ablation.arms[1:]
        if arm.name not in asked
        for metric in spec.objectives
        if (effect := _effect(runs, arm.name, metric, "difference")[0]) is not None
    ]
    arms = {arm.name: arm.values for arm in ablation.arms}
    return ClaimsReport(sweep, arms, judged, others, [id_ for id_ in CLAIMS if id_ not in spec.claims])


def by_arm(ablation: Ablation, trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord | None]]:
    """Arm -> its trials, seed by seed; None where one was not started."""
    known = {trial.number: trial for trial in trials}
    width = len(ablation.arms)
    return {
        arm.name: [known.get(seed * width + index) for seed in range(ablation.seeds)]
        for index, arm in enumerate(ablation.arms)
    }


def judge(claim: Claim, runs: Mapping[str, Sequence[TrialRecord | None]]) -> Judged:
    """A claim's verdict.

    Args:
        claim: the claim.
        runs: arm -> its trials, seed by seed, the base's included.
    """
    if claim.out_of_reach:
        return Judged(claim, "out of reach", note=claim.out_of_reach)
    if claim.arm not in runs:
        return Judged(claim, "no data", note=f"this ablation has no arm {claim.arm}")
    effect, note = _effect(runs, claim.arm, claim.metric, claim.measure)
    diverged = sum(run is not None and run.failure_reason == "diverged" for run in runs[claim.arm])
    if claim.divergence_confirms and diverged:
        return Judged(claim, "confirmed", effect, note=note)
    if effect is None:
        completed = any(_value(run, claim.metric) is not None for run in runs[claim.arm])
        based = any(_value(run, claim.metric) is not None for run in runs[BASE_ARM])
        return Judged(claim, "inconclusive" if completed and based else "no data", note=note)
    return Judged(claim, verdict_of(claim.region, effect), effect, _fit_of(claim, effect), note)


def verdict_of(region: Region, effect: Effect) -> Verdict:
    """What a measured effect says of a region that is claimed."""
    if region.holds(effect.low, effect.high):
        return "confirmed"
    return "contradicted" if region.excludes(effect.low, effect.high) else "inconclusive"


def _fit_of(claim: Claim, effect: Effect) -> Fit | None:
    if claim.size is None:
        return None
    fits: dict[Verdict, Fit] = {"confirmed": "as stated", "contradicted": "otherwise", "inconclusive": "undecided"}
    return fits[verdict_of(claim.size.fits, effect)]


def _effect(
    runs: Mapping[str, Sequence[TrialRecord | None]], arm: str, metric: str, measure: Literal["ratio", "difference"]
) -> tuple[Effect | None, str]:
    """The effect over the seeds that both have, and what became of the others."""
    pairs = [(_value(base, metric), _value(own, metric)) for base, own in zip(runs[BASE_ARM], runs[arm], strict=True)]
    whole = [(base, own) for base, own in pairs if base is not None and own is not None]
    note = "" if len(whole) == len(pairs) else _missing(runs, arm, len(whole), len(pairs))
    if len(whole) < 2:
        return None, note
    return paired_effect([base for base, _ in whole], [own for _, own in whole], measure), note


def _missing(runs: Mapping[str, Sequence[TrialRecord | None]], arm: str, pairs: int, seeds: int) -> str:
    said = [f"{pairs} of {seeds} seeds"]
    for name in (arm, BASE_ARM):
        states = Counter(
            "not started" if run is None else run.failure_reason or run.state
            for run in runs[name]
            if run is None or run.state != "completed"
        )
        said += [f"{name}: {count} {state}" for state, count in states.items()]
    return "; ".join(said)


def _value(run: TrialRecord | None, metric: str) -> float | None:
    return run.metrics.get(metric) if run is not None and run.state == "completed" else None
