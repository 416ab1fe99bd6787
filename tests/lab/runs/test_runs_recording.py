"""Numbers of a record that are put together from several settings."""

import pytest

from salmask_plugin.lab.runs.recording import images_per_step


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"devices": 1, "num_nodes": 1}, 8),
        ({"devices": 2, "num_nodes": 3}, 48),
        ({"devices": "auto", "num_nodes": 1}, 8),
        ({"devices": 2, "num_nodes": 1, "accumulate_grad_batches": 4}, 64),
        ({"devices": 1, "num_nodes": 1, "accumulate_grad_batches": None}, 8),
    ],
)
def test_the_batch_of_a_record_is_that_of_an_optimizer_step(trainer, expected):
    assert images_per_step(8, trainer) == expected
