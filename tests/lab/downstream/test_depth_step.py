"""One step of depth training, put together from its parts by hand."""

from __future__ import annotations

import pytest
import torch
from oracles.narrow_resnet import narrow_backbone

from salmask_plugin.lab.downstream.depth import DepthSchedule, Monodepth, depth_loss
from salmask_plugin.lab.downstream.depth.batches import DepthBatch
from salmask_plugin.lab.downstream.depth.module import DepthModule
from salmask_plugin.seeding import step_generator


@torch.no_grad()
def test_networks_see_the_changed_colours_and_the_loss_the_true_ones(
    generator: torch.Generator,
) -> None:
    torch.manual_seed(1)
    model = Monodepth(
        narrow_backbone(),
        height=64,
        width=96,
        min_depth=0.5,
        max_depth=20.0,
        decoder_channels=(8, 8, 8, 8, 8),
        pose_channels=16,
    ).eval()
    module = DepthModule(model, DepthSchedule(), seed=6)
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]
    frames, inputs = torch.randint(0, 256, (2, 1, 3, 3, 64, 96), generator=generator).byte()
    frames //= 3  # darker than what the networks see
    cameras = torch.tensor([[[60.0, 0, 47], [0, 60, 31], [0, 0, 1]]])
    found = module.training_step(DepthBatch(frames, inputs, cameras), 0)

    shown, true = inputs.float() / 255, frames.float() / 255
    parts = [model(shown[:, 1]), true, model.motions(shown), cameras]
    # By the seed, rank 0, and the first step.
    expected = depth_loss(*parts, min_depth=0.5, max_depth=20.0, generator=step_generator(6, 0, 0))  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected.total)
    other = depth_loss(parts[0], shown, *parts[2:], min_depth=0.5, max_depth=20.0)  # type: ignore[arg-type]
    assert float(other.total) != pytest.approx(float(found), rel=1e-3)
