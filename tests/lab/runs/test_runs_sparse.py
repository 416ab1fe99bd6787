"""`salmask pretrain masking=sparse`: trained, recorded, and gone on with to the same weights."""

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
    folder = tmp_path / "run"
    command = ["pretrain", *TINY, f"out={tmp_path}", "name=run"]
    assert main(command) == 0
    record = read_record(folder)
    assert (record.status, record.recipe, record.branch) == ("finished", "sparse", "query")
    assert record.config["masking"]["query"]["fill"]["_target_"] == "salmask_plugin.UnseenFill"
    assert all(0.05 <= share <= 0.3 for share in record.history["mask_ratio"])
    last = newest_checkpoint(folder / "checkpoints")
    straight = torch.load(last, weights_only=True)["state_dict"]
    last.unlink()
    (folder / "record.json").unlink()
    assert main(command) == 0
    again = torch.load(newest_checkpoint(folder / "checkpoints"), weights_only=True)["state_dict"]
    assert straight.keys() == again.keys()
    assert all(torch.equal(straight[name], again[name]) for name in straight)
    assert read_record(folder).history == record.history
