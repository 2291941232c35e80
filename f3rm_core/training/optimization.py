"""One training step: forward, losses, backward, optimizers. Knows no scene and no clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from f3rm_core.encodings.base import GridEncoding
from f3rm_core.errors import Diverged
from f3rm_core.model.f3rm import FeatureFieldModel
from f3rm_core.training.scaling import AccumulatingGradScaler

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig

FINITE_CHECK_STEPS = 10
"""On CUDA, reading the loss stops the pipeline: done this often. On the CPU it is read at every step."""


class Optimization:
    """A model with its optimizers and learning rate schedules.

    Args:
        model: in training mode, on its device.
        config: optimizers, schedules, precision, gradient accumulation.
    """

    def __init__(self, model: FeatureFieldModel, config: F3RMTrainerConfig) -> None:
        self.model = model
        self.config = config
        self.device = model.device
        # Half precision is for CUDA; nerfstudio too turns it off on the CPU.
        self.half = config.mixed_precision and self.device.type == "cuda"
        self.scaler = AccumulatingGradScaler(self.device.type, enabled=self.half)
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.schedules: dict[str, Callable[[int], float]] = {}
        self._kept = _gradient_memory(model) if self.device.type == "cpu" else {}
        for group, parameters in model.get_param_groups().items():
            entry = config.optimizers[group]
            chosen = entry["optimizer"]
            # result.TABLE_OPTIMIZER; why the tables have no rule of their own is in docs/adr/0007.
            self.optimizers[group] = torch.optim.Adam(
                parameters, lr=chosen.lr, eps=chosen.eps, weight_decay=chosen.weight_decay, fused=True
            )
            _reserve_moments(self.optimizers[group])
            if entry["scheduler"] is not None:
                # nerfstudio's schedules are functions of the step: asked at each step, they need no state of their own.
                scheduler = entry["scheduler"].setup().get_scheduler(self.optimizers[group], chosen.lr)
                self.schedules[group] = scheduler.lr_lambdas[0]

    def step(self, number: int, rays: RayBundle, batch: dict[str, Tensor]) -> Tensor:
        """Do a step of all optimizers.

        Args:
            number: of the step, from 0.
            rays: [rays].
            batch: "image" [rays, 3], "feature" [rays, channels].

        Returns:
            The loss, all terms, detached.

        Raises:
            Diverged: the loss is not finite.
        """
        self._anneal(number)
        for group, schedule in self.schedules.items():
            learning_rate = float(self.config.optimizers[group]["optimizer"].lr * schedule(number))
            self.optimizers[group].param_groups[0]["lr"] = learning_rate
        with torch.autocast(self.device.type, enabled=self.half):
            outputs = self.model(rays)
            loss = torch.stack(list(self.model.get_loss_dict(outputs, batch).values())).sum()
        if self.device.type == "cpu" or number % FINITE_CHECK_STEPS == 0:
            self.check_finite(loss, number)
        every = self.config.gradient_accumulation_steps
        for group, optimizer in self.optimizers.items():
            if number % every.get(group, 1) == 0:
                optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self._move_gradients()
        for group, optimizer in self.optimizers.items():
            if number % every.get(group, 1) == every.get(group, 1) - 1:
                self.scaler.step(optimizer)
        self.scaler.update()
        self.model.proposal_sampler.step_cb(number)
        return loss.detach()

    def check_finite(self, loss: Tensor, number: int) -> None:
        """Stop where a loss is not finite.

        Raises:
            Diverged: the loss of step `number` is NaN or infinite.
        """
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(
                f"loss is {value} at step {number}: the training diverged; {self._largest_gradient()}; "
                "lower its lr or the loss weights"
            )

    def check_parameters(self, number: int) -> None:
        """A loss can be finite and the gradient not: look at what step `number` left before it is kept.

        Raises:
            Diverged: parameters are not finite.
        """
        for group, optimizer in self.optimizers.items():
            # The ends are NaN where one number is; isfinite() would make a copy of each table.
            ends = [end for one in optimizer.param_groups[0]["params"] for end in one.detach().aminmax()]
            if not all(math.isfinite(end) for end in ends):
                raise Diverged(
                    f"parameters of {group} are not finite after step {number}: the training diverged; "
                    "lower its lr or the loss weights"
                )

    def state(self, steps: int) -> dict[str, Any]:
        """What a checkpoint holds after so many steps."""
        every = self.config.gradient_accumulation_steps
        return {
            "model": self.model.state_dict(),
            "optimizers": {group: optimizer.state_dict() for group, optimizer in self.optimizers.items()},
            "gradients": {  # those that are still added up
                group: [one.grad for one in optimizer.param_groups[0]["params"]]
                for group, optimizer in self.optimizers.items()
                if steps % every.get(group, 1) != 0
            },
            "scaler": self.scaler.state_dict(),
            "proposals": self.model.proposal_sampler.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of the same configuration."""
        self.model.load_state_dict(state["model"])
        for group, optimizer in self.optimizers.items():
            # Into the memory that is reserved. Learning rates are set at each step, or are the configuration's.
            for number, parameter in enumerate(optimizer.param_groups[0]["params"]):
                for name, moment in state["optimizers"][group]["state"][number].items():
                    optimizer.state[parameter][name].copy_(moment)
        if state["scaler"]:  # empty where nothing was scaled
            self.scaler.load_state_dict(state["scaler"])
        scale = self.scaler.get_scale() / state["scaler"].get("scale", 1.0)
        for group, gradients in state["gradients"].items():
            for parameter, gradient in zip(self.optimizers[group].param_groups[0]["params"], gradients, strict=True):
                parameter.grad = None if gradient is None else gradient.to(self.device) * scale
        self._move_gradients()
        self.model.proposal_sampler.state = state["proposals"]

    def _move_gradients(self) -> None:
        """Out of the memory that the next step's activations are to take: there each would split it for good."""
        for parameter, kept in self._kept.items():
            if parameter.grad is not None and parameter.grad is not kept:
                parameter.grad = kept.copy_(parameter.grad)

    def _largest_gradient(self) -> str:
        """Which group had the largest gradient in the last step that was done: gradients are cleared only after the
        loss was looked at. One that is not finite counts as larger than any that is."""
        sizes = {}
        for group, optimizer in self.optimizers.items():
            gradients = [one.grad for one in optimizer.param_groups[0]["params"] if one.grad is not None]
            norms = [float(gradient.norm()) for gradient in gradients]
            if norms:
                sizes[group] = math.sqrt(sum(norm * norm for norm in norms)) / self.scaler.get_scale()
        if not sizes:
            return "no step was done before it"
        group = max(sizes, key=lambda one: sizes[one] if math.isfinite(sizes[one]) else math.inf)
        return f"the largest gradient before it was of {group} (norm {sizes[group]:.3g})"

    def _anneal(self, number: int) -> None:
        """Sharpen the proposals' weights over the first steps. Source: Barron et al. 2022, eq. 18."""
        config = self.config.pipeline.model
        if not config.use_proposal_weight_anneal:
            return
        slope = config.proposal_weights_anneal_slope
        part = min(number / config.proposal_weights_anneal_max_num_iters, 1.0)
        self.model.proposal_sampler.set_anneal(slope * part / ((slope - 1.0) * part + 1.0))


def _gradient_memory(model: FeatureFieldModel) -> dict[torch.nn.Parameter, Tensor]:
    """A place for the gradient of each parameter but the hash tables, which have their own."""
    tables = {id(module.params) for module in model.modules() if isinstance(module, GridEncoding)}
    return {one: torch.empty_like(one) for one in model.parameters() if id(one) not in tables}


def _reserve_moments(optimizer: torch.optim.Optimizer) -> None:
    """Make Adam's state now, as it would at its first step: made then, it would lie between the memory that comes and
    goes in a step and keep the two from being joined."""
    for parameter in optimizer.param_groups[0]["params"]:
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
