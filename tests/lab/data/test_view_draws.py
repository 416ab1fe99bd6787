"""Draws of views: torchvision's rule by hand, and lightly's distributions."""

import math
from collections import Counter

import pytest
import torch
from lightly.transforms import MoCoV2Transform, SimCLRTransform
from lightly.transforms.gaussian_blur import GaussianBlur
from PIL import Image, ImageFilter
from scipy.stats import chisquare, ks_2samp
from torchvision.transforms import v2

from salmask_plugin.lab.data import ViewRecipe, draw_views, uniforms_of_epoch
from salmask_plugin.lab.data.device.draws import TRIES, WIDTH
from salmask_plugin.lab.data.device.lightly_recipe import recipe_of
from salmask_plugin.lab.data.seeded import seeded_draws

COUNT = 3000
SIZE = (90, 60)
UNLIKELY = 1e-3
"""Seeds are fixed: a right distribution either passes for good or was unlucky once."""


def crop_by_hand(row, width, height, scale, ratio):
    """RandomResizedCrop's rule for one picture, from the numbers of one row."""
    for area, aspect in zip(row[:TRIES], row[TRIES : 2 * TRIES], strict=True):
        pixels = width * height * (scale[0] + (scale[1] - scale[0]) * area)
        logs = math.log(ratio[0]), math.log(ratio[1])
        shape = math.exp(logs[0] + (logs[1] - logs[0]) * aspect)
        w, h = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 0 < w <= width and 0 < h <= height:
            left = int(row[2 * TRIES] * (width - w + 1))
            return left, int(row[2 * TRIES + 1] * (height - h + 1)), w, h
    if width / height < ratio[0]:
        w, h = width, round(width / ratio[0])
    elif width / height > ratio[1]:
        w, h = round(height * ratio[1]), height
    else:
        w, h = width, height
    return (width - w) // 2, (height - h) // 2, w, h


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.9, 1.0)])
def test_crops_follow_torchvisions_rule_picture_by_picture(scale):
    sizes = [(64, 64), (90, 60), (61, 97), (300, 40), (31, 400), (7, 5)] * 40
    uniforms = uniforms_of_epoch(3, 1, len(sizes))[:, 0].double()
    recipe = ViewRecipe(32, scale=scale)
    boxes = draw_views(uniforms, torch.tensor(sizes).double(), recipe).box
    by_hand = [
        crop_by_hand(row, *size, scale, recipe.ratio)
        for row, size in zip(uniforms.tolist(), sizes, strict=True)
    ]
    assert boxes.tolist() == [list(map(float, box)) for box in by_hand]
    if scale[0] == 0.9:  # no such crop of a panorama: the widest one at its centre
        assert boxes[3].tolist() == [(300 - 53) // 2, 0, 53, 40]


@pytest.fixture(scope="module", params=[MoCoV2Transform, SimCLRTransform])
def both(request):
    """Draws of one of lightly's transforms, by its own operations, and ours of its recipe."""
    transform = request.param(input_size=32)
    operations = transform.transforms[0].transform.transforms
    crop = next(o for o in operations if isinstance(o, v2.RandomResizedCrop))
    applied = next(o for o in operations if isinstance(o, v2.RandomApply))
    blur = next(o for o in operations if isinstance(o, GaussianBlur))
    picture = Image.new("RGB", SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        crops = [crop.make_params([picture]) for _ in range(COUNT)]
        jitters = [applied.transforms[0].make_params([picture]) for _ in range(COUNT)]
    sizes = torch.tensor([SIZE]).float().repeat(COUNT, 1)
    ours = draw_views(uniforms_of_epoch(7, 0, COUNT)[:, 1], sizes, recipe_of(transform))
    return crops, jitters, blur, ours


def test_crops_are_distributed_as_lightlys(both):
    crops, _, _, ours = both
    left, top, width, height = ours.box.numpy().T
    for mine, theirs in (
        (width * height, [c["width"] * c["height"] for c in crops]),
        (width / height, [c["width"] / c["height"] for c in crops]),
        (left, [c["left"] for c in crops]),
        (top + height / 2, [c["top"] + c["height"] / 2 for c in crops]),
    ):
        assert ks_2samp(mine, theirs).pvalue > UNLIKELY


def test_colour_factors_are_distributed_as_lightlys(both):
    _, jitters, _, ours = both
    jittered = ours.brightness != 1
    for name in ("brightness", "contrast", "saturation", "hue"):
        theirs = [float(j[f"{name}_factor"]) for j in jitters]
        assert ks_2samp(getattr(ours, name)[jittered].numpy(), theirs).pvalue > UNLIKELY
    assert torch.equal(ours.hue == 0, ~jittered)
    orders = Counter(map(tuple, ours.order.tolist()))
    assert len(orders) == 24
    assert chisquare(list(orders.values())).pvalue > UNLIKELY


def test_chances_are_lightlys(both):
    _, _, _, ours = both
    for happened, chance in (
        (ours.flipped, 0.5),
        (ours.brightness != 1, 0.8),
        (ours.grey, 0.2),
        (ours.sigma > 0, 0.5),
    ):
        deviation = math.sqrt(chance * (1 - chance) / COUNT)
        assert abs(happened.float().mean().item() - chance) < 3.5 * deviation


def test_blur_sigmas_are_distributed_as_lightlys(both, monkeypatch):
    *_, blur, ours = both
    seen = []
    monkeypatch.setattr(ImageFilter, "GaussianBlur", lambda radius: seen.append(radius) or _Keep())
    picture = Image.new("RGB", (2, 2))
    with seeded_draws(3, 0, 0):
        for _ in range(COUNT):
            blur(picture)
    assert ks_2samp(ours.sigma[ours.sigma > 0].numpy(), seen).pvalue > UNLIKELY


class _Keep(ImageFilter.Filter):
    def filter(self, image):
        return image


def test_choices_are_independent_of_one_another(both):
    *_, ours = both
    numbers = torch.stack(
        [
            ours.box[:, 0],
            ours.box[:, 2],
            ours.flipped.float(),
            ours.brightness,
            ours.hue,
            ours.order[:, 0].float(),
            ours.grey.float(),
            ours.sigma,
        ]
    )
    correlations = torch.corrcoef(numbers) - torch.eye(len(numbers))
    correlations[0, 1] = correlations[1, 0] = 0  # a wide crop has less room to its left
    assert correlations.abs().max() < 4.5 / math.sqrt(COUNT)


def test_numbers_depend_on_seed_epoch_and_image_alone():
    numbers = uniforms_of_epoch(1, 2, 40)
    assert numbers.shape == (40, 2, WIDTH)
    assert torch.equal(numbers, uniforms_of_epoch(1, 2, 40))
    assert not torch.equal(numbers[:, 0], numbers[:, 1])
    for other in (uniforms_of_epoch(2, 1, 40), uniforms_of_epoch(1, 3, 40)):
        assert not (numbers == other).any(dim=-1).all()
    with pytest.raises(ValueError, match="epoch=-1"):
        uniforms_of_epoch(0, -1, 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0),
        ("scale", (0.0, 1.0)),
        ("scale", (0.5, 1.5)),
        ("ratio", (2.0, 1.0)),
        ("grey_probability", 1.5),
        ("brightness", (-0.1, 1.0)),
        ("hue", (-0.6, 0.1)),
        ("blur_sigmas", (0.0, 2.0)),
        ("std", (1.0, 0.0, 1.0)),
    ],
)
def test_a_recipe_out_of_range_is_an_error(name, value):
    with pytest.raises(ValueError, match=name):
        ViewRecipe(**{"size": 32, name: value})
