"""The heads of the C4 detector: pooling, sampling and the box loss written out."""

import math

import pytest
import torch
from oracles.narrow_resnet import narrow_backbone

from salmask_plugin.lab.downstream.detection import C4Detector

CLASSES, REGIONS = 3, 64


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(1)
    return C4Detector(
        narrow_backbone(),
        CLASSES,
        short_sides=(64,),
        long_side=96,
        anchor_sides=(16, 32),
        regions_per_image=REGIONS,
    ).train()


def between(plane, row, column):
    """Bilinear value at a place whose pixel centres are whole numbers; borders repeat."""
    height, width = len(plane), len(plane[0])
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    top, left = min(int(row), height - 1), min(int(column), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = row - top, column - left
    above = plane[top][left] * (1 - across) + plane[top][right] * across
    below = plane[bottom][left] * (1 - across) + plane[bottom][right] * across
    return above * (1 - down) + below * down


def pooled_cell(plane, box, row, column):
    """Mean over a cell of 14 x 14, at one place per started pixel of the map and axis."""
    x0, y0, x1, y1 = (side / 16 - 0.5 for side in box)  # pixel 0 is from 0 to 16, its middle at 8
    tall, wide = (y1 - y0) / 14, (x1 - x0) / 14
    rows, columns = math.ceil(tall), math.ceil(wide)
    values = [
        between(
            plane,
            y0 + tall * (row + (i + 0.5) / rows),
            x0 + wide * (column + (j + 0.5) / columns),
        )
        for i in range(rows)
        for j in range(columns)
    ]
    return sum(values) / len(values)


@pytest.mark.parametrize(
    "box", [(37.0, 20.0, 160.0, 225.0), (8.0, 100.0, 700.0, 130.0)], ids=["small", "wide"]
)
def test_regions_are_pooled_between_the_pixels(detector, generator, box):
    maps = torch.rand(1, 1, 20, 48, generator=generator)
    found = detector.roi_heads.box_roi_pool(maps, [torch.tensor([box])])[0, 0]
    assert found.shape == (14, 14)
    plane = maps[0, 0].tolist()
    for row, column in ((0, 0), (3, 11), (13, 6), (13, 13)):
        expected = pooled_cell(plane, box, row, column)
        assert float(found[row, column]) == pytest.approx(expected, abs=1e-5)


def scene(generator):
    """Two pictures, one object each; hundreds of proposals on it and hundreds beside it."""
    objects = torch.tensor([[8.0, 8.0, 40.0, 48.0], [30.0, 10.0, 62.0, 42.0]])
    targets = [
        {"boxes": box[None], "labels": torch.tensor([label])}
        for box, label in zip(objects, (2, 3), strict=True)
    ]
    near = [box + torch.rand(200, 4, generator=generator) * 4 - 2 for box in objects]
    far = torch.tensor([64.0, 50.0, 78.0, 62.0])
    beside = [far + torch.rand(200, 4, generator=generator) for _ in objects]
    return objects, targets, [torch.cat(pair) for pair in zip(near, beside, strict=True)]


def changes_to(objects, boxes):
    """What turns a box into its object: middles by ten box sizes, logarithms of sizes by five."""
    rows = []
    for (gx0, gy0, gx1, gy1), (x0, y0, x1, y1) in zip(
        objects.tolist(), boxes.tolist(), strict=True
    ):
        wide, tall = x1 - x0, y1 - y0
        rows.append(
            [
                10 * ((gx0 + gx1) / 2 - (x0 + x1) / 2) / wide,
                10 * ((gy0 + gy1) / 2 - (y0 + y1) / 2) / tall,
                5 * math.log((gx1 - gx0) / wide),
                5 * math.log((gy1 - gy0) / tall),
            ]
        )
    return torch.tensor(rows)


def test_a_quarter_of_the_regions_are_on_objects_and_the_box_loss_is_over_all(
    detector, generator, monkeypatch
):
    heads = detector.roi_heads
    objects, targets, proposals = scene(generator)
    kept = {}
    select = heads.select_training_samples

    def watch(*args):
        kept["boxes"], _, kept["labels"], _ = chosen = select(*args)
        return chosen

    # Larger than at the start, so that its L1 is none of a smooth L1.
    given = torch.randn(2 * REGIONS, 4 * (CLASSES + 1), generator=generator)
    scores = torch.randn(2 * REGIONS, CLASSES + 1, generator=generator)
    monkeypatch.setattr(heads, "select_training_samples", watch)
    monkeypatch.setattr(heads, "_boxes", lambda regions: (scores, given))
    maps = torch.rand(1, 32, 5, 6, generator=generator).expand(2, -1, -1, -1)
    losses = heads._losses(maps, proposals, targets)

    assert [len(labels) for labels in kept["labels"]] == [REGIONS, REGIONS]
    assert [int((labels > 0).sum()) for labels in kept["labels"]] == [REGIONS // 4] * 2
    total = 0.0
    for picture, (boxes, labels) in enumerate(zip(kept["boxes"], kept["labels"], strict=True)):
        on = labels > 0
        assert set(labels[on].tolist()) == {picture + 2}
        wanted = changes_to(objects[picture].expand(int(on.sum()), 4), boxes[on])
        rows = given[picture * REGIONS : (picture + 1) * REGIONS][on]
        start = 4 * (picture + 2)
        total += float((rows[:, start : start + 4] - wanted).abs().sum())
    assert float(losses["loss_box_reg"]) == pytest.approx(total / (2 * REGIONS), rel=1e-4)
    labels = torch.cat(kept["labels"])
    right = scores.log_softmax(1)[torch.arange(len(labels)), labels]
    assert float(losses["loss_classifier"]) == pytest.approx(float(-right.mean()), rel=1e-5)


@pytest.mark.parametrize(("share", "label"), [(0.51, 1), (0.49, 0)])
def test_half_an_overlap_makes_a_region_an_objects(detector, share, label):
    """Overlap of a proposal with the object of 40 x 40 that it shares its left edge with."""
    target = [{"boxes": torch.tensor([[0.0, 0, 40, 40]]), "labels": torch.tensor([1])}]
    proposal = torch.tensor([[0.0, 0, 40 * share, 40]])
    boxes, _, labels, _ = detector.roi_heads.select_training_samples([proposal], target)
    place = [row.tolist() for row in boxes[0]].index(proposal[0].tolist())
    assert int(labels[0][place]) == label


@pytest.mark.parametrize(("share", "label"), [(0.71, 1.0), (0.69, -1.0), (0.31, -1.0), (0.29, 0.0)])
def test_anchors_between_the_two_overlaps_teach_nothing(detector, share, label):
    # The best anchor of an object is always its own; the second is judged by its overlap.
    target = [{"boxes": torch.tensor([[0.0, 0, 40, 40]])}]
    anchors = torch.tensor([[0.0, 0, 40, 40], [0.0, 0, 40 * share, 40]])
    labels, _ = detector.rpn.assign_targets_to_anchors([anchors], target)
    assert labels[0].tolist() == [1.0, label]


def test_anchors_are_drawn_by_halves(detector):
    labels = [torch.cat([torch.ones(300), torch.zeros(5000)])]
    positive, negative = detector.rpn.fg_bg_sampler(labels)
    assert (int(positive[0].sum()), int(negative[0].sum())) == (128, 128)
