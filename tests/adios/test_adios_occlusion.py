"""The occlusion model: sizes, sums, and errors in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from salmask_plugin.adios import OcclusionModel, soft_masks
from salmask_plugin.adios.occlusion import block_count


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("width", "millions"), [(8, 0.24), (16, 0.51), (32, 1.17)])
def test_parameters_at_224_are_those_of_the_released_model(width: int, millions: float) -> None:
    assert round(count(OcclusionModel(224, width=width)) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("size", "down", "up"),
    [
        (32, [1, 2, 2, 2], [2, 2, 1, 1]),
        (64, [1, 1, 2, 2, 2], [2, 2, 1, 1, 1]),
        (96, [1, 1, 2, 2, 2], [2, 2, 1, 1, 1]),
        (224, [1, 1, 1, 2, 2, 2], [2, 2, 1, 1, 1, 1]),
    ],
)
def test_widths_are_those_of_the_released_model(size: int, down: list[int], up: list[int]) -> None:
    model = OcclusionModel(size, width=8)
    widths = [[int(block[0].out_channels) // 8 for block in path]  # type: ignore[index]
              for path in (model.encoder, model.decoder)]  # fmt: skip
    assert widths == [down, up]
    inputs = [int(block[0].in_channels) // 8 for block in model.decoder]  # type: ignore[index]
    assert inputs == [below + skip for below, skip in zip([2, *up[:-1]], down[::-1], strict=True)]


@pytest.mark.parametrize("size", [16, 31, 32, 33, 63, 64, 96, 127, 128, 224, 255, 256, 511, 512])
def test_depth_follows_the_logarithm_of_the_size(size: int) -> None:
    expected = int(math.log2(size) - 1)
    if size % 2 ** (expected - 1):
        with pytest.raises(ValueError, match=rf"divisible by {2 ** (expected - 1)}"):
            block_count((size, size))
    else:
        assert block_count((size, size)) == expected


@pytest.mark.parametrize("norm", ["group", "instance", "none"])
@pytest.mark.parametrize("size", [16, 32, (48, 64), 96])
def test_masks_sum_to_one_in_every_pixel(
    size: int | tuple[int, int], norm: Any, make_images: Callable[..., Tensor]
) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    masks = OcclusionModel(size, num_masks=5, width=8, norm=norm)(make_images(2, height, width))
    assert masks.shape == (2, 5, height, width)
    assert (masks >= 0).all()
    torch.testing.assert_close(masks.sum(1), torch.ones(2, height, width))


def test_the_model_sees_where_things_are(make_images: Callable[..., Tensor]) -> None:
    # A decoder that mixed up its rows or skips would move content: change one corner of the image
    # and the masks change most there. The bottleneck is switched off, for it is global.
    torch.manual_seed(0)
    model = OcclusionModel((32, 64), num_masks=3, width=8, norm="none")
    for parameter in model.bottleneck.parameters():
        nn.init.zeros_(parameter)
    images = make_images(1, 32, 64)
    changed = images.clone()
    changed[..., 20:24, 8:16] += 5
    difference = (model(images) - model(changed)).abs().sum((0, 1))
    row, column = divmod(int(difference.argmax()), 64)
    assert 16 <= row < 28
    assert 4 <= column < 20


def test_every_parameter_learns(make_images: Callable[..., Tensor]) -> None:
    model = OcclusionModel(32, num_masks=3, width=8)
    weights = torch.rand(4, 3, 32, 32)
    (model(make_images(4, 32, 32)) * weights).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_masks_are_float32_and_sum_to_one_under_bf16(make_images: Callable[..., Tensor]) -> None:
    model = OcclusionModel(32, num_masks=6, width=8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        masks = model(make_images(3, 32, 32))
    assert masks.dtype == torch.float32
    torch.testing.assert_close(masks.sum(1), torch.ones(3, 32, 32))


def test_soft_masks_are_the_models_and_leave_its_mode(make_images: Callable[..., Tensor]) -> None:
    model = OcclusionModel(32, num_masks=3, width=8)
    model.encoder[0].eval()  # a part that its owner has frozen
    images = make_images(2, 32, 32)
    masks = soft_masks(model, images)
    assert model.training
    assert not model.encoder[0].training
    assert model.encoder[1].training
    assert not masks.requires_grad
    torch.testing.assert_close(masks, model(images).detach())
    assert masks.numpy().shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_masks": 1}, "num_masks=1 must be at least 2"),
        ({"width": 12}, "width=12 .* multiple of 8"),
        ({"width": 0, "norm": "none"}, "width=0 must be at least 1"),
        ({"norm": "batch"}, "norm='batch' must be one of"),
        ({"image_size": 8}, "at least 16 px"),
        ({"image_size": 225}, "divisible by 32.*224, 224"),
        ({"image_size": (64, 72)}, "divisible by 16"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OcclusionModel(**({"image_size": 32} | options))


def test_images_of_another_size_are_refused(make_images: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"must be \(B, 3, 32, 64\)"):
        OcclusionModel((32, 64), width=8)(make_images(2, 64, 32))
