"""Masks of any function: what it is shown, what it may return, and what is said of the rest."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from salmask_plugin import GivenLocalizer, MaskFunctionLocalizer, MeanFill, SaliencyMasking
from salmask_plugin.masking import Masking
from salmask_plugin.masks import GridMask


def bright(images):
    """Masks (B, H, W): where the first channel is above a half."""
    return images[:, 0] > 0.5


def bright_picture(image):
    """What lightly's DetConTransform takes as ``mask_fn``: one image -> a PIL mask."""
    return Image.fromarray((255 * (image[0] > 0.5)).numpy().astype(np.uint8))


def plain(images, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    return images * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]


def test_masks_are_averaged_like_given_ones(make_images):
    images = make_images(height=28, width=21)
    expected = GivenLocalizer()(plain(images)[:, 0] > 0.5)
    assert 0 < expected.mean() < 1
    torch.testing.assert_close(MaskFunctionLocalizer(bright)(images), expected)
    single = MaskFunctionLocalizer(bright_picture, one_by_one=True)(images)
    torch.testing.assert_close(single, 255 * expected)


def test_the_function_sees_values_from_0_to_1_or_the_views(make_images):
    images, seen = make_images(), []

    def keep(shown):
        seen.append(shown)
        return shown.mean(1, keepdim=True)

    MaskFunctionLocalizer(keep)(images)
    torch.testing.assert_close(seen[0], plain(images).clamp(0, 1))
    maps = MaskFunctionLocalizer(keep, grid=(6, 5), mean=None)(images)
    assert seen[1] is images
    torch.testing.assert_close(maps, F.avg_pool2d(images.mean(1, keepdim=True), (7, 7))[:, 0])


def test_it_is_a_localizer_of_the_step(make_images):
    images = make_images(height=28, width=28)
    step = SaliencyMasking(MaskFunctionLocalizer(bright), Masking(GridMask(), MeanFill()))
    masked = step(images, images, torch.Generator().manual_seed(0))
    torch.testing.assert_close(masked.saliency[0], MaskFunctionLocalizer(bright)(images))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: torch.zeros(3, 4, 4), r"masks \(3, 4, 4\), not \(5, H, W\)"),
        (lambda x: torch.zeros(5, 3, 4, 4), r"masks \(5, 3, 4, 4\), not \(5, H, W\)"),
        (lambda x: torch.zeros(5, 4, 4, dtype=torch.int64), "may be labels of segments"),
    ],
    ids=["another batch", "channels", "labels"],
)
def test_what_is_no_mask(returned, message, make_images):
    with pytest.raises(ValueError, match=message):
        MaskFunctionLocalizer(returned)(make_images())


def test_wrong_arguments(make_images):
    with pytest.raises(ValueError, match="must be callable"):
        MaskFunctionLocalizer("bright")
    with pytest.raises(ValueError, match="as long as each other"):
        MaskFunctionLocalizer(bright, mean=(0.5,))
    with pytest.raises(ValueError, match=r"4 channels, mean=.* is of 3; give mean and std"):
        MaskFunctionLocalizer(bright)(make_images(channels=4))


def test_pickles_and_copies(make_images):
    localizer, images = MaskFunctionLocalizer(bright), make_images()
    for twin in (pickle.loads(pickle.dumps(localizer)), copy.deepcopy(localizer)):
        assert twin == localizer
        assert torch.equal(twin(images), localizer(images))
    assert localizer.trained_on.startswith("unknown")
    assert MaskFunctionLocalizer(bright, trained_on="nothing").trained_on == "nothing"


def test_its_repr_is_the_same_in_every_process():
    """A cache is resumed by it, so it holds no address."""

    class Model(torch.nn.Module):
        pass

    for function, name in (
        (bright, "bright, grid=(7, 7)"),
        (partial(plain, std=2), "plain(std=2, ...), grid=(7, 7)"),
        (Model(), "Model, grid=(7, 7)"),
    ):
        said = repr(MaskFunctionLocalizer(function))
        assert name in said
        assert "0x" not in said
