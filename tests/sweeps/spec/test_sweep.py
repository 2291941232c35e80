"""Reading and checking sweeps: what a good one means, and what is said of a bad one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from f3rm_core import SceneError
from sweeps.errors import InvalidSpec
from sweeps.spec.sweep import SweepSpec, check_spec, parse_spec, read_spec, trial_seed
from tests.conftest import write_room

GOOD = """
name: tabletop-tradeoff
scene: embedded:tabletop
base: f3rm_default
parameters: {feat_use_pe: true}
space:
  feat_loss_weight: {type: float, low: 1e-5, high: 1.0e-1, log: true}
  max_res: {type: categorical, choices: [512, 1024, 2048, 4096]}
  log2_hashmap_size: {type: int, low: 17, high: 21}
  feat_pe_n_freq: {type: int, low: 2, high: 8, when: {feat_use_pe: true}}
objectives: [psnr, feature_cosine]
search: {sampler: tpe, seed: 3}
fidelity: {rungs: [30000]}
budget: {trials: 64, hours: 12}
resources: {gpus_per_trial: 1, cpus_per_trial: 4, max_concurrent: 4}
"""


def document(**parts: Any) -> dict[str, Any]:
    """A small good sweep with parts replaced; None takes a part away."""
    whole = {"name": "s", "space": {"max_res": {"type": "int", "low": 512, "high": 4096}}, **parts}
    return {key: value for key, value in whole.items() if value is not None}


def test_a_sweep_reads_the_same_from_yaml_and_json(tmp_path: Path) -> None:
    spec = parse_spec(GOOD)
    assert spec.space["feat_loss_weight"].low == 1e-5  # YAML 1.1 would read 1e-5 as a text
    (tmp_path / "a.json").write_text(json.dumps(spec.model_dump(mode="json")))
    assert read_spec(tmp_path / "a.json") == spec
    assert SweepSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_defaults() -> None:
    spec = parse_spec(document())
    assert (spec.scene, spec.base, spec.objectives) == ("embedded:tabletop", "f3rm_default", ["psnr", "feature_cosine"])
    assert (spec.search.sampler, spec.budget.trials, spec.resources.cpus_per_trial) == ("auto", 20, 1)


def _float(**parts: Any) -> dict[str, Any]:
    return {"space": {"lr": {"type": "float", "low": 0.001, "high": 0.1, **parts}}}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"nmae": "x"}, "nmae", "did you mean name"),
    ({"name": None}, "name", "is required"),
    ({"name": "a b/c"}, "name", "give letters, digits"),
    ({"scene": "a\0b"}, "scene", "no NUL"),
    ({"base": "a\0b.yaml"}, "base", "no NUL"),
    ({"space": None}, "space", "at least one"),
    ({"space": {}}, "space", "at least one"),
    ({"space": {"max_ress": {"type": "int", "low": 1, "high": 2}}}, "space.max_ress", "did you mean max_res"),
    ({"space": {"max_res": {"low": 1, "high": 2}}}, "space.max_res.type", "is required"),
    ({"space": {"max_res": {"type": "integer", "low": 1, "high": 2}}}, "space.max_res.type", "must be one of"),
    ({"space": {"max_res": {"type": "float", "low": 64, "high": 128}}}, "space.max_res.type", "use int"),
    ({"space": {"max_res": {"type": "int", "low": 64, "high": 128, "lgo": True}}}, "space.max_res.lgo", "unknown key"),
    ({"space": {"max_res": {"type": "int", "low": 128, "high": 64}}}, "space.max_res.low", "below high (64)"),
    ({"space": {"max_res": {"type": "int", "low": 64, "high": 1e9}}}, "space.max_res.high", "integer"),
    ({"space": {"max_res": {"type": "int", "low": 0, "high": 64}}}, "space.max_res.low", "at least 1"),
    (
        {"space": {"max_res": {"type": "int", "low": 1, "high": 11, "step": 3}}},
        "space.max_res.high",
        "multiple of step",
    ),
    ({"space": {"max_res": {"type": "categorical", "choices": []}}}, "space.max_res.choices", "give 1 to"),
    (
        {"space": {"max_res": {"type": "categorical", "choices": [64, "x"]}}},
        "space.max_res.choices.1",
        "give an integer",
    ),
    ({"space": {"max_res": {"type": "categorical", "choices": [64, 64]}}}, "space.max_res.choices.1", "twice"),
    ({"space": {"feat_use_pe": {"type": "int", "low": 0, "high": 1}}}, "space.feat_use_pe.type", "categorical"),
    (_float(low=0.0, log=True), "space.lr.low", "above 0"),
    (_float(log=True, step=0.01), "space.lr.step", "log"),
    (_float(step=1.0), "space.lr.step", "at most high - low"),
    (_float(low=float("nan")), "space.lr.low", "finite"),
    (_float(low="0.1"), "space.lr.low", "number"),
    (_float(when={"feat_use_pee": True}), "space.lr.when.feat_use_pee", "did you mean feat_use_pe"),
    (_float(when={"feat_use_pe": "yes"}), "space.lr.when.feat_use_pe", "true or false"),
    ({"space": {"seed": {"type": "int", "low": 0, "high": 9}}}, "space.seed", "can't be swept"),
    ({"space": {"max_num_iterations": {"type": "int", "low": 1, "high": 9}}}, "space.max_num_iterations", "rungs"),
    ({"parameters": {"max_res": 64}}, "parameters.max_res", "also in space"),
    ({"parameters": {"lr": "fast"}}, "parameters.lr", "give a number"),
    ({"parameters": {"lrr": 1.0}}, "parameters.lrr", "did you mean lr"),
    ({"objectives": []}, "objectives", "give 1 to 4"),
    ({"objectives": ["psnr", "psrn"]}, "objectives.1", "did you mean psnr"),
    ({"objectives": ["psnr", "psnr"]}, "objectives.1", "twice"),
    ({"objectives": "psnr"}, "objectives", "list"),
    ({"constraints": {"peak_memory": 8.0}}, "constraints.peak_memory", "did you mean peak_memory_gb"),
    ({"constraints": {"peak_memory_gb": 0.0}}, "constraints.peak_memory_gb", "above 0"),
    ({"constraints": {"ssim": 1.5}}, "constraints.ssim", "nothing can be as much; give a limit of at most 1"),
    ({"constraints": {"psnr": 1e308}}, "constraints.psnr", "nothing can be as much; give a limit of at most 100"),
    ({"resources": {"gpus_per_trial": 1.5}}, "resources.gpus_per_trial", "give at most 1, or a whole number"),
    ({"search": {"sampler": "gpp"}}, "search.sampler", "'gp'"),
    ({"search": {"warm_start": {"presets": 1}}}, "search.warm_start.presets", "list"),
    ({"search": {"sede": 1}}, "search.sede", "did you mean seed"),
    ({"trials": 5}, "trials", "unknown key; did you mean budget.trials?"),
    ({"budget": {"rungs": [5]}}, "budget.rungs", "unknown key; did you mean fidelity.rungs?"),
    ({"search": {"constraints": {}}}, "search.constraints", "unknown key; it belongs at the top"),
    ({"name": "a b"}, "name", "give letters, digits and . _ - (the first a letter or a digit), at most 64"),
    ({"scene": ""}, "scene", "give a text that is not empty and has no NUL"),
    ({"space": {"learning_rate": {"type": "int", "low": 1, "high": 2}}}, "space.learning_rate", "`f3rm-sweeps params`"),
    (
        {"space": {"camera_opt_mode": {"type": "categorical", "choices": [False, "SO3xR3"]}}},
        "space.camera_opt_mode.choices.0",
        "give one of off, SO3xR3, SE3 (YAML reads on, off, yes and no as true or false: write it in quotes)",
    ),
    ({"fidelity": {"rungs": [10, 10**20]}}, "fidelity.rungs.1", "must be at most 1e+07"),
    ({"fidelity": {"rungs": [100, 100]}}, "fidelity.rungs.1", "not above the rung before it (100)"),
    ({"fidelity": {"rungs": [300, 100]}}, "fidelity.rungs.1", "not above the rung before it (300)"),
    ({"fidelity": {"rungs": [0]}}, "fidelity.rungs.0", "at least 1"),
    (
        {"fidelity": {"rungs": [10]}, "parameters": {"max_num_iterations": 20}},
        "parameters.max_num_iterations",
        "differs from the last",
    ),
    ({"budget": {"trials": 0}}, "budget.trials", "greater than or equal to 1"),
    ({"budget": {"trials": "9"}}, "budget.trials", "must be an integer"),
    ({"budget": {"hours": -1}}, "budget.hours", "greater than 0"),
    ({"resources": {"cpus_per_trial": 0}}, "resources.cpus_per_trial", "greater than or equal to 1"),
    ({"resources": 3}, "resources", "mapping"),
    ({"allow": ["no-such-rule"]}, "allow.0", "no such rule"),
    ({"allow": ["foo"]}, "allow.0", "`f3rm-sweeps check` names those that a sweep breaks, docs/rules.md all"),
    ({"allow": ["memory-24g"]}, "allow.0", "did you mean memory-24gb?"),
    ({"allow": "unstable-rates"}, "allow", "list"),
    (
        {
            "space": {"feature_type": {"type": "categorical", "choices": ["CLIP"]}},
            "objectives": ["psnr", "feature_cosine"],
        },
        "space.feature_type",
        "can't be swept: metrics of different feature models can't be compared",
    ),
    (
        {"space": {"orientation_loss_mult": {"type": "float", "low": 0.0, "high": 1.0}}},
        "space.orientation_loss_mult",
        "no normals",
    ),
    ({"space": {"steps_per_save": {"type": "int", "low": 1, "high": 9}}}, "space.steps_per_save", "changes no result"),
    (_float(when={"lr": 0.01}), "space.lr.when", "circle: lr"),
    (_float(when={"feat_max_res": []}), "space.lr.when.feat_max_res", "at least one value"),
]


@pytest.mark.parametrize(("parts", "field", "words"), BAD, ids=[f"{index}-{bad[1]}" for index, bad in enumerate(BAD)])
def test_the_field_at_fault_is_named(parts: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(document(**parts))
    assert field in [issue.field for issue in caught.value.issues]
    found = next(issue for issue in caught.value.issues if issue.field == field)
    assert words in found.remedy
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(document(parameters={"lrr": 1}, objectives=["nope"], fidelity={"rungs": [2, 1]}), where="spec.yaml")
    assert {issue.field for issue in caught.value.issues} == {"parameters.lrr", "objectives.0", "fidelity.rungs.1"}
    assert str(caught.value).startswith("spec.yaml: ")


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        (
            {
                "space": {"lr": {"type": "float", "low": 1.0, "high": 0.0}, "max_res": {"type": "int", "low": "x"}},
                "objectives": ["foo"],
                "budget": {"trials": -1},
            },
            {
                "budget.trials",
                "space.max_res.low",
                "space.max_res.high",
                "space.lr.low",
                "space.lr.high",
                "objectives.0",
            },
        ),
        ({"space": {"a.b": 3}, "objectives": ["foo"]}, {"space.a.b"}),  # which key is at fault is not known
        ({"nmae": 1, "objectives": ["foo"]}, {"nmae", "objectives.0"}),
        ({"name": None, "allow": ["foo"]}, {"name", "allow.0"}),
        ({"space": {"lr": {"type": "float"}}}, {"space.lr.low", "space.lr.high"}),
        ({"space": 3, "parameters": {"lrr": 1}}, {"space", "parameters.lrr"}),
        ({"kind": "x", "arms": {"a": {}}}, {"kind"}),  # what the arms are is not known
        ({"kind": "ablation", "space": {}, "claims": 3, "constraints": {"psnr": "x"}}, {"claims", "constraints.psnr"}),
    ],
)
def test_a_field_that_cant_be_read_hides_no_other_fault(parts: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(document(**parts))
    found = [issue.field for issue in caught.value.issues]
    assert set(found) == fields
    assert len(found) == len(fields)


def test_conditions_in_a_circle_are_refused() -> None:
    space = {
        "feat_use_pe": {"type": "categorical", "choices": [True, False], "when": {"feat_pe_n_freq": 2}},
        "feat_pe_n_freq": {"type": "int", "low": 2, "high": 4, "when": {"feat_use_pe": True}},
    }
    with pytest.raises(InvalidSpec, match="circle: feat_use_pe, feat_pe_n_freq"):
        parse_spec(document(space=space))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "line 1"),
        ("name: a\nname: b\n", "'name' is given twice"),
        ("- a\n- b\n", "found list"),
        ("", "found nothing"),
        ("1: a\n", "keys must be text"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSpec, match=r"spec\.yaml") as caught:
        read_spec(path)
    assert words in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="no such file"):
        read_spec(tmp_path / "none.yaml")
    with pytest.raises(InvalidSpec, match="can't be read"):
        read_spec(tmp_path)


class TestPlan:
    def test_values_come_from_base_parameters_and_rung(self, tiny_scene: Path) -> None:
        plan = check_spec(
            parse_spec(
                document(
                    scene=str(tiny_scene),
                    parameters={"lr": 0.005},
                    fidelity={"rungs": [70]},
                    resources={"cpus_per_trial": 2},
                )
            )
        )
        assert plan.budget_steps == 70
        configuration = plan.configuration({"max_res": 600}, 4)
        assert (configuration["max_res"], configuration["lr"], configuration["threads"]) == (600, 0.005, 2)
        assert configuration["max_num_iterations"] == 70
        assert configuration["num_levels"] == 16  # f3rm_default's
        assert configuration["seed"] == trial_seed(0, 4)
        assert [objective.direction for objective in plan.objectives] == ["maximize", "maximize"]

    def test_a_fixed_seed_is_every_trials_seed(self, tiny_scene: Path) -> None:
        plan = check_spec(parse_spec(document(scene=str(tiny_scene), parameters={"seed": 5})))
        assert plan.configuration({}, 0)["seed"] == plan.configuration({}, 1)["seed"] == 5

    def test_seeds_differ_between_trials_and_sweeps(self) -> None:
        seeds = {trial_seed(seed, number) for seed in range(20) for number in range(50)}
        assert len(seeds) == 1000
        assert all(0 <= seed < 2**31 for seed in seeds)

    def test_an_objective_that_the_scene_can_not_give_is_refused(self, tiny_scene: Path) -> None:
        with pytest.raises(InvalidSpec, match=r"objectives\.1='lpips'.*can't give it"):
            check_spec(parse_spec(document(scene=str(tiny_scene), objectives=["psnr", "lpips"])))

    def test_a_condition_that_never_holds_is_refused(self, tiny_scene: Path) -> None:
        space = {"feat_pe_n_freq": {"type": "int", "low": 2, "high": 8, "when": {"feat_use_pe": False}}}
        with pytest.raises(InvalidSpec, match=r"space\.feat_pe_n_freq\.when\.feat_use_pe.*never holds.*is True"):
            check_spec(parse_spec(document(scene=str(tiny_scene), space=space)))

    def test_a_base_that_is_none_is_refused(self, tiny_scene: Path) -> None:
        with pytest.raises(InvalidSpec, match=r"base='f3rm_defualt'.*did you mean f3rm_default"):
            check_spec(parse_spec(document(scene=str(tiny_scene), base="f3rm_defualt")))
        with pytest.raises(InvalidSpec, match=r"base='~nobody-of-this-name/mine\.yaml': no such file"):
            check_spec(parse_spec(document(scene=str(tiny_scene), base="~nobody-of-this-name/mine.yaml")))

    def test_fixed_values_that_do_not_go_together_are_refused(self, tiny_scene: Path) -> None:
        with pytest.raises(InvalidSpec, match=r"parameters\.feat_max_res=8: must be at least feat_start_res"):
            check_spec(parse_spec(document(scene=str(tiny_scene), parameters={"feat_max_res": 8})))

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"clip_pretrained": "/no/such/weights.pt"}, "'/no/such/weights.pt': no such file"),
            ({"clip_model": "tabletop-mini"}, "'openai': tabletop-mini has no weights of this name"),
            ({"clip_pretrained": "embedded"}, "'embedded': only clip_model='tabletop-mini' has embedded weights"),
        ],
    )
    def test_a_missing_weight_file_is_refused(self, tiny_scene: Path, parameters: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidSpec, match=words) as caught:
            check_spec(parse_spec(document(scene=str(tiny_scene), parameters=parameters)))
        assert caught.value.field == "parameters.clip_pretrained"

    def test_a_bases_missing_weight_file_is_the_bases_fault(self, tiny_scene: Path, tmp_path: Path) -> None:
        base = tmp_path / "mine.yaml"
        base.write_text("name: mine\nbase: f3rm_default\nparameters: {clip_pretrained: /no/such/weights.pt}\n")
        with pytest.raises(InvalidSpec, match=r"clip_pretrained='/no/such/weights.pt': no such") as caught:
            check_spec(parse_spec(document(scene=str(tiny_scene), base=str(base))))
        assert caught.value.field == "base"
        check_spec(
            parse_spec(document(scene=str(tiny_scene), base=str(base), parameters={"clip_pretrained": "openai"}))
        )

    def test_a_weight_file_that_is_there_and_any_tag_are_taken(self, tiny_scene: Path, tmp_path: Path) -> None:
        (tmp_path / "weights.pt").touch()
        for pretrained in (str(tmp_path / "weights.pt"), "laion2b_s32b_b82k", "a-tag-to-come"):
            spec = parse_spec(document(scene=str(tiny_scene), parameters={"clip_pretrained": pretrained}))
            assert check_spec(spec).fixed["clip_pretrained"] == pretrained

    def test_what_the_presets_said_at_first_holds(self, tiny_scene: Path, tmp_path: Path) -> None:
        base, start = tmp_path / "mine.yaml", tmp_path / "start.yaml"
        base.write_text("name: mine\nbase: f3rm_default\nparameters: {num_levels: 8}\n")
        start.write_text("name: start\nbase: f3rm_default\nparameters: {feat_loss_weight: 0.5}\n")
        spec = parse_spec(
            document(
                scene=str(tiny_scene),
                base=str(base),
                space={"feat_loss_weight": {"type": "float", "low": 0.1, "high": 1.0}},
                search={"warm_start": {"presets": [str(start)]}},
                fidelity={"rungs": [90]},
            )
        )
        plan = check_spec(spec)
        base.write_text("name: mine\nbase: f3rm_default\nparameters: {num_levels: 4}\n")
        start.unlink()
        again = check_spec(spec, resolved=plan.resolved)
        assert (again.fixed, again.first) == (plan.fixed, plan.first)
        assert (again.fixed["num_levels"], again.budget_steps) == (8, 90)
        assert again.first == ({"feat_loss_weight": 0.5},)

    def test_a_missing_scene_is_refused(self) -> None:
        with pytest.raises(SceneError, match="nowhere"):
            check_spec(parse_spec(document(scene="nowhere")))

    def test_a_scene_of_which_nothing_would_be_held_out_is_refused(self, tmp_path: Path) -> None:
        few = str(write_room(tmp_path / "few", views=5, held_out=0))
        with pytest.raises(SceneError, match=r"5 views, of which train_split_fraction=0\.9 holds out none"):
            check_spec(parse_spec(document(scene=few)))
        check_spec(parse_spec(document(scene=few, parameters={"train_split_fraction": 0.8})))


def test_reading_and_checking_a_sweep_needs_no_heavy_library() -> None:
    code = (
        "import sys, sweeps.store.repository, sweeps.settings\n"
        "from sweeps.spec.sweep import check_spec, parse_spec\n"
        f"check_spec(parse_spec({document()!r}))\n"
        "heavy = ('torch', 'open_clip', 'ray', 'optuna', 'nerfstudio', 'alembic', 'fastapi')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


@pytest.mark.parametrize("part", [{"constraints": {"ssim": 1.0, "psnr": 45.0}}, {"resources": {"gpus_per_trial": 2.0}}])
def test_limits_that_can_be_reached_and_whole_gpus_are_taken(part: dict[str, Any]) -> None:
    written = parse_spec(document(**part)).model_dump(exclude_unset=True)
    assert {name: written[name] for name in part} == part
