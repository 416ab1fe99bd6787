"""Overlaps exactly at a threshold and recalls exactly at a point, where one sign decides."""

from fractions import Fraction

import numpy as np
import pytest

from salmask_plugin.lab.downstream.detection import Detections, voc_average_precision
from salmask_plugin.lab.downstream.detection.instances import Instances
from salmask_plugin.lab.downstream.detection.voc_ap import THRESHOLDS


def objects(boxes):
    count = len(boxes)
    known = np.ones(count, bool)
    boxes = np.array(boxes, float)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return Instances(boxes, np.zeros(count, int), ~known, known, areas, None, (2000, 100), "a")


def detections(boxes):
    scores = 1 - np.arange(len(boxes)) / 100
    return Detections(np.array(boxes, float), np.zeros(len(boxes), int), scores)


@pytest.mark.parametrize("limit", THRESHOLDS)
def test_an_overlap_of_exactly_the_threshold_is_no_hit(limit):
    """The definition: it must exceed it."""
    truth = [objects([[0, 0, 100, 100]])]
    width = round(100 * limit)
    assert Fraction(width, 100) == Fraction(str(limit))
    exact = voc_average_precision([detections([[0, 0, width, 100]])], truth, 1, "area")
    assert exact == {other: float(other < limit) for other in THRESHOLDS}
    above = voc_average_precision([detections([[0, 0, width + 0.01, 100]])], truth, 1, "area")
    assert above[limit] == 1


@pytest.mark.parametrize("total", [10, 30, 70])
def test_a_recall_that_is_a_tenth_counts_there(total):
    """With perfect detections of k in n objects, the points are those of the fraction k / n."""
    boxes = [[20 * place, 0, 20 * place + 10, 10] for place in range(total)]
    truth = [objects(boxes)]
    for found in range(1, total + 1):
        points = sum(Fraction(found, total) >= Fraction(point, 10) for point in range(11))
        values = voc_average_precision([detections(boxes[:found])], truth, 1, "11-point", [0.5])
        assert values[0.5] == pytest.approx(points / 11), (found, total)
