"""`salmask pretrain masking=sparse`: trained, recorded, and gone on with to the same weights."""

import os
import subprocess
import sys

import pytest
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint

TINY = [
    "data=generated",
    "data.train_images=16",
    "data.val_images=8",
    "data.size=32",
    "backbone=small",
    "backbone.widths=[4,4,4,8]",
    "masking=sparse",
    "localizer=uniform",
    "localizer.grid=[4,4]",
    "method.queue_size=16",
    "method.split_batch_size=4",
    "method.projection_dim=8",
    "view_size=32",
    "batch_size=8",
    "workers=0",
    "trainer.accelerator=cpu",
    "epochs=2",
]


def test_a_run_whose_masked_places_are_not_seen_is_resumed_exactly(tmp_path):
    """The last epoch is taken away, and trained again by the same command."""
    command = ["pretrain", *TINY, f"out={tmp_path}", "name=run"]
    check_resume(lambda: main(command), tmp_path / "run")


@pytest.mark.slow
def test_two_processes_resume_exactly(tmp_path):
    """Over gloo; each process has its own masks, and BatchNorm its own visible places."""
    two = ["batch_size=4", "trainer.devices=2", "trainer.strategy=ddp", "name=run"]
    line = [sys.executable, "-m", "salmask_plugin.cli", "pretrain", *TINY, *two, f"out={tmp_path}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    check_resume(lambda: subprocess.run(line, env=environment).returncode, tmp_path / "run")


def check_resume(pretrain, folder):
    assert pretrain() == 0
    record = read_record(folder)
    assert (record.status, record.recipe, record.branch) == ("finished", "sparse", "query")
    assert record.config["masking"]["query"]["fill"]["_target_"] == "salmask_plugin.UnseenFill"
    assert all(0.05 <= share <= 0.3 for share in record.history["mask_ratio"])
    last = newest_checkpoint(folder / "checkpoints")
    straight = torch.load(last, weights_only=True)["state_dict"]
    last.unlink()
    (folder / "record.json").unlink()
    assert pretrain() == 0
    again = torch.load(newest_checkpoint(folder / "checkpoints"), weights_only=True)["state_dict"]
    assert straight.keys() == again.keys()
    assert all(torch.equal(straight[name], again[name]) for name in straight)
    assert read_record(folder).history == record.history
