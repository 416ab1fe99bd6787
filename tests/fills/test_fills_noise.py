import pytest
import torch
from torch import Tensor

from salmask_plugin import NoiseFill


def released_noise(images: Tensor, cell: int, generator: torch.Generator) -> Tensor:
    """Released rule (defect B5): one patch is drawn per call and shown in every cell."""
    patch = torch.randn((1, 3, cell, cell), generator=generator)
    return patch.repeat(len(images), 1, images.shape[2] // cell, images.shape[3] // cell)


def distinct_cells(content: Tensor, cell: int) -> int:
    cells = content.unfold(2, cell, cell).unfold(3, cell, cell)[:, 0].reshape(-1, cell * cell)
    return len(cells.unique(dim=0))


def test_noise_is_fresh_in_every_cell_of_every_image(make_images, generator):
    """Defect B5."""
    images = make_images(4, 32, 24)
    assert distinct_cells(released_noise(images, 8, generator), 8) == 1  # the property that fails
    content = NoiseFill()(images, generator)
    assert distinct_cells(content, 8) == 4 * 4 * 3
    assert len(content.unique()) > 0.99 * content.numel()


@pytest.mark.parametrize("std", [0.18, 0.14, 2.0])
def test_mean_and_deviation(generator, std):
    content = NoiseFill(std)(torch.full((8, 3, 90, 70), 5.0), generator)
    assert content.mean().item() == pytest.approx(0, abs=0.01 * std)
    assert content.std().item() == pytest.approx(std, rel=0.01)
    channels = content.transpose(0, 1).flatten(1)
    assert (torch.corrcoef(channels) - torch.eye(3)).abs().max() < 0.02


def test_does_not_depend_on_the_content(make_images):
    images = make_images()
    draws = [NoiseFill()(x, torch.Generator().manual_seed(1)) for x in (images, images * 0)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("std", [-0.1, float("inf"), float("nan")])
def test_std_out_of_range_is_an_error(std):
    with pytest.raises(ValueError, match="std="):
        NoiseFill(std)
