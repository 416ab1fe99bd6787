"""The U-Net written out with torch's own functions, layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.adios import OcclusionModel


def written_out(weights: dict[str, Tensor], images: Tensor, blocks: int) -> Tensor:
    """Nearest halving keeps the first of two pixels; skips are joined after what comes up."""

    def block(path: str, index: int, x: Tensor) -> Tensor:
        name = f"{path}.{index}"
        x = F.conv2d(x, weights[f"{name}.0.weight"], padding=1)
        return F.group_norm(x, 8, weights[f"{name}.1.weight"], weights[f"{name}.1.bias"]).relu()

    def linear(index: int, x: Tensor) -> Tensor:
        return F.linear(
            x, weights[f"bottleneck.{index}.weight"], weights[f"bottleneck.{index}.bias"]
        ).relu()

    skips = []
    x = images
    for index in range(blocks):
        if index:
            x = F.interpolate(x, scale_factor=0.5, mode="nearest")
        x = block("encoder", index, x)
        skips.append(x)
    shape = x.shape
    for index in (0, 2, 4):
        x = linear(index, x.reshape(len(x), -1))
    x = x.reshape(shape)
    for index in range(blocks):
        if index:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = block("decoder", index, torch.cat([x, skips[blocks - 1 - index]], 1))
    x = F.conv2d(x, weights["head.weight"], weights["head.bias"])
    shares = x.exp()
    return shares / shares.sum(1, keepdim=True)


@pytest.mark.parametrize(("size", "blocks"), [((32, 48), 4), ((96, 96), 5)])
def test_the_model_is_the_u_net_written_out(
    size: tuple[int, int], blocks: int, make_images: Callable[..., Tensor]
) -> None:
    torch.manual_seed(3)
    model = OcclusionModel(size, num_masks=3, width=8).double()
    images = make_images(2, *size).double()
    expected = written_out(dict(model.named_parameters()), images, blocks)
    torch.testing.assert_close(model(images), expected)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("column", [0, 1])
def test_halving_keeps_the_even_pixels(row: int, column: int) -> None:
    """With convolutions of one pixel, a block below sees the even rows and columns alone."""
    torch.manual_seed(3)
    model = OcclusionModel(16, num_masks=2, width=8, norm="none")
    seen: list[Tensor] = []
    model.encoder[1].register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        for block in model.encoder:
            block[0].weight[..., [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    images = torch.zeros(1, 3, 16, 16)
    model(images)
    images[..., 4 + row, 6 + column] = 3
    model(images)
    changed = (seen[0] != seen[1]).any(1)[0].nonzero().tolist()
    assert changed == ([[2, 3]] if (row, column) == (0, 0) else [])
