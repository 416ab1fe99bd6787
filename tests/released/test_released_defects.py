"""The released code's two defects, against loops over its description."""

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from salmask_plugin import (
    GridMask,
    HighPassFilter,
    Masking,
    MeanFill,
    SaliencyMasking,
    UniformLocalizer,
    foreground,
    info_nce,
)
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.released import FirstNegative, RowSortedLocalizer


def brightness(images):
    return images.mean(1)[:, ::6, ::5]


def test_cell_j_of_a_row_is_tested_with_its_jth_smallest_value(make_images):
    images = make_images(4, 42, 35)
    maps, released = brightness(images), RowSortedLocalizer(brightness)(images)
    marked = foreground(released)
    for one, own in zip(maps, marked, strict=True):
        threshold = one.mean() - 0.6 * one.std(correction=0)
        for i, row in enumerate(one.tolist()):
            ordered = sorted(row)
            assert [bool(cell) for cell in own[i]] == [bool(v >= threshold) for v in ordered]
    # Foreground lies at the right border; its count per row is right.
    assert torch.equal(marked, marked.sort(-1).values)
    assert torch.equal(marked.sum(-1), foreground(maps).sum(-1))
    assert not torch.equal(marked, foreground(maps))


def test_it_says_what_its_localizer_was_trained_on():
    assert RowSortedLocalizer(UniformLocalizer()).trained_on == "none"


def test_the_negative_of_image_0_serves_all(make_images, make_saliency):
    images, saliency = make_images(5), make_saliency(5)
    parts = (GridMask((0.4, 0.7), background=False), MeanFill())
    right, right_mask = Masking(*parts)(images, saliency, torch.Generator().manual_seed(1))
    wrong, wrong_mask = FirstNegative(*parts)(images, saliency, torch.Generator().manual_seed(1))
    assert wrong.shape == images.shape
    for index in range(5):
        assert torch.equal(wrong[index], right[0])
        assert torch.equal(wrong_mask[index], right_mask[0])


def test_inside_the_recipe_nothing_else_changes(make_images):
    query, key = make_images(4), make_images(4)
    parts = (GridMask((0.4, 0.7), background=False), MeanFill())
    mask = Masking(GridMask(), MeanFill())
    views = [
        SaliencyMasking(brightness, mask, negative)(query, key, torch.Generator().manual_seed(2))
        for negative in (Masking(*parts), FirstNegative(*parts))
    ]
    assert torch.equal(views[0].query, views[1].query)
    assert torch.equal(views[1].negatives, views[0].negatives[:1].expand(4, -1, -1, -1, -1))


def test_every_query_meets_the_one_negative_in_the_loss(generator):
    """The last logit of query i is rho q_i t_0 / tau, as in the released builder."""
    query, key, queue, own = (
        torch.nn.functional.normalize(torch.randn(n, 8, generator=generator), dim=1)
        for n in (5, 5, 9, 5)
    )
    logits = torch.cat(
        (
            (query * key).sum(1, keepdim=True),
            query @ queue.T,
            2 * torch.einsum("bd,d->b", query, own[0])[:, None],
        ),
        dim=1,
    )
    expected = torch.nn.functional.cross_entropy(logits / 0.2, torch.zeros(5).long())
    found = info_nce(query, key, queue, own[:1].expand(5, -1))
    assert torch.allclose(found, expected)


@pytest.mark.parametrize("recipe", ["mean", "blur", "highpass"])
def test_recipes_differ_from_the_papers_in_these_two_and_the_rounding(recipe):
    given = ["localizer=center", "view_size=96"]
    paper = compose_settings([f"masking={recipe}", *given])["masking"]
    released = compose_settings([f"masking=released_{recipe}", *given])["masking"]
    built = instantiate(OmegaConf.create(released), _convert_="all")
    assert isinstance(built.localizer, RowSortedLocalizer)
    assert isinstance(built.negative, FirstNegative)
    assert (built.view_filter is None) or isinstance(built.view_filter, HighPassFilter)
    assert released["localizer"]["localizer"] == paper["localizer"]
    released["localizer"] = paper["localizer"]
    released["negative"]["_target_"] = paper["negative"]["_target_"]
    assert released != paper
    for masking in ("query", "negative"):
        assert "random" not in str(released[masking]["sampler"])
        nearest = OmegaConf.to_yaml(paper[masking]["sampler"]).replace("random", "nearest")
        paper[masking]["sampler"] = OmegaConf.to_container(OmegaConf.create(nearest))
    assert released == paper
