"""What GET /sweeps/{id}/claims gives out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class MeasuredEffect(BaseModel):
    """An arm against the base, over seeds."""

    value: float = Field(description="Mean of the differences, or geometric mean of the ratios.")
    low: float = Field(description="Lower end of the 95% interval.")
    high: float
    base: float = Field(description="Mean of the metric in the base.")
    arm: float
    pairs: int = Field(description="Seeds that both completed.")


class JudgedClaim(BaseModel):
    """A claim of the guide with what was measured."""

    id: str
    says: str = Field(description="What the guide says, in other words.")
    arm: str | None
    metric: str | None
    measure: Literal["ratio", "difference"] | None = Field(description="arm over base, or arm minus base")
    claimed: list[float | None] | None = Field(description="Effects that count as what it says; null: no end.")
    stated: float | None = Field(description="The size that it states, if it does.")
    stated_fits: list[float] | None = Field(description="Effects that are taken for this size.")
    out_of_reach: str | None = Field(description="Why no sweep measures it, if none does.")
    effect: MeasuredEffect | None
    verdict: Literal["confirmed", "contradicted", "inconclusive", "no data", "out of reach"]
    fit: Literal["as stated", "otherwise", "undecided"] | None = Field(
        description="Whether the size is the stated one."
    )
    note: str = Field(description="Failures, seeds that are missing, or why it is out of reach.")


class OwnArm(BaseModel):
    """What an arm that no claim asks about does to an objective: arm minus base."""

    arm: str
    metric: str
    effect: MeasuredEffect


class Claims(BaseModel):
    """What an ablation says of the guide."""

    sweep_id: str
    state: str
    counts: dict[str, int] = Field(description="Verdict -> claims.")
    arms: dict[str, dict[str, Any]] = Field(description="Arm -> its values over the base's.")
    claims: list[JudgedClaim] = Field(description="In the guide's order.")
    others: list[OwnArm]
    not_asked: list[str] = Field(description="Claims that this ablation does not ask about.")
