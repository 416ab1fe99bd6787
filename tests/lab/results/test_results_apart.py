"""A measurement's files leave those of another one standing."""

import pytest

from salmask_plugin.lab.results.apart import apart_from_others, measurement_json
from salmask_plugin.lab.results.environment import environment
from salmask_plugin.lab.results.late_pictures import files_written


def write(path, protocol, rows=()):
    target = apart_from_others(path, protocol)
    files_written(target, {"json": lambda: measurement_json(protocol, rows).encode()})
    return target.name


def test_the_same_measurement_takes_its_own_place_and_another_the_next(tmp_path):
    first = {"images": 3, "overrides": ["seed=1"], "size": (4, 7), "environment": environment()}
    path = tmp_path / "found.v1"
    assert write(path, first) == "found.v1"
    assert write(path, first | {"images": 4}) == "found.v1-2"
    assert write(path, first | {"images": 5}) == "found.v1-3"
    assert write(path, first | {"images": 4}, rows=[1.5]) == "found.v1-2"
    # Measured elsewhere, it is the same measurement.
    assert write(path, first | {"environment": environment(("a GPU",))}) == "found.v1"
    assert {file.name for file in tmp_path.iterdir()} == {
        "found.v1.json",
        "found.v1-2.json",
        "found.v1-3.json",
    }


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}", '{"protocol": 3}'])
def test_what_is_no_measurement_stands_too(tmp_path, content):
    file = tmp_path / "found.json"
    file.write_text(content)
    assert write(tmp_path / "found", {}) == "found-2"
    assert file.read_text() == content
