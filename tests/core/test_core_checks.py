"""Settings are taken or refused by name, whatever kind of number or thing they are."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from salmask_plugin import (
    BlurFill,
    GivenLocalizer,
    GridMask,
    HighPassFilter,
    InfoNCELoss,
    Masking,
    MaskMixture,
    MeanFill,
    MomentumLocalizer,
    NegativeEncoding,
    NoiseFill,
    SaliencyMasking,
    SCDALocalizer,
    UniformLocalizer,
    foreground,
    info_nce,
)
from salmask_plugin.adios import OcclusionModel
from salmask_plugin.checks import (
    check_choice,
    check_flag,
    height_and_width,
    low_and_high,
    number,
    numbers,
    whole_number,
    whole_numbers,
)
from salmask_plugin.crops import GuidedCrops
from salmask_plugin.fills import FillMixture, TileFill
from salmask_plugin.localizers import (
    BandsLocalizer,
    CenterLocalizer,
    MaskFunctionLocalizer,
    PermutedLocalizer,
)
from salmask_plugin.localizers.frozen import FrozenNetwork
from salmask_plugin.losses import NegativeQueue
from salmask_plugin.masking import Branch, foreground_tolerance
from salmask_plugin.masks import BlockMask, FocalMask, TopMask
from salmask_plugin.mixtures import kinds_of
from salmask_plugin.types import MaskSampler
from salmask_plugin.warm_up import SaliencyWarmUp

NOT_NUMBERS = ("1", None, [1], True, torch.ones(1), 1j)


@pytest.mark.parametrize("value", [*NOT_NUMBERS, math.nan, math.inf, -math.inf, 10**400])
def test_a_number_is_finite_and_nothing_else(value):
    with pytest.raises(ValueError, match=r"^size=.* must be .*finite"):
        number(value, "size")


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "words"),
    [
        ({"above": 0}, (1e-9, 7), (0, -1), "above 0 and finite"),
        ({"at_least": 0, "at_most": 1}, (0, 1, 0.5), (-1e-9, 1.1), "at least 0 and at most 1"),
        ({"above": 0, "below": 1}, (0.5,), (0, 1), "above 0 and below 1"),
        ({}, (-3, 0, 1e30), (), "finite"),
    ],
)
def test_a_number_lies_in_its_range(bounds, inside, outside, words):
    for value in inside:
        assert number(value, "size", **bounds) == value
        found = number(np.float32(value), "size", **bounds)
        assert type(found) is float
    for value in outside:
        with pytest.raises(ValueError, match=f"^size={value} must be {words}\\.$"):
            number(value, "size", **bounds)
    with pytest.raises(ValueError, match=f"^size='a' must be a number, {words}\\.$"):
        number("a", "size", **bounds)


@pytest.mark.parametrize("value", [*NOT_NUMBERS, 2.0, 2.5, np.float64(2), math.nan])
def test_a_whole_number_is_no_other(value):
    with pytest.raises(ValueError, match=r"^every=.* must be a whole number, at least 1\.$"):
        whole_number(value, "every")


def test_whole_numbers_become_pythons():
    assert type(whole_number(np.int64(3), "every")) is int
    assert whole_number(0, "every", at_least=0) == 0
    with pytest.raises(ValueError, match="every=0 must be at least 1"):
        whole_number(np.int64(0), "every")
    assert whole_numbers(np.array([2, 3]), "bands") == (2, 3)
    for wrong in ((), (1.0,), "12", 3, (1, 0)):
        with pytest.raises(ValueError, match=r"bands=.* list of whole numbers, each at least 1"):
            whole_numbers(wrong, "bands")


def test_lists_of_numbers():
    assert numbers([1, np.float32(0.5)], "std", above=0) == (1.0, 0.5)
    for wrong in ((), 0.5, "0.5", (0.5, 0), (math.nan,), {"a": 1}):
        with pytest.raises(ValueError, match=r"std=.* list of numbers, each above 0 and finite"):
            numbers(wrong, "std", above=0)


def test_low_and_high():
    assert low_and_high([0, np.float64(0.5)], "ratio", at_least=0, at_most=1) == (0.0, 0.5)
    for wrong in ((0.5,), (0.5, 0.4), (0, 1.5), (math.nan, 1), ("a", "b"), None, (0, 1, 1)):
        with pytest.raises(ValueError, match=r"ratio=.* \(low, high\), two numbers with low <= hi"):
            low_and_high(wrong, "ratio", at_least=0, at_most=1)
    with pytest.raises(ValueError, match=r"Always 0.3 is ratio=\(0.3, 0.3\)"):
        low_and_high(0.3, "ratio")


def test_height_and_width():
    assert height_and_width([np.int64(7), 5], "grid") == (7, 5)
    assert all(type(side) is int for side in height_and_width([np.int64(7), 5], "grid"))
    for wrong in (7, (7.0, 7.0), (7,), (7, 7, 7), (0, 7), "77", None, (True, 7)):
        with pytest.raises(ValueError, match=r"grid=.* must be \(height, width\)"):
            height_and_width(wrong, "grid")


def test_words_and_flags():
    check_flag(True, "inside")
    check_choice("key", "branch", Branch)
    for wrong in ("all", None, ["key"], torch.ones(2)):
        with pytest.raises(ValueError, match=r"branch=.* must be one of .*query"):
            check_choice(wrong, "branch", Branch)
    for wrong in ("no", 2, None, "True"):
        with pytest.raises(ValueError, match=r"inside=.* must be True or False"):
            check_flag(wrong, "inside")


NETWORK = FrozenNetwork(nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: UniformLocalizer(7), "grid=7 "),
        (lambda: GivenLocalizer((7.0, 7.0)), "grid="),
        (lambda: CenterLocalizer(size="half"), "size='half'"),
        (lambda: BandsLocalizer(UniformLocalizer(), bands=3), "bands=3 "),
        (lambda: BandsLocalizer(UniformLocalizer(), bands=(0.0, 1.0)), "bands="),
        (lambda: BandsLocalizer(UniformLocalizer), "localizer=UniformLocalizer is a class"),
        (lambda: PermutedLocalizer(GridMask()), "localizer=GridMask"),
        (lambda: MaskFunctionLocalizer(lambda images: images, mean=0.5), "mean=0.5 "),
        (lambda: FrozenNetwork(nn.Conv2d(3, 4, 3), mean=0.5), "mean=0.5 "),
        (lambda: FrozenNetwork("resnet"), "network='resnet' "),
        (lambda: MomentumLocalizer("x", "layer4"), "encoder='x' "),
        (lambda: SCDALocalizer(NETWORK, input_size=32.5), "input_size=32.5 "),
        (lambda: SCDALocalizer(NETWORK, input_size="32"), "input_size='32' "),
        (lambda: SCDALocalizer(NETWORK, input_size=(32, 32, 32)), "input_size="),
        (lambda: TileFill(0.3), r"Always 0.3 is size"),
        (lambda: NoiseFill("0.1"), "std='0.1' "),
        (lambda: BlurFill(31.0), "kernel_size=31.0 "),
        (lambda: BlurFill(5.5), "kernel_size=5.5 "),
        (lambda: BlurFill(31, None), "sigma=None "),
        (lambda: HighPassFilter("11"), "kernel_size='11' "),
        (lambda: BlockMask(blocks=2.0), "blocks=2.0 "),
        (lambda: FocalMask(size=[0.5]), "size="),
        (lambda: TopMask(ratio="ab"), "ratio='ab' "),
        (lambda: GridMask(tolerance="0.6"), "tolerance='0.6' "),
        (lambda: MaskMixture((GridMask(), TopMask()), (math.nan, 1.0)), "weights="),
        (lambda: FillMixture((MeanFill(), NoiseFill()), ("a", 1.0)), "weights="),
        (lambda: NegativeEncoding(side="half"), "side='half' "),
        (lambda: NegativeQueue(8.0, 4), "size=8.0 "),
        (lambda: NegativeQueue(8, 4, generator=0), "generator=0 "),
        (lambda: NegativeQueue(8, 4).enqueue([1]), "keys are a list"),
        (lambda: InfoNCELoss(temperature="0.2"), "temperature='0.2' "),
        (lambda: InfoNCELoss(rho=None), "rho=None "),
        (lambda: SaliencyWarmUp(uniform="0.1"), "uniform='0.1' "),
        (lambda: SaliencyWarmUp(ramp=0.95), "ramp=0.95 must be at least 0 and at most 0.9"),
        (lambda: SaliencyMasking(UniformLocalizer(), num_negatives=1.5), "num_negatives=1.5 "),
        (lambda: SaliencyMasking(UniformLocalizer(), probability="1"), "probability='1' "),
        (lambda: GuidedCrops(UniformLocalizer(), rule="apart", enough="all"), "enough='all' "),
        (lambda: OcclusionModel((32, 32, 32)), "image_size="),
        (lambda: OcclusionModel(32, num_masks=2.0), "num_masks=2.0 "),
        (lambda: foreground(torch.rand(2, 3, 4), math.nan), "tolerance=nan "),
    ],
)
def test_what_is_no_such_setting_is_refused_by_name(build, named):
    with pytest.raises(ValueError, match=named):
        build()


@pytest.mark.parametrize(
    ("build", "attribute", "value"),
    [
        (lambda: BlurFill(np.int64(31)), "kernel_size", 31),
        (lambda: SCDALocalizer(NETWORK, input_size=np.int64(64)), "input_size", 64),
        (lambda: SCDALocalizer(NETWORK, (np.int64(64), 32)), "input_size", (64, 32)),
        (lambda: OcclusionModel(np.int64(32), width=8), "image_size", (32, 32)),
        (lambda: NegativeEncoding(every=np.int64(2)), "every", 2),
        (lambda: GuidedCrops(UniformLocalizer(), np.int64(4), "apart"), "candidates", 4),
        (lambda: UniformLocalizer(np.array([5, 6])), "grid", (5, 6)),
        (lambda: NoiseFill(np.float32(0.5)), "std", 0.5),
        (lambda: SaliencyWarmUp(uniform=0.8, ramp=0.2), "ramp", 0.2),
        (lambda: SaliencyWarmUp(uniform=0.7, ramp=0.3), "ramp", 0.3),
    ],
)
def test_numpys_numbers_are_numbers_and_become_pythons(build, attribute, value):
    found = getattr(build(), attribute)
    assert found == value
    assert type(found) is type(value)


def test_a_numpy_kernel_blurs_as_pythons(make_images):
    images = make_images()
    for kernel in ((5, 2.0), (np.int64(5), np.float64(2.0))):
        assert torch.equal(HighPassFilter(*kernel)(images), HighPassFilter(5, 2.0)(images))


@pytest.mark.parametrize("maps", [(torch.ones(5, 4, 3),), torch.ones(2, 5, 4, 3), "maps"])
def test_one_map_for_two_views_is_refused(make_images, maps):
    masking = SaliencyMasking(UniformLocalizer(), query=Masking(GridMask(), MeanFill()))
    with pytest.raises(ValueError, match=r"saliency must be the maps of \(query, key\)"):
        masking(make_images(), make_images(), None, maps)


def test_the_tolerance_of_a_mixture_in_a_mixture_is_found():
    inner = MaskMixture((TopMask(), GridMask(tolerance=0.25)), (0.5, 0.5))
    outer: MaskSampler = MaskMixture((TopMask(), inner), (0.5, 0.5))
    masking = SaliencyMasking(UniformLocalizer(), query=Masking(outer, MeanFill()))
    assert foreground_tolerance(masking) == 0.25
    assert [type(kind).__name__ for kind in kinds_of(outer)] == [
        *("MaskMixture", "TopMask", "MaskMixture", "TopMask", "GridMask"),
    ]


def test_owners_of_nothing_and_rows_with_nothing_are_refused():
    generator = torch.Generator().manual_seed(0)
    query, key, hard = (torch.randn(n, 3, generator=generator) for n in (4, 4, 2))
    none = torch.empty(0, 3)
    loss = partial(info_nce, query, key, positive_in_denominator=False)
    owners = torch.tensor([0, 2])
    with pytest.raises(ValueError, match="owners say whose"):
        loss(torch.randn(5, 3, generator=generator), owners=owners)
    with pytest.raises(ValueError, match="owners name 2 of 4 rows"):
        loss(none, hard, owners=owners)
    with pytest.raises(ValueError, match="nothing to contrast"):
        loss(none, torch.empty(4, 0, 3))
    with pytest.raises(ValueError, match=r"owners=\[0, 2\] must be an int64 tensor"):
        loss(torch.randn(5, 3, generator=generator), hard, owners=[0, 2])
    with pytest.raises(ValueError, match=r"owners=3 must be an int64 tensor"):
        loss(none, hard, owners=3)
    assert torch.isfinite(loss(none, torch.randn(4, 3, generator=generator)))
