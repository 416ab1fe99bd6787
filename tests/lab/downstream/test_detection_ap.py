"""Average precision against loops that follow the definitions word by word."""

import numpy as np
import pytest

from salmask_plugin.lab.data.outlines import coco_tools, outline_of
from salmask_plugin.lab.downstream.detection import (
    Detections,
    coco_average_precision,
    voc_average_precision,
)
from salmask_plugin.lab.downstream.detection.instances import Instances

CLASSES = 3


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / area


def random_set(seed, *, ignored, images=7):
    """Objects, and detections near some of them, near the same one twice, and anywhere."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for image in range(images):
        count = int(rng.integers(0, 5))
        corner = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(8, 40, (count, 2))], 1)
        labels = rng.integers(0, CLASSES, count)
        truth.append(
            Instances(
                boxes,
                labels,
                (rng.random(count) < 0.3) if ignored else np.zeros(count, bool),
                np.ones(count, bool),
                np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
                None,
                (100, 100),
                f"{image}",
            )
        )
        near = [*range(count), *range(count)]
        shifted = boxes[near] + rng.normal(0, 3, (len(near), 4))
        lost = rng.uniform(0, 50, (3, 2))
        anywhere = np.concatenate([lost, lost + rng.uniform(8, 40, (3, 2))], 1)
        all_boxes = np.concatenate([shifted, anywhere])
        swapped = np.where(rng.random(len(near)) < 0.85, labels[near], rng.integers(0, CLASSES))
        all_labels = np.concatenate([swapped, rng.integers(0, CLASSES, 3)]).astype(int)
        found.append(Detections(all_boxes, all_labels, rng.random(len(all_boxes))))
    return found, truth


def by_score(found, label):
    rows = [
        (float(part.scores[place]), image, part.boxes[place])
        for image, part in enumerate(found)
        for place in range(len(part))
        if part.labels[place] == label
    ]
    return sorted(rows, key=lambda row: -row[0])


def slow_voc(found, truth, limit, rule):
    precisions = []
    for label in range(CLASSES):
        objects = sum(int(((part.labels == label) & ~part.ignored).sum()) for part in truth)
        if not objects:
            continue
        taken, rights, wrongs, curve = set(), 0, 0, []
        for _, image, box in by_score(found, label):
            places = [p for p in range(len(truth[image])) if truth[image].labels[p] == label]
            best = max(places, key=lambda p: overlap(box, truth[image].boxes[p]), default=None)
            if best is not None and overlap(box, truth[image].boxes[best]) > limit:
                if truth[image].ignored[best]:
                    continue
                if (image, best) in taken:
                    wrongs += 1
                else:
                    taken.add((image, best))
                    rights += 1
            else:
                wrongs += 1
            curve.append((rights / objects, rights / (rights + wrongs)))
        if rule == "11-point":
            points = [
                max([p for r, p in curve if 10 * r >= point - 1e-6], default=0)
                for point in range(11)
            ]
            precisions.append(sum(points) / 11)
        else:
            area, before = 0.0, 0.0
            for recall, _ in curve:
                area += (recall - before) * max(p for r, p in curve if r >= recall)
                before = recall
            precisions.append(area)
    return sum(precisions) / len(precisions)


@pytest.mark.parametrize("rule", ["11-point", "area"])
@pytest.mark.parametrize("seed", range(4))
def test_voc_is_the_definition(seed, rule):
    found, truth = random_set(seed, ignored=True)
    values = voc_average_precision(found, truth, CLASSES, rule)
    assert list(values) == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    for limit, value in values.items():
        assert value == pytest.approx(slow_voc(found, truth, limit, rule))
    assert 0 < values[0.75] < values[0.5] < 1


def slow_coco(found, truth, limit):
    """COCO's matching (best free object at or above the limit) and 101 points."""
    precisions = []
    for label in range(CLASSES):
        objects = sum(int((part.labels == label).sum()) for part in truth)
        if not objects:
            continue
        taken, rights, curve = set(), 0, []
        for number, (_, image, box) in enumerate(by_score(found, label), 1):
            free = [
                p
                for p in range(len(truth[image]))
                if truth[image].labels[p] == label
                and (image, p) not in taken
                and overlap(box, truth[image].boxes[p]) >= limit
            ]
            if free:
                taken.add((image, max(free, key=lambda p: overlap(box, truth[image].boxes[p]))))
                rights += 1
            curve.append((rights / objects, rights / number))
        points = [
            max([p for r, p in curve if r >= point / 100 - 1e-9], default=0) for point in range(101)
        ]
        precisions.append(sum(points) / 101)
    return sum(precisions) / len(precisions)


@pytest.mark.parametrize("seed", range(3))
def test_coco_gets_boxes_and_classes_as_they_are(seed):
    found, truth = random_set(seed, ignored=False)
    values = coco_average_precision(found, truth, CLASSES)
    limits = np.linspace(0.5, 0.95, 10)
    slow = [slow_coco(found, truth, limit) for limit in limits]
    # COCO's 101 recall points are binary fractions; a recall equal to one may fall to either side.
    assert values["ap"] == pytest.approx(np.mean(slow), abs=2e-3)
    assert values["ap50"] == pytest.approx(slow[0], abs=5e-3)
    assert values["ap75"] == pytest.approx(slow[5], abs=5e-3)


def test_a_crowd_is_no_miss_and_hides_what_lies_in_it():
    boxes = np.array([[0.0, 0, 10, 10], [50, 50, 90, 90]])
    crowd = np.array([False, True])
    areas = np.array([100.0, 1600.0])
    truth = Instances(boxes, np.zeros(2, int), crowd, ~crowd, areas, None, (100, 100), "a")
    inside = np.array([[55.0, 55, 65, 65], [0, 0, 10, 10]])
    found = Detections(inside, np.zeros(2, int), np.array([0.9, 0.8]))
    assert coco_average_precision([found], [truth], 1)["ap"] == pytest.approx(1)
    # VOC compares with the whole ignored box, which the detection does not overlap by half.
    assert voc_average_precision([found], [truth], 1)[0.5] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_what_is_found_where_no_object_is_counts(kind):
    """Of two detections the better one is wrong: precision 1/2 at every recall."""
    mask = np.zeros((100, 100), bool)
    mask[10:50, 10:50] = True
    box, there = np.array([[10.0, 10, 50, 50]]), np.array([True])
    runs = coco_tools("mask").encode(np.asfortranarray(mask.astype(np.uint8)))
    found = [Detections(box, np.zeros(1, int), np.array([s]), (runs,)) for s in (0.5, 0.9)]
    areas, outlines = np.array([1600.0]), (outline_of(mask),)
    truth = [
        Instances(box, np.zeros(1, int), ~there, there, areas, outlines, (100, 100), "a"),
        Instances(box[:0], np.zeros(0, int), ~there[:0], there[:0], areas[:0], (), (100, 100), "b"),
    ]
    assert coco_average_precision(found, truth, 1, kind)["ap"] == pytest.approx(0.5)


def test_nothing_found_is_zero_and_misfits_are_named():
    found, truth = random_set(0, ignored=False)
    nothing = [Detections(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0)) for _ in found]
    assert coco_average_precision(nothing, truth, CLASSES)["ap"] == 0
    assert set(voc_average_precision(nothing, truth, CLASSES).values()) == {0.0}
    for measure in (coco_average_precision, voc_average_precision):
        with pytest.raises(ValueError, match="6 pictures with detections, 7 with objects"):
            measure(found[1:], truth, CLASSES)
    with pytest.raises(ValueError, match="gave no masks"):
        coco_average_precision(found, truth, CLASSES, "segm")
    with pytest.raises(ValueError, match="rule='points'"):
        voc_average_precision(found, truth, CLASSES, "points")
