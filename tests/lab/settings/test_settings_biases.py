"""The bias of hard negatives goes by all negatives that a query meets."""

import math

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.compose import compose_settings

SIMCLR = ["data=generated", "method=simclr_quick", "batch_size=32"]


@pytest.mark.parametrize(
    ("trainer", "images"),
    [
        ([], 32),
        (["devices=4"], 128),
        (["devices='4'"], 128),
        (["devices=[0,2]"], 64),
        (["devices=2", "trainer.num_nodes=3"], 192),
        (["trainer.accumulate_grad_batches=2"], 32),  # each batch is contrasted by itself
    ],
)
def test_negatives_of_all_processes_count(trainer, images):
    settings = compose_settings([*SIMCLR, *trainer])
    bias = settings.values["method"]["hard_negative_bias"]
    assert bias == pytest.approx(math.log((2 * images - 2) / 65536))


def test_a_queue_is_shared():
    given = ["data=generated", "method=mocov2_quick", "method.queue_size=4096", "devices=4"]
    bias = compose_settings(given).values["method"]["hard_negative_bias"]
    assert bias == pytest.approx(math.log(4096 / 65536))


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("devices=auto", "trainer.devices=auto leaves open how many processes"),
        ("devices=-1", "trainer.devices=-1 leaves open how many processes"),
        ("batch_size=1", "loader.batch_size=1 must be at least 2"),
    ],
)
def test_what_leaves_the_negatives_open_is_refused(typed, words):
    with pytest.raises(UserError, match=f"^{words}") as refused:
        compose_settings([*SIMCLR, typed])
    assert "full_key" not in str(refused.value)
    assert compose_settings([*SIMCLR, typed, "method.hard_negative_bias=-6"])
