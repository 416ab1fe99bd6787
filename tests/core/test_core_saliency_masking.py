from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from salmask_plugin import (
    BlurFill,
    CenterLocalizer,
    FocalMask,
    GivenLocalizer,
    GridMask,
    HighPassFilter,
    Masking,
    MaskMixture,
    MeanFill,
    NoiseFill,
    SaliencyMasking,
    TileFill,
    UniformLocalizer,
    UnseenFill,
    foreground,
)
from salmask_plugin.types import MaskedViews

GRID = (4, 6)
QUERY = Masking(GridMask((0.2, 0.4)), MeanFill())
NEGATIVE = Masking(GridMask((0.4, 0.7), background=False), MeanFill())


@dataclass
class Brightness:
    """Saliency = mean brightness of each cell; remembers the images it was shown."""

    seen: list[Tensor] = field(default_factory=list)

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return torch.nn.functional.adaptive_avg_pool2d(images, GRID).mean(1)


@pytest.fixture
def views(make_images):
    both = make_images(10, 32, 36)
    return both[:5], both[5:]


def make(**settings) -> SaliencyMasking:
    return SaliencyMasking(Brightness(), **{"query": QUERY, "negative": NEGATIVE, **settings})


def run(
    masking: SaliencyMasking, views: tuple[Tensor, Tensor], seed: int = 0, **more
) -> MaskedViews:
    return masking(*views, torch.Generator().manual_seed(seed), **more)


def on_cells(pixels: Tensor) -> Tensor:
    """(..., H, W) mask back on the grid."""
    return pixels[..., ::8, ::6]


def test_paper_default_masks_the_query_only(views):
    before = [view.clone() for view in views]
    result = run(make(), views)
    assert torch.equal(result.key, views[1])
    assert result.key_mask is None
    assert all(torch.equal(view, old) for view, old in zip(views, before, strict=True))
    hidden = result.query_mask.expand_as(result.query)
    assert torch.equal(result.query[~hidden], views[0][~hidden])
    assert (result.query[hidden] != views[0][hidden]).all()


def test_negatives_are_the_keys_without_cells_of_their_own_object(views):
    result = run(make(num_negatives=3), views)
    assert result.negatives.shape == (5, 3, 3, 32, 36)
    assert result.negative_masks.shape == (5, 3, 1, 32, 36)
    objects = foreground(Brightness()(views[1]))[:, None, None]
    hidden = on_cells(result.negative_masks)
    assert not (hidden & ~objects).any()
    assert hidden.flatten(2).any(2).all()
    shown = ~result.negative_masks.expand_as(result.negatives)
    own_key = views[1][:, None].expand_as(result.negatives)
    assert torch.equal(result.negatives[shown], own_key[shown])  # image i's, defect B2
    assert not torch.equal(result.negative_masks[:, 0], result.negative_masks[:, 1])


def test_permuting_the_images_permutes_the_whole_object_negatives(views):
    """Defect B2 on the image side; the mask covers the object, so that no draw is involved."""
    whole = make(negative=Masking(GridMask((1.0, 1.0), background=False), MeanFill()))
    order = torch.tensor([2, 0, 4, 1, 3])
    plain, permuted = run(whole, views), run(whole, (views[0][order], views[1][order]))
    assert torch.equal(permuted.negative_masks, plain.negative_masks[order])
    assert torch.allclose(permuted.negatives, plain.negatives[order])


@pytest.mark.parametrize("branch", ["query", "key", "both"])
def test_branch_says_which_view_is_masked(views, branch):
    result = run(make(branch=branch, probability=1), views)
    for name, view, mask, changed in (
        ("query", views[0], result.query_mask, result.query),
        ("key", views[1], result.key_mask, result.key),
    ):
        if branch in (name, "both"):
            assert mask.flatten(1).any(1).all()
            assert not torch.equal(changed, view)
        else:
            assert mask is None
            assert torch.equal(changed, view)
    if branch == "both":
        same = (views[0], views[0])
        result = run(make(branch=branch), same)
        assert not torch.equal(result.query_mask, result.key_mask)  # drawn apart


@pytest.mark.parametrize("branch", ["key", "both"])
def test_negatives_come_from_the_clean_key_even_when_the_key_is_masked(views, branch):
    result = run(make(branch=branch), views)
    shown = ~result.negative_masks[:, 0].expand_as(views[1])
    assert torch.equal(result.negatives[:, 0][shown], views[1][shown])
    objects = foreground(Brightness()(views[1]))[:, None]
    assert not (on_cells(result.negative_masks[:, 0]) & ~objects).any()


def test_negatives_from_the_query_view(views):
    result = run(make(negative_source="query"), views)
    shown = ~result.negative_masks[:, 0].expand_as(views[0])
    assert torch.equal(result.negatives[:, 0][shown], views[0][shown])
    objects = foreground(Brightness()(views[0]))[:, None]
    assert not (on_cells(result.negative_masks[:, 0]) & ~objects).any()


def test_draws_are_made_in_the_order_query_key_negatives(views):
    """What comes later cannot change what was drawn before."""
    alone = run(make(negative=None), views)
    assert torch.equal(run(make(), views).query_mask, alone.query_mask)
    assert torch.equal(run(make(num_negatives=4), views).query_mask, alone.query_mask)
    assert torch.equal(run(make(branch="both"), views).query_mask, alone.query_mask)
    both = run(make(branch="both", negative=None), views)
    assert torch.equal(run(make(branch="both"), views).key_mask, both.key_mask)
    noisy = Masking(GridMask((0.2, 0.4)), NoiseFill())
    assert torch.equal(
        run(make(query=noisy), views).query, run(make(query=noisy, negative=None), views).query
    )


def test_same_generator_state_same_views_and_another_seed_others(views):
    masking = make(query=Masking(GridMask((0.2, 0.4)), NoiseFill()), num_negatives=2)
    one, again, other = (run(masking, views, seed) for seed in (1, 1, 2))
    for name in ("query", "negatives", "query_mask", "negative_masks"):
        assert torch.equal(getattr(one, name), getattr(again, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))


def test_global_generator_is_not_consumed(views):
    state = torch.get_rng_state()
    run(make(query=Masking(GridMask(), NoiseFill()), branch="both", probability=0.5), views)
    assert torch.equal(torch.get_rng_state(), state)


def test_localizer_sees_unfiltered_views_once(views):
    masking = make(view_filter=HighPassFilter(5, 2.0), num_negatives=3, branch="both")
    result = run(masking, views)
    (seen,) = masking.localizer.seen
    assert torch.equal(seen, torch.cat(views))
    assert torch.equal(torch.cat(result.saliency), Brightness()(torch.cat(views)))


def test_filter_comes_before_the_fill(views):
    """Masked cells of a high-pass query hold the noise itself, not filtered noise."""
    highpass = HighPassFilter(5, 2.0)
    masking = make(query=Masking(GridMask((0.4, 0.4)), NoiseFill(0.18)), view_filter=highpass)
    result = run(masking, views)
    assert torch.equal(result.key, highpass(views[1]))
    hidden = result.query_mask.expand_as(result.query)
    assert torch.equal(result.query[~hidden], highpass(views[0])[~hidden])
    assert result.query[hidden].std().item() == pytest.approx(0.18, rel=0.05)
    shown = ~result.negative_masks[:, 0].expand_as(result.key)
    assert torch.equal(result.negatives[:, 0][shown], result.key[shown])


def test_saliency_given_for_a_symmetric_loss_is_used_and_nothing_is_localised(views):
    masking = make()
    maps = masking.localize(*views)
    masking.localizer.seen.clear()
    first = run(masking, views, saliency=maps)
    second = run(masking, views[::-1], saliency=maps[::-1])
    assert masking.localizer.seen == []
    for given, views_ in ((first, views), (second, views[::-1])):
        plain = run(make(), views_)
        assert torch.equal(given.query_mask, plain.query_mask)
        assert torch.equal(given.negative_masks, plain.negative_masks)


def test_saliency_of_query_and_key_are_not_exchanged(views):
    """Each view has its own map: the query's object on the left, the key's on the right."""
    left, right = torch.zeros(5, *GRID), torch.zeros(5, *GRID)
    left[..., :2], right[..., 4:] = 1.0, 1.0
    whole = Masking(GridMask((1.0, 1.0), background=False), MeanFill())
    both = make(query=whole, negative=whole, branch="both")
    result = run(both, views, saliency=(left, right))
    assert torch.equal(on_cells(result.query_mask)[:, 0], left > 0)
    assert torch.equal(on_cells(result.key_mask)[:, 0], right > 0)
    assert torch.equal(on_cells(result.negative_masks)[:, 0, 0], right > 0)


def test_every_part_is_optional(views):
    nothing = make(query=None, negative=None)
    result = run(nothing, views)
    assert nothing.localizer.seen == []
    assert result.query is views[0]
    assert result.key is views[1]
    assert (result.negatives, result.query_mask, result.saliency) == (None, None, None)

    filtered = run(make(query=None, negative=None, view_filter=HighPassFilter(5, 2.0)), views)
    assert torch.equal(filtered.query, HighPassFilter(5, 2.0)(views[0]))

    negatives_only = run(make(query=None), views)
    assert negatives_only.query is views[0]
    assert negatives_only.query_mask is None
    assert negatives_only.negatives is not None

    masks_only = run(make(negative=None), views)
    assert masks_only.negatives is None
    assert masks_only.negative_masks is None


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probability_is_per_image_and_spares_the_negatives(generator, probability):
    views = torch.rand((2000, 3, 8, 12), generator=generator).chunk(2)
    result = run(make(probability=probability, branch="both"), views)
    for mask, view, shown in (
        (result.query_mask, views[0], result.query),
        (result.key_mask, views[1], result.key),
    ):
        masked = mask.flatten(1).any(1)
        assert masked.float().mean().item() == pytest.approx(probability, abs=0.05)
        assert torch.equal(shown[~masked], view[~masked])
    assert result.negative_masks.flatten(1).any(1).all()


def test_no_graph_is_recorded(views):
    views = tuple(view.clone().requires_grad_() for view in views)
    result = run(make(query=Masking(GridMask(), BlurFill(5, 2.0))), views)
    assert not result.query.requires_grad
    assert not result.negatives.requires_grad


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("size", [(32, 32), (45, 33), (96, 64)])
def test_high_pass_recipe_on_small_odd_views(generator, batch, size):
    def mixture(ratio, background, focal):
        cells = [GridMask(ratio, background, per_channel=each) for each in (False, True)]
        return MaskMixture((focal, *cells), (0.20, 0.24, 0.56))

    masking = make(
        query=Masking(mixture((0.05, 0.25), True, FocalMask()), NoiseFill(0.18)),
        negative=Masking(
            mixture((0.4, 0.7), False, FocalMask(130 / 224, inside=True)), NoiseFill(0.14)
        ),
        view_filter=HighPassFilter(),
    )
    views = torch.randn((2 * batch, 3, *size), generator=generator).chunk(2)
    result = run(masking, views)
    assert result.query_mask.shape == (batch, 3, *size)
    assert result.negatives.shape == (batch, 1, 3, *size)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_views_keep_their_dtype(views, dtype):
    views = tuple(view.to(dtype) for view in views)
    result = run(make(query=Masking(GridMask(), NoiseFill())), views)
    assert {result.query.dtype, result.key.dtype, result.negatives.dtype} == {dtype}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branch": "online"}, "branch='online' must be one of"),
        ({"negative_source": "both"}, "negative_source='both' must be one of"),
        ({"num_negatives": 0}, "num_negatives=0 must be at least 1"),
        ({"probability": 1.2}, r"probability=1.2 must be at least 0 and at most 1"),
        ({"probability": float("nan")}, r"probability=nan must be at least 0 and at most 1"),
    ],
)
def test_settings_out_of_range_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_views_of_different_shape_are_an_error(views):
    with pytest.raises(ValueError, match="must have the same shape"):
        run(make(), (views[0], views[1][:3]))


def test_localizer_with_wrong_maps_is_an_error(views):
    class Column:
        def __call__(self, images: Tensor) -> Tensor:
            return Brightness()(images)[:, None]

    with pytest.raises(ValueError, match=r"localizer returned has shape \(10, 1, 4, 6\)"):
        run(replace(make(), localizer=Column()), views)


def test_nonsemantic_negatives_are_the_query_view_in_tiles(make_images):
    """Ge et al.: from the query view, which itself stays whole; no pixel is kept in place."""
    query, key = make_images(4, 64, 64), make_images(4, 64, 64)
    masking = SaliencyMasking(
        UniformLocalizer(),
        negative=Masking(GridMask((1.0, 1.0)), TileFill()),
        negative_source="query",
    )
    views = masking(query, key, torch.Generator().manual_seed(1))
    assert torch.equal(views.query, query)
    assert torch.equal(views.key, key)
    assert views.query_mask is None
    assert views.negative_masks.all()
    for own, view, other in zip(views.negatives[:, 0], query, key, strict=True):
        for channel in range(3):
            assert torch.isin(own[channel], view[channel]).all()
            assert not torch.isin(own[channel], other[channel]).all()


@pytest.mark.parametrize("whole", [True, False])
def test_a_generator_of_another_device_is_an_error_that_says_what_to_do(make_images, whole):
    """torch's own words name no argument of ours."""
    images, elsewhere = make_images(2), SimpleNamespace(device=torch.device("cuda", 1))
    part = Masking(GridMask(), MeanFill())
    call = SaliencyMasking(UniformLocalizer(), part) if whole else part
    second = images if whole else torch.zeros(2, 7, 7)
    with pytest.raises(ValueError, match=r"generator is on cuda:1, the views are on cpu.*device="):
        call(images, second, elsewhere)


def test_the_whole_step_does_not_depend_on_the_default_dtype(make_images, in_float64):
    """The chance of a mask, and the maps of the localizers that make their own."""
    images = make_images(20)
    for localizer in (UniformLocalizer(), CenterLocalizer(), GivenLocalizer()):
        shown = images[:, :1] if isinstance(localizer, GivenLocalizer) else images
        masking = SaliencyMasking(UniformLocalizer(), QUERY, NEGATIVE, probability=0.5)
        found = []
        for context in (in_float64, nullcontext):
            with context():
                maps = localizer(shown)
                assert maps.dtype == torch.float32
                generator = torch.Generator().manual_seed(3)
                found.append(masking(images, images, generator, saliency=(maps, maps)))
        assert torch.equal(found[0].query_mask, found[1].query_mask)
        assert torch.equal(found[0].negative_masks, found[1].negative_masks)


@pytest.mark.parametrize("view_filter", [None, HighPassFilter(3, 1.0)])
@pytest.mark.parametrize(
    "change", [lambda x: x.to(torch.uint8), lambda x: x[:, :, None], lambda x: x[0]]
)
def test_what_is_no_batch_of_views_is_an_error(make_images, generator, view_filter, change):
    images = change(make_images(4))
    masking = SaliencyMasking(UniformLocalizer(), QUERY, view_filter=view_filter)
    with pytest.raises(ValueError, match=r"query are torch.* \(B, C, H, W\) are expected"):
        masking(images, images, generator)
    with pytest.raises(ValueError, match=r"images are torch.* \(B, C, H, W\) are expected"):
        QUERY(images, torch.rand(len(images), 7, 7), generator)
    with pytest.raises(ValueError, match=r"images are torch.* \(B, C, H, W\) are expected"):
        HighPassFilter(3, 1.0)(images)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (torch.rand(8, 16, 7, 7), r"has shape \(8, 16, 7, 7\)"),
        (torch.rand(8, 1000), r"has shape \(8, 1000\)"),
        ({"out": torch.rand(8, 7, 7)}, "is a dict"),
    ],
)
def test_a_network_in_the_place_of_a_localizer_is_told_what_makes_maps(
    make_images, generator, returned, words
):
    masking = SaliencyMasking(lambda images: returned, QUERY)
    with pytest.raises(ValueError, match=rf"returned {words}; .*; SCDALocalizer\(network\) makes"):
        masking(make_images(4), make_images(4), generator)


def test_one_map_does_not_serve_many_views(make_images, make_saliency, generator):
    images, maps = make_images(4), make_saliency(4)
    for parts in ({"query": QUERY}, {"negative": NEGATIVE}):
        masking = SaliencyMasking(Brightness(), **parts)
        with pytest.raises(ValueError, match=r"saliency of the key has shape \(1, 7, 7\); for 4"):
            masking(images, images, generator, saliency=(maps, maps[:1]))
        one = replace(masking, localizer=lambda views: views.mean(1)[:4, ::6, ::5])
        with pytest.raises(ValueError, match=r"localizer returned has shape \(4, 7, 7\); for 8"):
            one(images, images, generator)
    with pytest.raises(ValueError, match=r"saliency has shape \(1, 7, 7\); for 4 images"):
        QUERY(images, maps[:1], generator)


def test_places_not_seen_are_those_of_all_channels():
    apart = GridMask((0.2, 0.4), per_channel=True)
    for sampler in (apart, MaskMixture([GridMask((0.2, 0.4)), apart], [0.5, 0.5])):
        with pytest.raises(ValueError, match=r"query\.sampler draws cells per channel"):
            SaliencyMasking(CenterLocalizer(GRID), query=Masking(sampler, UnseenFill()))
    SaliencyMasking(CenterLocalizer(GRID), query=Masking(GridMask((0.2, 0.4)), UnseenFill()))


@pytest.mark.parametrize("whole", [True, False])
def test_a_seed_is_no_generator(make_images, whole):
    images, part = make_images(2), Masking(GridMask(), MeanFill())
    call = SaliencyMasking(UniformLocalizer(), part) if whole else part
    second = images if whole else torch.zeros(2, 7, 7)
    with pytest.raises(ValueError, match=r"generator=3 must be a torch.Generator or None: step_g"):
        call(images, second, 3)
