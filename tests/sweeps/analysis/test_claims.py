"""Verdicts, worked out by hand: what confirms a claim, what contradicts it, and what is missing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sweeps.analysis.claims import Judged, claims_report, judge, verdict_of
from sweeps.analysis.claims_plot import plot_claims
from sweeps.analysis.effects import Effect
from sweeps.errors import NoResults, NotAnAblation
from sweeps.settings import Settings
from sweeps.spec.claims import Claim, Region, Size
from sweeps.store.records import TrialRecord
from sweeps.store.repository import Repository
from tests.played import play, play_ablation


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    return Repository.open(f"sqlite:///{tmp_path / 'f3rm.db'}")


def run(**metrics: float) -> TrialRecord:
    return _trial("completed", metrics)


def failed(reason: str) -> TrialRecord:
    return _trial("failed", {}, reason)


def _trial(state: str, metrics: dict[str, float], reason: str | None = None) -> TrialRecord:
    absent = dict.fromkeys(TrialRecord.__dataclass_fields__)
    return TrialRecord(**{**absent, "state": state, "metrics": metrics, "failure_reason": reason})


SHARPER = Claim("sharper", "is sharper", "fine", "psnr", region=Region(low=0.25))
BREAKS = Claim("breaks", "breaks", "fine", "psnr", region=Region(high=-1.0), divergence_confirms=True)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.25, 1.0, "confirmed"),
        (0.24, 1.0, "inconclusive"),
        (-1.0, 0.25, "inconclusive"),
        (-1.0, 0.24, "contradicted"),
        (-math.inf, math.inf, "inconclusive"),
    ],
)
def test_the_interval_against_the_region(low: float, high: float, verdict: str) -> None:
    assert verdict_of(SHARPER.region, Effect(0.0, low, high, 20.0, 20.0, 3)) == verdict


def psnr_of(claim: Claim, base: list[float], arm: list[float]) -> Judged:
    runs = {"base": [run(psnr=value) for value in base], "fine": [run(psnr=value) for value in arm]}
    return judge(claim, runs)


def test_seeds_that_agree_confirm_or_contradict() -> None:
    assert psnr_of(SHARPER, [20.0, 22.0, 21.0], [20.5, 22.5, 21.5]).verdict == "confirmed"
    assert psnr_of(SHARPER, [20.0, 22.0, 21.0], [20.0, 22.0, 21.0]).verdict == "contradicted"
    assert psnr_of(SHARPER, [20.0, 22.0, 21.0], [19.0, 21.0, 20.0]).verdict == "contradicted"


def test_seeds_that_disagree_are_inconclusive() -> None:
    # Differences 0, 1, 2: 1 -+ 4.303 / sqrt(3).
    judged = psnr_of(SHARPER, [20.0, 20.0, 20.0], [20.0, 21.0, 22.0])
    assert judged.verdict == "inconclusive"
    assert judged.effect is not None
    assert judged.effect.low == pytest.approx(1 - 2.4843, abs=1e-3)


@pytest.mark.parametrize(
    ("factors", "verdict", "fit"),
    [
        ((2.0, 2.0), "confirmed", "as stated"),
        ((1.3, 1.3), "confirmed", "otherwise"),
        ((1.98, 2.02), "confirmed", "undecided"),  # two seeds: 2 times or over exp(12.706 x 0.01) = 1.14
        ((1.0, 1.0), "contradicted", "otherwise"),
    ],
)
def test_a_stated_size_is_judged_beside_the_direction(factors: tuple[float, float], verdict: str, fit: str) -> None:
    base = [run(train_seconds=10.0), run(train_seconds=30.0)]
    fine = [run(train_seconds=10.0 * factors[0]), run(train_seconds=30.0 * factors[1])]
    tight = Claim("twice", "x", "fine", "train_seconds", "ratio", Region(low=1.05), Size(2.0, Region(1.8, 2.2)))
    judged = judge(tight, {"base": base, "fine": fine})
    assert (judged.verdict, judged.fit) == (verdict, fit)


def test_a_size_is_not_asked_of_a_claim_without_one() -> None:
    assert psnr_of(SHARPER, [20.0, 22.0], [20.5, 22.5]).fit is None


def test_trials_that_failed_or_are_missing_are_said() -> None:
    base = [run(psnr=20.0), run(psnr=21.0), run(psnr=22.0), None]
    fine = [run(psnr=21.0), failed("oom"), run(psnr=23.0), None]
    judged = judge(SHARPER, {"base": base, "fine": fine})
    assert judged.verdict == "confirmed"  # over the two seeds that both have
    assert judged.effect is not None
    assert judged.effect.pairs == 2
    assert judged.note == "2 of 4 seeds; fine: 1 oom; fine: 1 not started; base: 1 not started"


def test_too_little_to_compare() -> None:
    one = judge(SHARPER, {"base": [run(psnr=20.0), None], "fine": [run(psnr=21.0), None]})
    assert (one.verdict, one.effect) == ("inconclusive", None)
    none = judge(SHARPER, {"base": [run(psnr=20.0)] * 2, "fine": [failed("crashed")] * 2})
    assert (none.verdict, none.note) == ("no data", "0 of 2 seeds; fine: 2 crashed")
    absent = judge(SHARPER, {"base": [run(psnr=20.0)] * 2})
    assert (absent.verdict, absent.note) == ("no data", "this ablation has no arm fine")
    other = judge(SHARPER, {"base": [run(ssim=0.5)] * 2, "fine": [run(ssim=0.5)] * 2})
    assert other.verdict == "no data"  # the metric was not measured


def test_a_divergence_is_what_a_claim_of_instability_says() -> None:
    base = [run(psnr=20.0), run(psnr=21.0), run(psnr=20.0)]
    mixed = {"base": base, "fine": [run(psnr=20.0), failed("diverged"), run(psnr=20.0)]}
    assert judge(BREAKS, mixed).verdict == "confirmed"
    assert "1 diverged" in judge(BREAKS, mixed).note
    assert judge(SHARPER, mixed).verdict == "contradicted"
    assert judge(BREAKS, {"base": base, "fine": base}).verdict == "contradicted"
    assert judge(BREAKS, {"base": base, "fine": [failed("oom")] * 3}).verdict == "no data"


def test_out_of_reach_has_its_reason() -> None:
    judged = judge(Claim("gpu", "is faster", out_of_reach="needs a CUDA device"), {})
    assert (judged.verdict, judged.note) == ("out of reach", "needs a CUDA device")


def test_a_whole_ablation_from_the_store(store: Repository) -> None:
    sweep = play_ablation(store)
    report = claims_report(sweep, store.all_trials(sweep.id))
    verdicts = {judged.claim.id: judged.verdict for judged in report.judged}
    assert verdicts == {
        "max-res-high-sharp": "contradicted",
        "weight-low-features": "contradicted",
        "samples-few-fast": "confirmed",
        "mixed-precision": "out of reach",
        "unstable-colours": "confirmed",  # it diverged once
    }
    fast = next(judged for judged in report.judged if judged.claim.id == "samples-few-fast")
    assert fast.effect is not None
    assert fast.effect.value == pytest.approx(2 / 3)
    assert fast.fit == "as stated"
    assert report.counts["contradicted"] == 2
    own = {(other.arm, other.metric): other.effect.value for other in report.others}
    assert own == {("wide-colours", "psnr"): pytest.approx(0.5), ("wide-colours", "feature_cosine"): 0.0}
    assert "quick-fast" in report.not_asked
    assert list(report.arms) == ["base", "wide-colours", "samples-few", "max-res-high", "weight-low", "unstable"]


def test_an_ablation_that_goes_on_says_what_it_has(store: Repository) -> None:
    sweep = play_ablation(store, trials=7)
    report = claims_report(sweep, store.all_trials(sweep.id))
    fast = next(judged for judged in report.judged if judged.claim.id == "samples-few-fast")
    assert (fast.verdict, fast.note) == (
        "inconclusive",
        "1 of 3 seeds; samples-few: 2 not started; base: 1 not started",
    )


def test_a_search_has_no_arms(store: Repository, tmp_path: Path) -> None:
    settings = Settings(store_url="sqlite://", data_dir=tmp_path, cache_dir=tmp_path)
    sweep = play(store, settings)
    with pytest.raises(NotAnAblation, match="kind: ablation"):
        claims_report(sweep, store.all_trials(sweep.id))


def test_the_picture(store: Repository, tmp_path: Path) -> None:
    sweep = play_ablation(store)
    report = claims_report(sweep, store.all_trials(sweep.id))
    plot_claims(tmp_path / "claims.svg", report)
    drawn = (tmp_path / "claims.svg").read_text()
    for text in ("samples-few-fast", "max-res-high-sharp", "confirmed, size as stated", "contradicted"):
        assert f"<!-- {text} -->" in drawn
    assert "mixed-precision" not in drawn


def test_nothing_to_draw_yet(store: Repository, tmp_path: Path) -> None:
    sweep = play_ablation(store, trials=2)
    with pytest.raises(NoResults, match="two seeds"):
        plot_claims(tmp_path / "claims.png", claims_report(sweep, store.all_trials(sweep.id)))
    assert not (tmp_path / "claims.png").exists()
