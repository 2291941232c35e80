"""What /pareto, /hypervolume, /importance and /winner answer."""

from __future__ import annotations

from pydantic import BaseModel, Field

from service.sweeps.schemas import Objective, TrialSummary

_SCORES = "Objective -> 0 (worst on the front) to 1 (best on it)."


class FrontPoint(BaseModel):
    """A completed trial among the others."""

    trial: int
    on_front: bool = Field(
        description="Feasible, and no feasible trial is at least as good in all objectives and better in one."
    )
    feasible: bool = Field(description="It keeps the sweep's constraints.")
    metrics: dict[str, float]
    parameters: dict[str, object]


class KneePoint(BaseModel):
    """The point of the front that bulges farthest towards the ideal."""

    trial: int
    distance: float = Field(description="From the plane through the ends of the front, each objective scaled to 0..1.")
    scores: dict[str, float] = Field(description=_SCORES)


class Front(BaseModel):
    """The completed trials of a sweep, those on the front first."""

    sweep_id: str
    objectives: list[Objective]
    constraints: dict[str, float] = Field(description="Metric -> limit.")
    hypervolume: float = Field(description="See /hypervolume.")
    knee: KneePoint | None = Field(
        description="Null where the front has none: no point of it bulges, or fewer than two objectives vary on it."
    )
    points: list[FrontPoint] = Field(description="The front first, best first objective first; then by number.")


class Scale(BaseModel):
    """What counts as nothing and as all of an objective: the same for every sweep."""

    name: str
    unit: str
    reference: float = Field(description="Scores 0; no worse result counts.")
    ideal: float = Field(description="Scores 1.")
    scale: str = Field(description="linear or log: how values in between score.")


class GrowthPoint(BaseModel):
    """Where the sweep stood when a trial had reached a rung or ended."""

    trial: int
    seconds: float = Field(description="Training time of all trials so far, failed and stopped ones too.")
    hypervolume: float
    gained: float = Field(description="Of it by this result.")


class Hypervolume(BaseModel):
    """How much of what can be had a sweep has found, over its cost."""

    sweep_id: str
    hypervolume: float = Field(description="0: nothing beats the reference points; 1: the ideal in every objective.")
    seconds: float
    scales: list[Scale]
    history: list[GrowthPoint] = Field(
        description="An entry for each rung that a trial reached and each trial that failed, as they came."
    )


class Share(BaseModel):
    """One parameter's part in what decided."""

    parameter: str
    share: float = Field(description="Of the importance of all parameters.")
    chance: float = Field(description="What chance alone reaches in 1 of 20 cases.")
    beyond_chance: bool


class Importances(BaseModel):
    """Which parameters decided how good trials were."""

    sweep_id: str
    trials: int = Field(description="Completed trials that it rests on.")
    best: int = Field(description="How many of them are compared with all.")
    note: str = Field(description="What it rests on, or why there is none.")
    importance: dict[str, list[Share]] = Field(
        description="Objective -> parameters, the most important first; `front` is all objectives at once. Empty where "
        "too few trials have completed."
    )


class Spread(BaseModel):
    """A metric of one configuration over its seeds."""

    count: int
    mean: float
    sd: float | None = Field(description="Sample standard deviation; null for one result.")


class Difference(BaseModel):
    """The winner's lead over the next best in one metric."""

    metric: str
    better_by: float = Field(description="Of the means, in the metric's unit; negative where it is worse.")
    low: float = Field(description="End of the 95% interval (Welch's t).")
    high: float
    beyond_noise: bool = Field(description="The interval excludes that the two are equal.")


class Repeats(BaseModel):
    """What other seeds say of a winner."""

    trials: list[int] = Field(description="Trials of its configuration, one for each seed.")
    metrics: dict[str, Spread]
    runner_up_trials: list[int]
    differences: list[Difference] = Field(description="Empty where one of the two ran under a single seed.")


class WinnerAnswer(BaseModel):
    """Which trial wins a scenario, and why."""

    sweep_id: str
    scenario: str
    reason: str = Field(description="Why this one, in words.")
    scores: dict[str, float] = Field(description=_SCORES)
    trial: TrialSummary
    runner_up: int | None = Field(description="The trial that would win without this one.")
    repeats: Repeats | None = Field(description="Null where no configuration ran under more than one seed.")


class Winners(BaseModel):
    """Which trial wins each scenario, and why."""

    sweep_id: str
    winners: list[WinnerAnswer] = Field(description="Of each scenario that has one, as GET /winner gives it.")
    without_winner: dict[str, str] = Field(description="Scenario -> why nobody wins it.")
