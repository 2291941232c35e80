"""Metrics of a trained model on the held-out views."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import torch
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from f3rm_core.evaluation.cost import Stopwatch
from f3rm_core.evaluation.feature import feature_scores
from f3rm_core.evaluation.rgb import psnr, ssim
from f3rm_core.model.f3rm import FeatureFieldModel, Output
from f3rm_core.scenes.datamanager import FeatureDataManager
from f3rm_core.training.allocator import give_back


@dataclass(frozen=True)
class View:
    """One held-out view, for a picture.

    Args:
        truth, render: [height, width, 3] in [0, 1].
        depth: [height, width], scene units.
        extracted, rendered: feature maps, [rows, columns, channels].
    """

    truth: Tensor
    render: Tensor
    depth: Tensor
    extracted: Tensor
    rendered: Tensor


def evaluate(
    model: FeatureFieldModel, data: FeatureDataManager, *, picture_of: int | None = None
) -> tuple[dict[str, float], View | None]:
    """Render every held-out view once and score it.

    Args:
        model: the trained model; its mode (training or not) is restored.
        data: the scene.
        picture_of: index of a held-out view to return for a picture.

    Returns:
        psnr, ssim, feature_cosine, feature_gain, feature_mse and render_seconds, and the view.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            return _evaluate(model, data, picture_of)
    finally:
        model.train(was_training)


def render_image(model: FeatureFieldModel, rays: RayBundle, *wanted: Output) -> dict[str, Tensor]:
    """Render rays of any shape in chunks of `eval_num_rays_per_chunk`: name -> [*shape, channels]."""
    flat, chunk = rays.flatten(), model.config.eval_num_rays_per_chunk
    parts: dict[Output, list[Tensor]] = {name: [] for name in wanted}
    for start in range(0, len(flat), chunk):
        outputs = model.render(model.collider(flat[start : start + chunk]), frozenset(wanted))
        for name in wanted:
            parts[name].append(outputs[name])
        del outputs
        give_back()  # the next chunk's tensors come to lie elsewhere, and pages of both would be held
    return {name: torch.cat(part).view(*rays.shape, -1) for name, part in parts.items()}


def _evaluate(
    model: FeatureFieldModel, data: FeatureDataManager, picture_of: int | None
) -> tuple[dict[str, float], View | None]:
    psnrs, ssims, seconds, rendered, extracted = [], [], [], [], []
    view = None
    for index in range(len(data.eval_dataset)):
        truth = data.eval_image(index)
        wanted: tuple[Output, ...] = ("rgb", "depth") if index == picture_of else ("rgb",)
        watch = Stopwatch(model.device)
        watch.start()
        outputs = render_image(model, data.eval_rays(index), *wanted)
        watch.stop()
        seconds.append(watch.seconds)
        image = outputs["rgb"].clamp(0.0, 1.0)
        psnrs.append(psnr(image, truth))
        ssims.append(ssim(image, truth))
        rays, target = data.eval_features(index)
        features = render_image(model, rays, "feature")["feature"]
        rendered.append(features.flatten(0, 1))
        extracted.append(target.flatten(0, 1))
        if index == picture_of:
            view = View(truth, image, outputs["depth"][..., 0], target, features)
    scores = feature_scores(torch.cat(rendered), torch.cat(extracted))
    metrics = {
        "psnr": fmean(psnrs),
        "ssim": fmean(ssims),
        "feature_cosine": scores.cosine,
        "feature_gain": scores.gain,
        "feature_mse": scores.mse,
        "render_seconds": fmean(seconds),
    }
    return metrics, view
