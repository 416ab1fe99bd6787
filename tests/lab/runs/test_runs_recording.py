"""Numbers of a record that are put together from several settings."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl

from salmask_plugin.lab.runs.progress import progress_of
from salmask_plugin.lab.runs.recording import images_per_step
from salmask_plugin.lab.settings.processes import asked_processes


@pytest.mark.parametrize(
    ("processes", "trainer", "expected"),
    [
        (1, {}, 8),
        (6, {"devices": 2, "num_nodes": 3}, 48),
        (4, {"devices": "auto", "num_nodes": 1}, 32),
        (4, {"devices": -1, "num_nodes": 1}, 32),
        (2, {"devices": [0, 1], "num_nodes": 1}, 16),
        (2, {"devices": 2, "num_nodes": 1, "accumulate_grad_batches": 4}, 64),
        (1, {"devices": 1, "num_nodes": 1, "accumulate_grad_batches": None}, 8),
    ],
)
def test_the_batch_of_a_record_is_that_of_an_optimizer_step(processes, trainer, expected):
    assert images_per_step(8, processes, trainer) == expected


@pytest.mark.parametrize("devices", [-1, "auto", [0, 1, 2], "3", 3])
def test_processes_are_counted_where_they_ran(devices):
    """Not where they are asked for: "all there are" is no number."""
    epochs = SimpleNamespace(current=SimpleNamespace(processed=2))
    batches = SimpleNamespace(total=SimpleNamespace(processed=8))
    trainer = SimpleNamespace(
        world_size=3,
        global_step=8,
        max_steps=-1,
        num_training_batches=4,
        train_dataloader=range(4),
        lightning_module=SimpleNamespace(automatic_optimization=True),
        fit_loop=SimpleNamespace(
            epoch_progress=epochs, epoch_loop=SimpleNamespace(batch_progress=batches)
        ),
    )
    found = progress_of(trainer, {"max_epochs": 2, "devices": devices, "num_nodes": 1}, 5)
    assert (found.processes, found.images, found.status) == (3, 8 * 5 * 3, "finished")


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("devices", [1, 2, "2", " 2 "])
def test_what_is_asked_for_is_what_lightning_reads(devices, nodes):
    made = pl.Trainer(
        accelerator="cpu", devices=devices, num_nodes=nodes, logger=False, strategy="ddp"
    )
    asked = asked_processes({"devices": devices, "num_nodes": nodes})
    assert asked == made.num_devices * made.num_nodes


@pytest.mark.parametrize(
    ("devices", "expected"),
    [([3], 1), ([0, 3], 2), ("0,3", 2), ("1,", 1), ("auto", None), (-1, None), ("-1", None)],
)
def test_lists_are_counted_and_all_is_no_number(devices, expected):
    assert asked_processes({"devices": devices, "num_nodes": 1}) == expected
