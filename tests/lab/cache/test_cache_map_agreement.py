"""Agreement of two maps, against counting cell by cell."""

import pytest
import torch

from salmask_plugin.lab.cache.map_agreement import measure_agreement


def cells_of(saliency, tolerance):
    threshold = saliency.mean() - tolerance * saliency.std(correction=0)
    return {
        (y, x)
        for y in range(saliency.shape[0])
        for x in range(saliency.shape[1])
        if saliency[y, x] >= threshold
    }


@pytest.mark.parametrize("tolerance", [0.0, 0.6])
def test_values_are_those_of_sets_of_cells(tolerance):
    torch.manual_seed(0)
    cached, online = torch.rand(5, 4, 6), torch.rand(5, 4, 6)
    objects = torch.rand(5, 1, 8, 18) > 0.6
    found = measure_agreement(cached, online, objects, tolerance=tolerance)
    for b in range(5):
        mine, theirs = cells_of(cached[b], tolerance), cells_of(online[b], tolerance)
        other = cells_of(cached[b - 1], tolerance)
        assert found["iou"][b] == pytest.approx(len(mine & theirs) / len(mine | theirs))
        assert found["iou_other"][b] == pytest.approx(len(other & theirs) / len(other | theirs))
        assert found["gamma_cached"][b] == pytest.approx(len(mine) / 24)
        difference = (len(mine) - len(theirs)) / 24
        assert found["gamma_difference"][b] == pytest.approx(difference)
        pixels = {(y, x) for y in range(8) for x in range(18) if objects[b, 0, y, x]}
        for name, cells in (("cached", mine), ("online", theirs)):
            enlarged = {(y, x) for y in range(8) for x in range(18) if (y // 2, x // 3) in cells}
            expected = len(enlarged & pixels) / len(enlarged | pixels)
            assert found[f"object_{name}"][b] == pytest.approx(expected)


def test_the_same_maps_agree_and_shapes_must():
    maps = torch.rand(3, 4, 5)
    assert (measure_agreement(maps, maps * 3 + 1)["iou"] == 1).all()
    for other in (maps[:, :3], maps[:2]):
        with pytest.raises(ValueError, match="same shape"):
            measure_agreement(maps, other)
    with pytest.raises(ValueError, match="B at least 2"):
        measure_agreement(maps[:1], maps[:1])
