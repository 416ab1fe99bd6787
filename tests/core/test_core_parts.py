"""Parts of a recipe that are mixed up: one sentence that says which belongs where."""

from functools import partial

import numpy as np
import pytest
import torch

from salmask_plugin import (
    BackgroundMask,
    BlockMask,
    FocalMask,
    GridMask,
    GuidedCrops,
    HighPassFilter,
    MaskFunctionLocalizer,
    Masking,
    MaskMixture,
    MatchedMask,
    MeanFill,
    MomentumLocalizer,
    SaliencyMasking,
    SystematicMask,
    TopMask,
    UniformLocalizer,
)
from salmask_plugin.released.first_negative import FirstNegative

GRID, MEAN, WHERE = GridMask(), MeanFill(), UniformLocalizer()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: GuidedCrops(UniformLocalizer, rule="apart"),
            "localizer=UniformLocalizer is a class; write localizer=UniformLocalizer(...).",
        ),
        (
            lambda: SaliencyMasking(WHERE, query=GRID),
            "query=GridMask(...) must be None or a Masking",
        ),
        (
            lambda: SaliencyMasking(WHERE, negative=MEAN),
            "negative=MeanFill(...) must be None or a Masking, which joins a sampler and a fill, "
            "such as Masking(GridMask(), MeanFill()).",
        ),
        (lambda: SaliencyMasking(WHERE, Masking), "query=Masking(...) must be None or a Masking"),
        (
            lambda: Masking(MEAN, GRID),
            "sampler=MeanFill(...) is called with images; a sampler is called with saliency, such "
            "as GridMask().",
        ),
        (
            lambda: Masking(GRID, GRID),
            "fill=GridMask(...) is called with saliency; a fill is called",
        ),
        (
            lambda: Masking(GridMask, MEAN),
            "sampler=GridMask is a class; write sampler=GridMask(...).",
        ),
        (lambda: Masking(GRID, 0.5), "fill=0.5 must be a fill, such as MeanFill()."),
        (
            lambda: SaliencyMasking(GRID),
            "localizer=GridMask(...) is called with saliency; a localizer",
        ),
        (lambda: SaliencyMasking("resnet50"), "localizer='resnet50' must be a localizer, such as"),
        (
            lambda: SaliencyMasking(WHERE, view_filter=HighPassFilter),
            "view_filter=HighPassFilter is a class; write view_filter=HighPassFilter(...).",
        ),
        (
            lambda: MaskMixture([GRID, MEAN], [0.5, 0.5]),
            "samplers[1]=MeanFill(...) is called with images",
        ),
        (lambda: MaskMixture(GRID, [1.0]), "must be a list, one"),
        (lambda: MaskMixture([GRID], 1.0), "weights=1.0 must be a list, one"),
    ],
)
def test_a_part_in_the_wrong_place_is_named(build, words):
    with pytest.raises(ValueError, match="=") as caught:
        build()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_callable_is_a_part():
    """Parts need no base class, nor parameters of a certain name."""
    Masking(lambda maps, generator=None: maps[:, None] > 0, lambda x, generator=None: x * 0)
    SaliencyMasking(torch.nn.Identity(), Masking(GRID, MEAN), FirstNegative(GRID, MEAN))
    SaliencyMasking(partial(MomentumLocalizer, layer="layer4"), view_filter=torch.nn.Identity())


@pytest.mark.parametrize(
    "kind", [GridMask, BlockMask, TopMask, SystematicMask, BackgroundMask, MatchedMask]
)
def test_a_ratio_of_one_number_is_answered_with_what_to_write(kind):
    with pytest.raises(ValueError, match=r"ratio=0\.2") as caught:
        kind(ratio=0.2)
    assert str(caught.value) == (
        "ratio=0.2 must be (low, high): one number is drawn between them for each image. "
        "Always 0.2 is ratio=(0.2, 0.2)."
    )
    assert kind(ratio=(0.2, 0.2)).ratio == (0.2, 0.2)


@pytest.mark.parametrize("given", [(0.1,), (0.1, 0.2, 0.3), "ab", ("a", "b"), None])
def test_what_is_no_pair_of_numbers_is_named(given):
    for argument in ("ratio", "aspect"):
        with pytest.raises(ValueError, match=rf"{argument}=.* must be \(low, high\), two numbers"):
            BlockMask(**{argument: given})


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (
            torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
            "torch.uint8 (2, 3, 8, 8); normalised floating-point views (B, C, H, W) are expected: "
            "v2.ToDtype(torch.float32, scale=True), then v2.Normalize, makes them.",
        ),
        (torch.zeros(3, 8, 8), "(B, C, H, W) are expected: {0}[None] is a batch of one image."),
        ([torch.zeros(3, 8, 8)], "a list; normalised floating-point views"),
    ],
    ids=["uint8", "single", "list"],
)
def test_what_is_no_batch_of_views_is_answered_with_what_to_do(images, words):
    masking = SaliencyMasking(WHERE, Masking(GRID, MEAN))
    for argument, call in (
        ("query", lambda: masking(images, images)),
        ("images", lambda: masking.query(images, torch.rand(2, 4, 4))),
        ("images", lambda: HighPassFilter(3, 1.0)(images)),
    ):
        with pytest.raises(ValueError, match=f"^{argument} are ") as caught:
            call()
        assert words.format(argument) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (GridMask, "background"),
        (GridMask, "per_channel"),
        (FocalMask, "inside"),
        (partial(MaskFunctionLocalizer, lambda images: images[:, 0]), "one_by_one"),
    ],
)
def test_a_word_is_no_yes(make, argument):
    """``background="no"`` would otherwise mask the background."""
    with pytest.raises(ValueError, match=rf"{argument}='no' must be True or False"):
        make(**{argument: "no"})
    for value in (True, False, np.True_, 0):
        make(**{argument: value})
