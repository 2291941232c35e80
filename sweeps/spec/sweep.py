"""SweepSpec, what a user writes, and Plan, what it means once base, scene and metrics are known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.config import JsonDict

from f3rm_core import (
    METRICS,
    PARAMETERS,
    InvalidParameter,
    Metric,
    Scene,
    check_parameters,
    check_scored,
    check_weight_file,
    load_scene,
)
from sweeps.errors import InvalidSpec, Issue
from sweeps.spec.ablation import ALL, MAX_SEEDS, MIN_SEEDS, Ablation, check_ablation, resolve
from sweeps.spec.documents import (
    NAME,
    NOT_EMPTY,
    issues_of,
    lines_named,
    no_such_parameter,
    parse_document,
    read_text,
)
from sweeps.spec.objectives import MAX_OBJECTIVES, check_available, check_constraints, check_objectives, objectives_of
from sweeps.spec.parts import check_parts
from sweeps.spec.presets import overlay, preset_in
from sweeps.spec.rules import RULE_IDS
from sweeps.spec.space import TAGS, Dimension, check_reachable, check_space
from sweeps.spec.warm_start import preset_points

MAX_TRIALS = 100_000
# For OpenAPI: `check_objectives` refuses others in our words.
_ONE_METRIC: JsonDict = {"type": "string", "enum": list(METRICS)}

Sampler = Literal["auto", "model", "tpe", "gp", "nsga2", "random", "qmc"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class WarmStart(_Part):
    """What the search tries first: each preset's values of the space's parameters, then the winners of earlier sweeps
    (by id). They are trained anew, as trials of this sweep."""

    presets: list[str] = Field(default_factory=list, max_length=64)
    sweeps: list[str] = Field(default_factory=list, max_length=16)


class Repeats(_Part):
    """Once the search is over, the `top` configurations are trained again until each has been trained under `seeds`
    seeds: whether a winner leads by more than chance can't be seen in one training. top 0: no repeats."""

    top: int = Field(default=0, ge=0, le=100)
    seeds: int = Field(default=3, ge=2, le=100)


class Search(_Part):
    """How configurations are chosen. `auto` takes what suits the sweep and says which."""

    sampler: Sampler = "auto"
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    warm_start: WarmStart = Field(default_factory=WarmStart)
    repeats: Repeats = Field(default_factory=Repeats)


class Fidelity(_Part):
    """How long trials train. At each rung, in training steps, a trial reports and waits; the best of `eta` go on. The
    last rung is max_num_iterations; no rung: the base's own."""

    rungs: list[int] = Field(default_factory=list, max_length=16)
    eta: int = Field(default=3, ge=2, le=100)


class Converged(_Part):
    """The hypervolume has grown by less than `threshold`, as a part of itself, over the cost of the last `units` full
    trainings."""

    units: float = Field(default=20.0, gt=0)
    threshold: float = Field(default=0.01, gt=0, lt=1)


class Budget(_Part):
    """When a sweep ends: by the first of these that holds. Then no trial is started any more; those that run are
    finished. A trial that trains longer than `trial_hours` fails with reason `timeout`."""

    trials: int = Field(default=20, ge=1, le=MAX_TRIALS)
    hours: float | None = Field(default=None, gt=0)
    gpu_hours: float | None = Field(default=None, gt=0)
    convergence: Converged | None = None
    trial_hours: float | None = Field(default=None, gt=0)


class Resources(_Part):
    """What one trial takes. gpus_per_trial null: none where there is no GPU, else so much of one that its memory bears
    the trials which share it. max_concurrent null: as many as fit. cpus_per_trial is also the number of threads of a
    trial."""

    gpus_per_trial: float | None = Field(default=None, ge=0, le=64)
    cpus_per_trial: int = Field(default=1, ge=1, le=1024)
    max_concurrent: int | None = Field(default=None, ge=1, le=10_000)


class SweepSpec(_Part):
    """A sweep as a user writes it, in YAML or JSON."""

    # `parse_spec` and `read_spec` make one, with errors in the user's words.
    name: str = Field(pattern=NAME)
    scene: str = Field(default="embedded:tabletop", pattern=NOT_EMPTY)
    base: str = Field(default="f3rm_default", pattern=NOT_EMPTY)
    parameters: dict[str, Any] = Field(default_factory=dict, description="Fixed values over the base.")
    kind: Literal["search", "ablation"] = Field(
        default="search", description="search: a sampler proposes trials; ablation: each arm is trained as it stands."
    )
    space: dict[str, Dimension] = Field(default_factory=dict, description="What a search varies.")
    arms: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What an ablation compares with its base: name -> values over the base's."
    )
    claims: list[str] = Field(
        default_factory=list, description="Claims of the guide whose arms an ablation trains, by id; or `all`."
    )
    seeds: int = Field(default=3, ge=MIN_SEEDS, le=MAX_SEEDS, description="Trials of each arm of an ablation.")
    objectives: list[str] = Field(
        default_factory=lambda: ["psnr", "feature_cosine"],
        description="One to four metrics; each knows its direction.",
        json_schema_extra={"items": _ONE_METRIC, "minItems": 1, "maxItems": MAX_OBJECTIVES},
    )
    constraints: dict[str, float] = Field(
        default_factory=dict,
        description="Limits of metrics: at most, or at least where more of it is better.",
        json_schema_extra={"propertyNames": _ONE_METRIC},
    )
    search: Search = Field(default_factory=Search)
    fidelity: Fidelity = Field(default_factory=Fidelity)
    budget: Budget = Field(default_factory=Budget)
    resources: Resources = Field(default_factory=Resources)
    allow: list[str] = Field(
        default_factory=list,
        description="Rules whose errors don't refuse the sweep, by id: see POST /configs/check.",
        json_schema_extra={"items": {"type": "string", "enum": list(RULE_IDS)}},
    )

    @field_validator("claims", mode="before")
    @classmethod
    def _all_claims(cls, value: Any) -> Any:
        return [value] if value == ALL else value

    @model_validator(mode="after")
    def _check(self) -> SweepSpec:
        issues = [
            *_check_fixed(self),
            *check_ablation(self),
            *(
                []
                if self.space or self.kind == "ablation"
                else [Issue("space", {}, "give at least one parameter to vary")]
            ),
            *check_space(self.space, self.parameters),
            *check_objectives(self.objectives),
            *check_constraints(self.constraints),
            *check_parts(self),
        ]
        if issues:
            raise InvalidSpec(issues)
        return self

    @property
    def trials_planned(self) -> int:
        """Trials, repeats included."""
        repeats = self.search.repeats
        return self.budget.trials + min(repeats.top, self.budget.trials) * (repeats.seeds - 1)


@dataclass(frozen=True)
class Resolved:
    """What a sweep's presets say when it is created. It is kept with the sweep: their files may change, or go, before
    the last of its trials has started.

    Args:
        fixed: every parameter's value where the space does not vary it.
        first: points of the space that the presets of the warm start stand for.
    """

    fixed: Mapping[str, Any]
    first: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Plan:
    """A checked sweep: what its trials have in common.

    Args:
        spec: what the user wrote.
        fixed: every parameter's value where the space does not vary it.
        objectives: the metrics optimised, with their directions.
        scene: the scene that all trials train on.
        first: points of the space that are tried first.
    """

    spec: SweepSpec
    fixed: Mapping[str, Any]
    objectives: tuple[Metric, ...]
    scene: Scene
    first: tuple[Mapping[str, Any], ...] = ()

    @property
    def resolved(self) -> Resolved:
        """What its presets say: to be stored with the sweep."""
        return Resolved(self.fixed, self.first)

    @property
    def budget_steps(self) -> int:
        """Training steps of a full trial."""
        return int(self.fixed["max_num_iterations"])

    @property
    def rungs(self) -> tuple[int, ...]:
        """Training steps at which trials report; the last is a full trial."""
        return tuple(self.spec.fidelity.rungs) or (self.budget_steps,)

    @cached_property
    def ablation(self) -> Ablation | None:
        """The trials, where they are listed and not proposed."""
        return Ablation.of(self.spec)

    @cached_property
    def space(self) -> Mapping[str, Dimension]:
        """What trials vary: a search's space, or the values of an ablation's arms."""
        return self.spec.space if self.ablation is None else self.ablation.space(self.fixed)

    @property
    def repeated(self) -> int:
        """Configurations that may be trained again under other seeds."""
        return self.spec.search.repeats.top if self.ablation is None else len(self.ablation.arms)

    def configuration(self, sampled: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Every parameter of one trial, its seed included.

        Args:
            sampled: the values of the space's active dimensions, or of an ablation's arm.
            number: the trial's number, from which its seed is derived unless `parameters` fixes one.
        """
        configuration = overlay(self.fixed, sampled)
        if "seed" not in self.spec.parameters:
            index = number if self.ablation is None else self.ablation.seed_index(number)
            configuration["seed"] = trial_seed(self.spec.search.seed, index)
        return configuration


def trial_seed(search_seed: int, number: int) -> int:
    """Training seed of a trial: a pure function of the sweep's seed and the trial's number, in [0, 2^31)."""
    digest = hashlib.sha256(f"{search_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def read_spec(path: str | Path) -> SweepSpec:
    """Read a sweep from a YAML or JSON file.

    Raises:
        InvalidSpec: names each field at fault.
    """
    text = read_text(Path(path), where=str(path))
    with lines_named(text, where=str(path)):
        return parse_spec(text, where=str(path))


def parse_spec(document: Mapping[str, Any] | str, *, where: str = "") -> SweepSpec:
    """A sweep from a mapping (a request's body) or from YAML or JSON text.

    Raises:
        InvalidSpec: names each field at fault.
    """
    if isinstance(document, str):
        document = parse_document(document, where=where)
    try:
        return SweepSpec.model_validate(dict(document))
    except ValidationError as error:
        issues = issues_of(error, SweepSpec, tags=TAGS)
        raise InvalidSpec([*issues, *_faults_beside(document, issues)], where=where) from None
    except InvalidSpec as error:
        raise InvalidSpec(error.issues, where=where) from None


def check_spec(spec: SweepSpec, *, scene_root: Path | None = None, resolved: Resolved | None = None) -> Plan:
    """Check a sweep against its base preset and its scene, and return what its trials have in common.

    Args:
        spec: a sweep that is well formed. The plan's own has an ablation's arms spelled out: store that one.
        scene_root: folder that relative scene paths start from.
        resolved: what its presets said when the sweep was created; None: they are read.

    Raises:
        InvalidSpec: names the field at fault.
        SceneError: the scene is missing or broken, or leaves no view to score.
    """
    try:
        fixed = check_parameters(_fixed(spec) if resolved is None else resolved.fixed)
    except InvalidParameter as error:
        raise InvalidSpec([Issue(f"parameters.{error.name}", error.value, error.remedy)]) from None
    issues = [*_check_weight_file(spec, fixed), *check_reachable(spec.space, fixed)]
    if spec.kind == "ablation":
        spec, unresolved = resolve(spec, fixed)
        issues += unresolved
    scene = load_scene(spec.scene, scene_root=scene_root)
    check_scored(scene, fixed["train_split_fraction"], fixed["camera_res_scale_factor"])
    for field, names in (("objectives", spec.objectives), ("constraints", spec.constraints)):
        issues += check_available(names, scene.metrics, spec.scene, field=field)
    first: Sequence[Mapping[str, Any]] = () if resolved is None else resolved.first
    if resolved is None:
        first, wrong = preset_points(spec.search.warm_start.presets, spec.space, fixed)
        issues += wrong
    if issues:
        raise InvalidSpec(issues)
    return Plan(spec, fixed, objectives_of(spec.objectives), scene, tuple(first))


def _fixed(spec: SweepSpec) -> dict[str, Any]:
    """The base's parameters under those that the spec fixes."""
    base = preset_in("base", spec.base)
    steps = {"max_num_iterations": spec.fidelity.rungs[-1]} if spec.fidelity.rungs else {}
    # A trial's threads are its CPUs: part of what fixes the bits, so part of the configuration.
    threads = {"threads": spec.resources.cpus_per_trial} if "threads" not in spec.parameters else {}
    return overlay(base.resolved, {**spec.parameters, **steps, **threads})


def _check_fixed(spec: SweepSpec) -> list[Issue]:
    issues = []
    for name, value in spec.parameters.items():
        field = f"parameters.{name}"
        if name not in PARAMETERS:
            issues.append(Issue(field, value, no_such_parameter(name)))
            continue
        try:
            PARAMETERS[name].check(value)
        except InvalidParameter as error:
            issues.append(Issue(field, value, error.remedy))
    return issues


def _faults_beside(document: Mapping[str, Any], unread: Sequence[Issue]) -> list[Issue]:
    """What is wrong with the rest of a document of which some fields can't be read, so that it is told with them."""
    places = [issue.field.split(".") for issue in unread]
    parts = {place[0] for place in places if place[0] != "space" or len(place) == 1}
    if not parts.isdisjoint(("kind", "arms", "claims")):  # what the rest means depends on them
        return []
    dimensions = {place[1] for place in places if place[0] == "space" and len(place) > 1}
    rest = {"name": "unnamed"} | {name: value for name, value in document.items() if name not in parts}
    if dimensions:
        rest["space"] = {name: value for name, value in rest["space"].items() if name not in dimensions}
    try:
        SweepSpec.model_validate(rest)
    except ValidationError:  # a key with a dot in it, which is still there
        return []
    except InvalidSpec as error:
        told = {*parts, *({"space"} if dimensions else ())}
        return [issue for issue in error.issues if issue.field not in told]
    return []


def _check_weight_file(spec: SweepSpec, fixed: Mapping[str, Any]) -> list[Issue]:
    try:
        check_weight_file(fixed)
    except InvalidParameter as error:
        if spec.parameters.keys() & {"feature_type", "clip_model", "clip_pretrained", "dino_model", "dino_pretrained"}:
            return [Issue(f"parameters.{error.name}", error.value, error.remedy)]
        return [Issue("base", spec.base, str(error))]
    return []
