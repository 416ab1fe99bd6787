"""Shares of object and background against loops over pixels, and known masks."""

import math

import pytest
import torch

from salmask_plugin import (
    CenterLocalizer,
    FocalMask,
    GivenLocalizer,
    GridMask,
    Masking,
    MaskMixture,
    MeanFill,
    SaliencyMasking,
    TopMask,
    UniformLocalizer,
)
from salmask_plugin.lab.data import TwoViewDataset, WholeViews, generated, two_views
from salmask_plugin.lab.measures.audit.coverage import (
    agreement,
    centre_box,
    measure_coverage,
    removed_share,
)
from salmask_plugin.masking import foreground_tolerance


def recipe(localizer, query=None, negative=None, **arguments):
    return SaliencyMasking(
        localizer=localizer,
        query=None if query is None else Masking(query, MeanFill()),
        negative=None if negative is None else Masking(negative, MeanFill()),
        **arguments,
    )


def loop_share(mask, region):
    """Share of one image's region that is masked, pixel by pixel and channel by channel."""
    removed = total = 0.0
    channels, height, width = mask.shape
    for row in range(height):
        for column in range(width):
            if region[0, row, column]:
                total += 1
                removed += sum(bool(mask[c, row, column]) for c in range(channels)) / channels
    return removed / total if total else math.nan


def loop_agreement(found, objects):
    pairs = [(bool(a), bool(b)) for a, b in zip(found.flatten(), objects.flatten(), strict=True)]
    both = sum(a and b for a, b in pairs)
    either = sum(a or b for a, b in pairs)
    return both / either, both / sum(a for a, _ in pairs), both / sum(b for _, b in pairs)


@pytest.fixture
def scenes():
    """Five views of 14 x 21 px with an L-shaped object each, at another place."""
    objects = torch.zeros(5, 1, 14, 21)
    for index in range(5):
        objects[index, 0, 2 : 12 - index, index : index + 4] = 1
        objects[index, 0, 2:5, index : index + 9] = 1
    return torch.rand(5, 3, 14, 21, generator=torch.Generator().manual_seed(1)), objects


@pytest.mark.parametrize("channels", [1, 3])
def test_removed_share_is_that_of_a_loop(scenes, channels, generator):
    region = scenes[1] > 0.5
    mask = torch.rand((5, channels, 14, 21), generator=generator) < 0.3
    expected = [loop_share(mask[i], region[i]) for i in range(5)]
    assert removed_share(mask, region).tolist() == pytest.approx(expected)


def test_removed_share_of_nothing_is_undefined():
    mask, region = torch.ones(2, 1, 4, 5, dtype=torch.bool), torch.zeros(2, 1, 4, 5).bool()
    region[1, 0, 0, 0] = True
    assert removed_share(mask, region).isnan().tolist() == [True, False]


def test_agreement_is_that_of_a_loop(scenes, generator):
    objects = scenes[1] > 0.5
    found = torch.rand(objects.shape, generator=generator) < 0.6
    compared = agreement(found, objects)
    for index in range(5):
        iou, precision, recall = loop_agreement(found[index], objects[index])
        assert compared.iou[index].item() == pytest.approx(iou)
        assert compared.precision[index].item() == pytest.approx(precision)
        assert compared.recall[index].item() == pytest.approx(recall)


def test_centre_box_has_the_area_and_the_centre():
    boxes = centre_box(torch.tensor([0.25, 0.64, 1.0, 0.0]), 100, 60)
    assert boxes.double().mean((1, 2, 3)).tolist() == pytest.approx([0.25, 0.64, 1.0, 0.0])
    assert torch.equal(boxes, boxes.flip(2))
    assert torch.equal(boxes, boxes.flip(3))
    assert boxes[0, 0, 25:75, 15:45].all()


def test_coverage_is_that_of_the_masks_of_the_step(scenes):
    """Every number from the masks that the same call of the recipe returns, by loops."""
    views, objects = scenes
    masking = recipe(
        UniformLocalizer(),
        MaskMixture([GridMask(per_channel=True), FocalMask()], [0.5, 0.5]),
        GridMask(ratio=(0.4, 0.7), background=False),
        num_negatives=2,
    )
    saliency = torch.rand((5, 7, 7), generator=torch.Generator().manual_seed(3))
    draw = torch.Generator().manual_seed(5)
    values = measure_coverage(masking, views, objects, saliency, draw)
    draw = torch.Generator().manual_seed(5)
    masked = masking(views, views, draw, saliency=(saliency, saliency))
    for index in range(5):
        negative = masked.negative_masks[index].flatten(0, 1)
        for name, mask in (("query", masked.query_mask[index]), ("negative", negative)):
            for part, region in (("object", objects[index]), ("background", 1 - objects[index])):
                found = values[f"{name}_{part}"][index].item()
                assert found == pytest.approx(loop_share(mask, region))
        cutoff = saliency[index].mean() - 0.6 * saliency[index].std(correction=0)
        cells = (saliency[index] >= cutoff).repeat_interleave(2, 0).repeat_interleave(3, 1)
        iou, precision, recall = loop_agreement(cells, objects[index])
        assert values["foreground"][index].item() == pytest.approx(cells.double().mean().item())
        assert values["iou"][index].item() == pytest.approx(iou)
        assert values["precision"][index].item() == pytest.approx(precision)
        assert values["recall"][index].item() == pytest.approx(recall)
        area = objects[index].double().mean().item()
        assert values["object_area"][index].item() == pytest.approx(area)
        assert values["over_chance"][index].item() == pytest.approx(precision - area)
        box = centre_box(cells.double().mean()[None], 14, 21)[0]
        of_box = loop_agreement(box, objects[index])[1]
        assert values["over_centre"][index].item() == pytest.approx(precision - of_box)


def test_missing_parts_are_absent_and_the_key_is_measured_where_it_is_masked(scenes):
    views, objects = scenes
    saliency = torch.rand(5, 7, 7)
    only = measure_coverage(
        recipe(UniformLocalizer(), negative=TopMask()), views, objects, saliency
    )
    assert "negative_object" in only
    assert "query_object" not in only
    key = recipe(UniformLocalizer(), GridMask(ratio=(1.0, 1.0)), branch="key")
    values = measure_coverage(key, views, objects, saliency)
    assert values["query_object"].tolist() == [1.0] * 5
    assert "negative_object" not in values


def test_true_masks_are_found_and_removed():
    """Generated objects, their own masks on a fine grid, tolerance 0: nearly exact."""
    splits = generated(train_images=8, val_images=12, classes=8, size=64)
    given = GivenLocalizer(grid=(32, 32))
    masking = recipe(
        given,
        GridMask(tolerance=0),
        GridMask(ratio=(1.0, 1.0), background=False, tolerance=0),
    )
    for transform in (WholeViews(64), two_views(64)):
        samples = TwoViewDataset(splits.val, transform, seed=0, masks=True)
        batch = [samples[index] for index in range(12)]
        views = torch.stack([sample[0][0] for sample in batch])
        objects = torch.stack([sample[2][0] for sample in batch])
        seen = (objects.mean((1, 2, 3)) > 0.05) & (objects.mean((1, 2, 3)) < 0.75)
        views, objects = views[seen], objects[seen]
        values = measure_coverage(masking, views, objects, given(objects))
        assert len(views) >= 6
        assert values["precision"].mean() > 0.85
        assert values["recall"].mean() > 0.95
        assert values["iou"].mean() > values["centre_iou"].mean() + 0.3
        assert values["negative_object"].mean() > 0.95
        assert values["negative_background"].mean() < 0.05


def test_centre_localizer_finds_a_centred_object():
    objects = torch.zeros(2, 1, 28, 28)
    objects[:, :, 4:24, 4:24] = 1
    masking = recipe(CenterLocalizer(), negative=TopMask(ratio=(1.0, 1.0)))
    views = torch.rand(2, 3, 28, 28)
    values = measure_coverage(masking, views, objects, masking.localizer(views))
    assert values["iou"].tolist() == pytest.approx([1.0, 1.0])
    assert values["centre_iou"].tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("query", "negative", "expected"),
    [
        (GridMask(tolerance=0.1), GridMask(tolerance=0.3), 0.3),
        (GridMask(tolerance=0.1), TopMask(), 0.1),
        (None, TopMask(), 0.6),
        (None, MaskMixture([FocalMask(), GridMask(tolerance=0)], [0.5, 0.5]), 0.0),
    ],
)
def test_tolerance_is_that_of_the_samplers(query, negative, expected):
    assert foreground_tolerance(recipe(UniformLocalizer(), query, negative)) == expected


def test_objects_that_do_not_fit_are_named(scenes):
    views, objects = scenes
    masking = recipe(UniformLocalizer(), GridMask())
    with pytest.raises(ValueError, match=r"objects have shape \(5, 14, 21\)"):
        measure_coverage(masking, views, objects[:, 0], torch.rand(5, 7, 7))
