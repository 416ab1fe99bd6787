"""VOC's average precision where implementations part: recalls that hit a tenth, and tied scores."""

import itertools

import numpy as np
import pytest

from salmask_plugin.lab.downstream.detection import Detections, voc_average_precision
from salmask_plugin.lab.downstream.detection.instances import Instances

BOX = np.array([[0.0, 0, 10, 10]])
ELSEWHERE = BOX + 50


def one_object(name):
    none = np.zeros(1, bool)
    return Instances(BOX, np.zeros(1, int), none, ~none, np.full(1, 100.0), None, (100, 100), name)


def found(boxes, scores):
    boxes = np.concatenate(boxes) if boxes else np.zeros((0, 4))
    return Detections(boxes, np.zeros(len(boxes), int), np.array(scores, float))


@pytest.mark.parametrize("right", range(11))
def test_a_recall_of_exactly_a_tenth_reaches_its_point(right):
    """N of 10 objects found and nothing else: precision 1 at the points 0, 0.1, ... N/10.

    detectron2's points are multiples of a binary 0.1, of which the fourth lies above 3/10: it says
    3/11 = 0.273 where the definition says 4/11 = 0.364.
    """
    truth = [one_object(str(place)) for place in range(10)]
    boxes = [
        found([BOX], [0.9 - place / 20]) if place < right else found([], []) for place in range(10)
    ]
    value = voc_average_precision(boxes, truth, 1, thresholds=[0.5])[0.5]
    assert value == pytest.approx((right + 1) / 11 if right else 0)


@pytest.mark.parametrize(("rule", "expected"), [("11-point", 0.5), ("area", 0.5)])
def test_equal_scores_are_one_rank_in_any_order(rule, expected):
    """A right and a wrong detection of the same score: half of what is found there is right."""
    truth = [one_object("0"), one_object("1")]
    for first, second in itertools.permutations([[BOX, ELSEWHERE], [BOX, ELSEWHERE]]):
        parts = [found(first[::-1], [0.7, 0.7]), found(second, [0.7, 0.7])]
        for order in itertools.permutations(parts):
            value = voc_average_precision(order, truth, 1, rule, [0.5])[0.5]
            assert value == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["11-point", "area"])
def test_the_order_of_pictures_and_detections_does_not_matter(rule):
    rng = np.random.default_rng(3)
    truth = [one_object(str(place)) for place in range(12)]
    parts = [
        found([BOX + rng.normal(0, 1.2, 4), ELSEWHERE, BOX], rng.integers(1, 4, 3) / 4)
        for _ in truth
    ]
    values = []
    for _ in range(4):
        order = rng.permutation(len(truth))
        inner = rng.permutation(3)
        shuffled = [
            Detections(parts[i].boxes[inner], parts[i].labels, parts[i].scores[inner])
            for i in order
        ]
        values.append(voc_average_precision(shuffled, [truth[i] for i in order], 1, rule, [0.5]))
    assert all(value == pytest.approx(values[0]) for value in values)
    # The curve by its thresholds: at each score, all detections of that score or more at once.
    curve = []
    for score in (0.75, 0.5, 0.25):
        hits = [[iou(box) > 0.5 for box in part.boxes[part.scores >= score]] for part in parts]
        rights, all_of_them = sum(map(any, hits)), sum(map(len, hits))
        curve.append((rights / len(truth), rights / all_of_them))
    if rule == "11-point":
        points = [max([p for r, p in curve if 10 * r >= t - 1e-6], default=0) for t in range(11)]
        expected = sum(points) / 11
    else:
        recalls = [0, *(r for r, _ in curve)]
        best = [max(p for _, p in curve[place:]) for place in range(3)]
        expected = sum(p * (b - a) for a, b, p in zip(recalls, recalls[1:], best, strict=False))
    assert values[0][0.5] == pytest.approx(expected)


def iou(box):
    common = np.prod(np.clip(np.minimum(box[2:], 10) - np.maximum(box[:2], 0), 0, None))
    return common / (np.prod(box[2:] - box[:2]) + 100 - common)
