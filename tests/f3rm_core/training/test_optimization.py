"""One training step: Adam by the book, and what is said when it diverges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox

from f3rm_core import Diverged, build_config
from f3rm_core.training.optimization import Optimization

CHANNELS, RAYS = 6, 32


@pytest.fixture
def optimization(tiny_parameters: dict[str, Any]) -> Optimization:
    return build(tiny_parameters)


def build(parameters: dict[str, Any]) -> Optimization:
    torch.manual_seed(0)
    config = build_config(parameters)
    box = SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
    model = config.pipeline.model.setup(
        scene_box=box, num_train_data=4, metadata={"feature_dim": CHANNELS}, grad_scaler=None
    )
    model.train()
    return Optimization(model, config)


def step(optimization: Optimization, number: int) -> float:
    rays = RayBundle(
        origins=torch.randn(RAYS, 3) * 0.3,
        directions=torch.nn.functional.normalize(torch.randn(RAYS, 3), dim=-1),
        pixel_area=torch.ones(RAYS, 1),
        camera_indices=torch.randint(0, 4, (RAYS, 1)),
        nears=torch.full((RAYS, 1), 0.05),
        fars=torch.full((RAYS, 1), 10.0),
    )
    batch = {"image": torch.rand(RAYS, 3), "feature": torch.randn(RAYS, CHANNELS)}
    return float(optimization.step(number, rays, batch))


def test_tables_are_optimized_by_adam_over_all_rows(optimization: Optimization) -> None:
    """Kingma and Ba 2015, algorithm 1, in float64; the step count is that of the training, for every row alike."""
    table = optimization.model.feature_field.grid.params
    expected = table.detach().double()
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    without_gradient = torch.zeros_like(table, dtype=torch.bool)
    for number in range(4):
        before = table.detach().clone()
        step(optimization, number)
        assert table.grad is not None
        gradient = table.grad.double()
        rate = 1e-2 * optimization.schedules["feature_field"](number)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased_first, unbiased_second = first / (1 - 0.9 ** (number + 1)), second / (1 - 0.999 ** (number + 1))
        expected = expected - rate * unbiased_first / (unbiased_second.sqrt() + 1e-15)
        without_gradient |= (gradient == 0) & (table.detach() != before)
    torch.testing.assert_close(table.detach().double(), expected, rtol=1e-4, atol=1e-7)
    assert without_gradient.any()  # rows that no ray touched in a step move on, by their momentum


def test_divergence_names_the_step_and_the_group_of_the_largest_gradient(optimization: Optimization) -> None:
    step(optimization, 0)
    for parameter in optimization.model.proposal_networks.parameters():
        assert parameter.grad is not None
        parameter.grad.fill_(100.0)
    with pytest.raises(Diverged, match=r"loss is nan at step 1: .*largest gradient before it was of proposal_networks"):
        optimization.check_finite(torch.tensor(torch.nan), 1)


def test_a_gradient_that_is_not_finite_is_the_largest(optimization: Optimization) -> None:
    step(optimization, 0)
    for parameter in optimization.model.proposal_networks.parameters():
        assert parameter.grad is not None
        parameter.grad.fill_(1e6)
    head = optimization.model.feature_field.head.weights[0]
    assert head.grad is not None
    head.grad[0, 0] = torch.nan
    with pytest.raises(Diverged, match=r"of feature_field \(norm nan\)"):
        optimization.check_finite(torch.tensor(torch.inf), 1)


def test_a_loss_that_is_not_finite_changes_no_parameter(optimization: Optimization) -> None:
    with torch.no_grad():
        optimization.model.feature_field.head.weights[0].fill_(torch.inf)
    before = optimization.model.field.grid.params.detach().clone()
    with pytest.raises(Diverged, match=r"at step 0: .*no step was done before it"):
        step(optimization, 0)
    assert torch.equal(optimization.model.field.grid.params, before)


def test_the_first_step_moves_by_the_learning_rate(tiny_parameters: dict[str, Any]) -> None:
    optimization = build({**tiny_parameters, "lr_feature_field": 0.25})
    head = optimization.model.feature_field.head.weights[0]
    before = head.detach().clone()
    step(optimization, 0)
    # Adam's first step is the rate times the gradient's sign.
    torch.testing.assert_close((head - before).abs(), torch.full_like(head, 0.25), rtol=1e-3, atol=0)


def test_scaled_gradients_that_are_added_up_train_as_those_that_are_not_scaled(tiny_parameters: dict[str, Any]) -> None:
    """A scale is a power of two, so it changes no bits; it may change only where an optimizer has stepped."""
    plain, scaled = (build({**tiny_parameters, "gradient_accumulation_steps": 2}) for _ in range(2))
    scaled.scaler = type(scaled.scaler)("cpu", enabled=True)  # as on CUDA in half precision
    for number in range(5):
        for optimization in (plain, scaled):
            torch.manual_seed(number)
            step(optimization, number)
    assert scaled.scaler.state_dict()["_growth_tracker"] == 2
    for one, other in zip(plain.model.parameters(), scaled.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def addresses(optimization: Optimization) -> dict[str, list[int]]:
    """Where moments and gradients lie. No reference to a gradient outlives the call: it would keep its memory."""
    states = [one.state[parameter] for one in optimization.optimizers.values() for parameter in one.state]
    return {
        "moments": [state[name].data_ptr() for state in states for name in ("exp_avg", "exp_avg_sq")],
        "gradients": [one.grad.data_ptr() for one in optimization.model.parameters() if one.grad is not None],
    }


def test_what_stays_keeps_its_place_from_step_to_step(optimization: Optimization) -> None:
    """Moments are there before the first step, and gradients lie outside of the memory of a step's activations."""
    before = addresses(optimization)
    found = []
    for number in range(3):
        step(optimization, number)
        found.append(addresses(optimization))
    assert found[0]["moments"] == before["moments"]
    assert len(before["moments"]) == 2 * len(found[0]["gradients"])
    assert found[0] == found[1] == found[2]


def test_a_state_is_taken_over_into_the_memory_that_is_there(tiny_parameters: dict[str, Any]) -> None:
    trained, fresh = build(tiny_parameters), build(tiny_parameters)
    step(trained, 0)
    before = addresses(fresh)["moments"]
    fresh.restore(trained.state(1))
    assert addresses(fresh)["moments"] == before
    for group, optimizer in trained.optimizers.items():
        mine = fresh.optimizers[group].state_dict()["state"]
        for number, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                assert torch.equal(mine[number][name], value), (group, number, name)


@pytest.mark.parametrize("spoilt", [torch.nan, torch.inf, -torch.inf])
def test_a_parameter_that_is_not_finite_is_found_wherever_it_is(optimization: Optimization, spoilt: float) -> None:
    optimization.check_parameters(3)
    with torch.no_grad():
        optimization.model.feature_field.grid.params[777] = spoilt
    with pytest.raises(Diverged, match=r"parameters of feature_field are not finite after step 3"):
        optimization.check_parameters(3)


@pytest.mark.parametrize(("scaled_before", "scaled_after"), [(False, True), (True, False), (True, True)])
def test_gradients_that_wait_for_their_step_go_on_where_scaling_is_on_or_off(
    tiny_parameters: dict[str, Any], scaled_before: bool, scaled_after: bool
) -> None:
    """A sweep may move from a machine without a GPU, where nothing is scaled, to one with it, and back."""
    unbroken, before, after = (build({**tiny_parameters, "gradient_accumulation_steps": 2}) for _ in range(3))
    before.scaler = type(before.scaler)("cpu", init_scale=2.0**10, enabled=scaled_before)
    after.scaler = type(after.scaler)("cpu", enabled=scaled_after)
    for number in range(4):
        if number == 3:
            after.restore(before.state(number))
        for optimization in (unbroken, before if number < 3 else after):
            torch.manual_seed(number)
            step(optimization, number)
    for one, other in zip(unbroken.model.parameters(), after.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_a_state_holds_gradients_only_while_they_wait(tiny_parameters: dict[str, Any]) -> None:
    optimization = build({**tiny_parameters, "gradient_accumulation_steps": 2})
    step(optimization, 0)
    assert optimization.state(1)["gradients"].keys() == optimization.optimizers.keys()
    step(optimization, 1)
    assert optimization.state(2)["gradients"] == {}
