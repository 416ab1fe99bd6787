"""Status, epochs and steps of a record are what ran, and whatever ended it early is said."""

import re
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from small_training import train

from salmask_plugin.cli.main import main
from salmask_plugin.lab.downstream.folders import on_one_device
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.results.grouping import group
from salmask_plugin.lab.runs.checkpoints import checkpoints_in
from salmask_plugin.lab.runs.history import History
from salmask_plugin.lab.runs.progress import progress_of

TINY = [
    "experiment=plumbing",
    "backbone=resnet18",
    "localizer=uniform",
    "masking=mean",
    "data.train_images=16",
    "data.val_images=8",
    "data.classes=2",
    "view_size=32",
    "loader.batch_size=8",
    "loader.workers=0",
    "method.queue_size=16",
    "method.split_batch_size=4",
    "evaluation.tasks=[knn]",
    "evaluation.knn.k=3",
]


class Stop(pl.Callback):
    """Ends the training in a batch, as Lightning's timer does."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = trainer.global_step == 6


@pytest.mark.parametrize(
    ("given", "ran", "words"),
    [
        ({}, ("finished", 3, 12), None),
        ({"max_steps": 12}, ("finished", 3, 12), None),
        ({"max_steps": 6}, ("stopped", 2, 6), "ended by trainer.max_steps=6 after 6 steps, in epo"),
        ({"max_steps": 8}, ("stopped", 2, 8), "in epoch 2 of 3"),
        ({"limit_train_batches": 3}, ("finished", 3, 9), "every epoch had 3 of its 4 batches (tr"),
        ({"overfit_batches": 1}, ("finished", 3, 3), "trainer.overfit_batches=1"),
        ({"accumulate_grad_batches": 2}, ("finished", 3, 6), None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*overfit")
def test_what_ran_is_counted(tmp_path, given, ran, words):
    made = train(tmp_path, **given)
    found = progress_of(made, {"max_epochs": 3, **given}, 2)
    assert (found.status, found.epochs, found.steps) == ran
    assert found.images == 2 * found.steps * given.get("accumulate_grad_batches", 1)
    assert len(found.said) == (words is not None)
    assert words is None or words in found.said[0]
    assert len(checkpoints_in(tmp_path)) == found.epochs


def test_what_ends_a_training_otherwise_is_said_too(tmp_path):
    made = train(tmp_path, callbacks=[Stop()])
    found = progress_of(made, {"max_epochs": 3}, 2)
    assert (found.status, found.epochs, found.steps) == ("stopped", 2, 6)
    assert found.said == ("ended by the trainer after 6 steps, in epoch 2 of 3",)
    found = progress_of(made, {"max_epochs": 3, "max_time": "00:08:00:00"}, 2)
    assert found.said[0].startswith("ended by trainer.max_time=00:08:00:00 after 6 steps")


def test_a_resumed_run_counts_from_its_beginning(tmp_path):
    train(tmp_path)
    resumed = train(tmp_path, ckpt_path=tmp_path / "epoch-0000.ckpt")
    found = progress_of(resumed, {"max_epochs": 3}, 2)
    assert (found.status, found.epochs, found.steps, found.images) == ("finished", 3, 12, 24)
    # Killed between its last checkpoint and the record, it has nothing left to do.
    done = train(tmp_path, ckpt_path=tmp_path / "epoch-0002.ckpt")
    assert progress_of(done, {"max_epochs": 3}, 2) == found


def test_a_run_ended_by_its_steps_is_recorded_as_it_ran(tmp_path, capsys):
    command = [*TINY, f"out={tmp_path}", "name=run", "trainer.max_epochs=9", "+trainer.max_steps=3"]
    assert main(["pretrain", "--evaluate", *command]) == 0
    assert "ended by trainer.max_steps=3 after 3 steps, in epoch 2 of 9" in capsys.readouterr().out
    record = read_record(tmp_path / "run")
    assert (record.status, record.epochs, record.steps) == ("stopped", 2, 3)
    assert len(record.history["loss"]) == 2
    assert record.warnings[0].startswith("ended by trainer.max_steps=3")
    images = record.timing.images_per_second * record.timing.pretrain_seconds
    assert images == pytest.approx(3 * 8)
    assert set(record.evaluations) == {"knn"}
    written = (tmp_path / "run" / "record.json").read_bytes()
    assert main(["pretrain", "--evaluate", *command]) == 0
    assert "has ended: ended by trainer.max_steps=3" in capsys.readouterr().out
    assert (tmp_path / "run" / "record.json").read_bytes() == written
    tables, notes = group([record])
    assert not tables
    assert notes == [f"Run {record.name} was stopped early and is in no mean."]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("+trainer.fast_dev_run=true", "fast_dev_run=True keeps no checkpoint"),
        ("+trainer.fast_dev_run=2", "fast_dev_run=2 keeps no checkpoint"),
        ("+trainer.max_steps=0", "max_steps=0 must be at least 1"),
        ("+trainer.limit_train_batches=0", "leaves nothing to train on"),
        ("trainer.max_epochs=-1", "max_epochs=-1 must be a whole number"),
        ("trainer.max_epochs=null", "max_epochs=null must be an integer"),
    ],
)
def test_what_would_leave_no_run_is_refused_at_the_start(tmp_path, capsys, given, words):
    assert main(["pretrain", *TINY, f"out={tmp_path / 'out'}", given]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_limits_of_the_pretraining_do_not_shorten_its_tasks():
    given = {"devices": 4, "max_steps": 3, "limit_train_batches": 0.5, "precision": "32-true"}
    assert on_one_device(given) == {
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "32-true",
    }


class SavesInTheMiddle(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 6:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/middle.ckpt")


def test_rounds_are_told_in_steps_and_kept_where_their_first_checkpoints_had_them(capsys):
    trainer = SimpleNamespace(callback_metrics={}, max_epochs=2, is_global_zero=True)
    history = History(["train_loss", "loss_mask"], round_steps=2)
    for epoch, losses in enumerate([(1.0, 2.0), (4.0, 6.0)]):
        trainer.current_epoch = epoch
        history.on_train_epoch_start(trainer, None)
        for step, loss in enumerate(losses):
            trainer.callback_metrics = {"train_loss": torch.tensor(loss), "other": loss}
            history.on_train_batch_end(trainer, None, None, None, step)
        history.on_train_epoch_end(trainer, None)
        if epoch == 0:  # a resume, from the file of a class that rounds once had to themselves
            kept = {"RoundHistory": history.state_dict()}
            history = History(["train_loss", "loss_mask"], round_steps=2)
            history.load_state_dict(kept[history.state_key])
    assert history.curves == {"loss": (1.5, 5.0)}
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("step 2/4  loss 1.500  ")
    assert last.startswith("step 4/4  loss 5.000  ")
    assert last.endswith("about 0 s left")
    assert History().state_key == "History"


@pytest.mark.filterwarnings("ignore:.*resuming from a checkpoint that ended before the epoch")
def test_no_duration_comes_from_a_clock_that_was_not_started(tmp_path):
    """Resumed within an epoch no epoch starts; the clock once showed the time since the boot."""
    train(tmp_path, callbacks=[SavesInTheMiddle()])
    history = History(quiet=True)
    started = time.perf_counter()
    train(tmp_path, callbacks=[history], ckpt_path=tmp_path / "middle.ckpt")
    assert timedelta(seconds=history.seconds) < timedelta(seconds=time.perf_counter() - started)


def test_a_number_stands_in_the_line_of_what_it_is_of(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = ["loss", "mask_ratio", "foreground_share", "similarity_positive", "similarity_hard"]
    trainer = SimpleNamespace(
        callback_metrics={}, max_epochs=2, is_global_zero=True, current_epoch=0
    )
    history = History([*names, "hard_negative_share"])
    history.on_train_epoch_start(trainer, None)
    trainer.callback_metrics = dict.fromkeys([*names, "hard_negative_share"], torch.tensor(0.5))
    history.on_train_batch_end(trainer, None, None, None, 0)
    monkeypatch.setattr("salmask_plugin.lab.runs.history.time.perf_counter", lambda: 1e9)
    history.on_train_epoch_end(trainer, None)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\N{NO-BREAK SPACE}" not in "".join(lines)
    words = [*(f"{name} 0.500" for name in names), "hard_negative_share 0.500"]
    assert all(any(word in line for line in lines) for word in words)
    assert re.search(r"\d h( \d+ min)?, about \d+ h( \d+ min)? left$", lines[-1])
