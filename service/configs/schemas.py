"""What the resource /configs gives out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class RuleFinding(BaseModel):
    """What one rule found."""

    rule: str = Field(description="Its id; a sweep's `allow` may name it.")
    severity: Literal["error", "warning"]
    share: float = Field(description="Share of the space that breaks it; 1 for a configuration.")
    parameters: dict[str, Any] = Field(description="The values of the first configuration that breaks it.")
    message: str = Field(description="What will happen.")
    remedy: str = Field(description="What to do.")
    allowed: bool = Field(description="Whether the sweep allows it.")


class PredictedPeak(BaseModel):
    """Predicted peak memory, GB (1e9): of a configuration, or the largest of 64 drawn from a space."""

    peak_memory_gb: float
    phase: Literal["training step", "evaluation"] = Field(description="When the peak is reached.")
    device: Literal["cpu", "cuda"]
    backend: str
    measured: bool = Field(description="Whether predictions of this kind were held against measurements.")
    parts_gb: dict[str, float] = Field(description="What memory holds then, the largest first; the sum is the peak.")
    training_step_gb: float
    evaluation_gb: float
    mapped_gb: float = Field(description="Images and feature maps, mapped from disk: not in the peak.")
    limit_gb: float | None = Field(description="The memory asked about.")
    share_over: float = Field(description="Share of the configurations looked at that is over the limit.")


class GpuSharing(BaseModel):
    """How many of a sweep's trials would share one GPU."""

    together: int = Field(description="Trials on one GPU, at most.")
    gpu_memory_gb: float
    reason: str


class CheckAnswer(BaseModel):
    """What the rules say."""

    name: str
    kind: Literal["configuration", "space", "arms"]
    ok: bool = Field(description="Whether a sweep of it would start: no error that is not allowed.")
    samples: int = Field(description="Configurations looked at; those of a space are drawn, the same each time.")
    forbidden: float = Field(description="Share of them that breaks an error which is not allowed.")
    findings: list[RuleFinding] = Field(description="Errors first, then by share.")
    warnings: list[str] = Field(
        description="Of a sweep, beside its parameters: what has no effect, a space with fewer configurations than "
        "trials, and what this machine lacks to run it."
    )
    memory: PredictedPeak | None = Field(description="Null where it can't be predicted: an unknown feature model.")
    sharing: GpuSharing | None = Field(
        description="Null unless a memory was asked about and the document is a sweep without resources.gpus_per_trial."
    )
