"""One of several fills per image."""

from dataclasses import dataclass

import pytest
import torch

from salmask_plugin import (
    FillMixture,
    GridMask,
    Masking,
    MeanFill,
    NoiseFill,
    OtherImageFill,
    SaliencyMasking,
    UniformLocalizer,
    UnseenFill,
)


@dataclass(frozen=True)
class Constant:
    """Shows one value, so that each kind can be told apart."""

    value: float

    def __call__(self, images, generator=None):
        return torch.full((len(images), 1, 1, 1), self.value, dtype=images.dtype)


def test_kinds_are_chosen_with_their_weights(generator):
    mixture = FillMixture([Constant(0), Constant(1), Constant(2)], [0.20, 0.24, 0.56])
    shown = mixture(torch.zeros(20000, 3, 2, 1), generator).flatten()
    shares = [(shown == value).float().mean().item() for value in range(3)]
    assert shares == pytest.approx([0.20, 0.24, 0.56], abs=0.012)


def test_weight_zero_is_never_chosen_and_one_always(generator):
    mixture = FillMixture([Constant(0), Constant(1)], [0, 1])
    assert (mixture(torch.zeros(500, 3, 2, 2), generator) == 1).all()


def test_an_image_shows_one_kind_whole_and_is_untouched_elsewhere(make_images, make_saliency):
    images, maps = make_images(24), make_saliency(24)
    mixture = FillMixture((MeanFill(), OtherImageFill()), (0.5, 0.5))
    masking = Masking(GridMask((0.3, 0.3)), mixture)
    shown, mask = masking(images, maps, torch.Generator().manual_seed(1))
    kinds = []
    for image in range(24):
        hidden = mask[image, 0]
        content = shown[image][:, hidden]
        mean = images[image].mean((1, 2))[:, None].expand_as(content)
        others = [torch.equal(content, images[other][:, hidden]) for other in range(24)]
        kinds.append("mean" if torch.allclose(content, mean) else others.index(True))
        assert kinds[-1] != image
        assert torch.equal(shown[image][:, ~hidden], images[image][:, ~hidden])
    assert 4 < kinds.count("mean") < 20
    assert len({kind for kind in kinds if kind != "mean"}) == 24 - kinds.count("mean")


def test_it_says_whether_images_are_shown_in_anothers_place():
    assert not FillMixture([MeanFill(), NoiseFill()], [0.5, 0.5]).across_images
    mixture = FillMixture([MeanFill(), OtherImageFill()], [0.5, 0.5])
    assert mixture.across_images
    with pytest.raises(ValueError, match="num_negatives=2"):
        SaliencyMasking(
            UniformLocalizer((7, 7)), negative=Masking(GridMask(), mixture), num_negatives=2
        )


@pytest.mark.parametrize(
    ("fills", "weights", "words"),
    [
        ([], [], "one entry per fill"),
        ([MeanFill()], [0.5, 0.5], "one entry per fill; there are 1 fills"),
        ([MeanFill(), NoiseFill()], [0.5, 0.6], "sum to 1"),
        ([MeanFill(), NoiseFill()], [1.5, -0.5], "each at least 0"),
        (MeanFill(), [1.0], "fills=.* must be a list"),
        ([MeanFill(), GridMask()], [0.5, 0.5], r"fills\[1\]=GridMask"),
        ([MeanFill(), UnseenFill()], [0.5, 0.5], r"fills\[1\]=UnseenFill shows nothing"),
    ],
)
def test_what_cannot_be_is_refused(fills, weights, words):
    with pytest.raises(ValueError, match=words):
        FillMixture(fills, weights)
