"""Runs whose views are made on the device: exact resumes, every method, records and refusals."""

import json

import pytest
import torch

from salmask_plugin.adapters.lightly import MaskedMoCoV2
from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.build import PretrainData, build_data, build_masking, build_splits
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint
from salmask_plugin.lab.runs.folder import SETTINGS_NAME, keep_settings
from salmask_plugin.lab.settings.compose import compose_settings

TINY = [
    "experiment=plumbing",
    "localizer=uniform",
    "masking=mean",
    "data.train_images=32",
    "data.val_images=8",
    "data.classes=4",
    "data.size=40",
    "view_size=32",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "loader.batch_size=16",
    "loader.workers=0",
    "loader.input=device",
    "method.queue_size=32",
    "method.split_batch_size=8",
]


def weights(folder):
    checkpoint = torch.load(newest_checkpoint(folder / "checkpoints"), weights_only=True)
    return checkpoint["state_dict"]


def test_a_resumed_run_has_the_weights_of_an_unbroken_one(tmp_path, monkeypatch):
    """Killed in its second epoch and continued, with pictures decoded anew instead of kept."""
    resized = [*TINY, "loader.decode_size=36"]
    assert main(["pretrain", *resized, f"out={tmp_path}", "name=straight"]) == 0
    step = MaskedMoCoV2.training_step

    def dying(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 1:
            raise RuntimeError("the machine is gone")
        return step(self, batch, batch_idx)

    broken = [*resized, f"out={tmp_path}", "name=broken"]
    with monkeypatch.context() as patched:
        patched.setattr(MaskedMoCoV2, "training_step", dying)
        with pytest.raises(RuntimeError, match="machine is gone"):
            main(["pretrain", "--debug", *broken])
    assert newest_checkpoint(tmp_path / "broken" / "checkpoints").name == "epoch-0000.ckpt"
    assert main(["pretrain", *broken, "loader.keep=false"]) == 0
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "broken")
    assert straight.keys() == resumed.keys()
    assert [key for key in straight if not torch.equal(straight[key], resumed[key])] == []
    record = read_record(tmp_path / "straight")
    assert record.config["loader"]["input"] == "device"
    assert any("made there, from pictures resized to 36x36 px" in note for note in record.notes)
    assert main(["pretrain", *TINY, f"out={tmp_path}", "name=straight"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr_quick", "adios_s_simclr_quick", "adios_s_mocov2_quick"])
def test_other_methods_take_the_same_batches(tmp_path, method):
    lines = [line for line in TINY if not line.startswith(("method.", "masking=", "localizer="))]
    overrides = [f"method={method}", "masking=none", "trainer.max_epochs=1", f"out={tmp_path}"]
    small = ["method.queue_size=32", "method.split_batch_size=8"] if "moco" in method else []
    assert main(["pretrain", *lines, *overrides, *small, "name=run"]) == 0
    assert len(read_record(tmp_path / "run").history["loss"]) == 1


def test_a_batch_is_completed_once_it_is_on_the_device():
    settings = compose_settings(TINY)
    splits = build_splits(settings)
    data = PretrainData(build_data(settings, splits, build_masking(settings)))
    batch = next(iter(build_data(settings, splits, None).train_loader()))
    views, labels, indices = data.on_after_batch_transfer(batch, 0)
    assert [view.shape for view in views] == [(16, 3, 32, 32)] * 2
    assert labels.tolist() == [splits.train.labels[index] for index in indices.tolist()]
    assert data.on_after_batch_transfer((views, labels), 0) == (views, labels)


def test_changed_views_are_followed():
    settings = compose_settings([*TINY, "+views.cj_strength=0.5", "+views.hf_prob=0.0"])
    recipe = build_data(settings, build_splits(settings), None).views.recipe
    assert recipe.brightness == (0.8, 1.2)
    assert recipe.flip_probability == 0


def test_a_run_from_before_the_choice_was_made_on_the_host(tmp_path):
    host = compose_settings([*TINY, "loader.input=host"])
    keep_settings(tmp_path, host)
    kept = json.loads((tmp_path / SETTINGS_NAME).read_text())
    for key in ("input", "decode_size", "keep"):
        del kept["values"]["loader"][key]
    (tmp_path / SETTINGS_NAME).write_text(json.dumps(kept))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").touch()
    keep_settings(tmp_path, host)
    with pytest.raises(UserError, match=r"loader\.input: host there, device here"):
        keep_settings(tmp_path, compose_settings(TINY))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["loader.input=gpu"], ["loader.input='gpu'", "host, device"]),
        (["loader.input=host", "loader.decode_size=64"], ["decode_size=64", "input=device"]),
        (["loader.keep=false"], ["loader.keep=false", "loader.decode_size"]),
        (["+views.rr_prob=0.5"], ["RandomRotate", "loader.input=host"]),
        (["loader.decode_size=0"], ["decode_size=0"]),
    ],
)
def test_what_cannot_work_is_named(overrides, words, tmp_path, capsys):
    assert main(["pretrain", *TINY, *overrides, f"out={tmp_path}"]) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
