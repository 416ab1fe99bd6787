"""The benchmark runs, and every path makes two views of the same number of images."""

from input_path import measure


def test_all_paths_are_measured():
    found = measure(size=24, images=12, batch=4, workers=[0], device="cpu", rounds=2)
    assert list(found) == ["host, 0 workers", "device (cpu)"]
    assert all(len(rates) == 2 and min(rates) > 0 for rates in found.values())
