"""Which checkpoints are written, which one counts, and what stops a write."""

import errno
import json
import os
import signal

import pytest
import torch
from small_training import train

from salmask_plugin.encoders.checkpoint_files import checkpoints_in, final_checkpoint
from salmask_plugin.lab.probes.transfer import run_of
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.runs.checkpoints import (
    AtomicCheckpointIO,
    newest_checkpoint,
    remove_superseded,
)


def names(folder):
    return [path.name for path in checkpoints_in(folder)]


@pytest.mark.parametrize(
    ("every", "epochs", "expected"),
    [(1, 3, (0, 1, 2)), (2, 3, (1, 2)), (5, 3, (2,)), (3, 3, (2,)), (2, 5, (1, 3, 4))],
)
def test_the_last_epoch_is_always_saved(tmp_path, every, epochs, expected):
    made = train(tmp_path, every_n_epochs=every, max_epochs=epochs)
    assert names(tmp_path) == [f"epoch-{epoch:04d}.ckpt" for epoch in expected]
    last = torch.load(newest_checkpoint(tmp_path), weights_only=True)
    assert torch.equal(last["state_dict"]["weight"], made.lightning_module.weight.data)


def test_the_epoch_that_a_limit_ends_in_is_saved(tmp_path):
    train(tmp_path, every_n_epochs=4, max_epochs=9, max_steps=6)
    assert names(tmp_path) == ["epoch-0001.ckpt"]


def test_a_resume_saves_the_last_epoch_too(tmp_path):
    whole = train(tmp_path, every_n_epochs=3, max_epochs=5)
    assert names(tmp_path) == ["epoch-0002.ckpt", "epoch-0004.ckpt"]
    (tmp_path / "epoch-0004.ckpt").unlink()
    start = tmp_path / "epoch-0002.ckpt"
    resumed = train(tmp_path, every_n_epochs=3, max_epochs=5, ckpt_path=start)
    assert names(tmp_path) == ["epoch-0002.ckpt", "epoch-0004.ckpt"]
    assert torch.equal(resumed.lightning_module.weight, whole.lightning_module.weight)


def test_a_damaged_checkpoint_is_written_anew_under_its_name(tmp_path):
    train(tmp_path)
    (tmp_path / "epoch-0002.ckpt").write_bytes(b"damaged")
    train(tmp_path, ckpt_path=tmp_path / "epoch-0001.ckpt")
    assert names(tmp_path) == ["epoch-0000.ckpt", "epoch-0001.ckpt", "epoch-0002.ckpt"]
    assert newest_checkpoint(tmp_path).name == "epoch-0002.ckpt"


def save(folder, *epochs):
    for epoch in epochs:
        content = {"epoch": epoch, "state_dict": {"weight": torch.tensor(float(epoch))}}
        AtomicCheckpointIO().save_checkpoint(content, folder / f"epoch-{epoch:04d}.ckpt")


def test_epochs_are_ordered_by_number_beyond_four_digits(tmp_path):
    save(tmp_path, 9998, 9999, 10000, 99999, 100000)
    assert newest_checkpoint(tmp_path).name == "epoch-100000.ckpt"
    remove_superseded(newest_checkpoint(tmp_path), keep=3)
    assert names(tmp_path) == ["epoch-10000.ckpt", "epoch-99999.ckpt", "epoch-100000.ckpt"]


def test_other_files_are_no_checkpoints_of_ours(tmp_path):
    save(tmp_path, 1)
    for name in ("epoch-x.ckpt", "hpc_ckpt_7.ckpt", "epoch-0002.ckpt.bak", "epoch-٣.ckpt"):
        (tmp_path / name).write_bytes(b"?")
    assert names(tmp_path) == ["epoch-0001.ckpt"]
    # Earlier versions of this package left these when a damaged file stood in their place.
    (tmp_path / "epoch-0001-v1.ckpt").write_bytes(b"?")
    assert names(tmp_path) == ["epoch-0001.ckpt", "epoch-0001-v1.ckpt"]


@pytest.fixture
def run(tmp_path):
    """A run of three epochs, as far as its last checkpoint matters."""
    (tmp_path / "checkpoints").mkdir()
    save(tmp_path / "checkpoints", 1, 2)
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "record.json").write_text(json.dumps({"epochs": 3}))
    return tmp_path


def test_the_record_s_weights_are_taken_or_none(run):
    last = run / "checkpoints" / "epoch-0002.ckpt"
    assert final_checkpoint(run) == last
    sound = last.read_bytes()
    last.write_bytes(sound[:-100])
    with pytest.raises(ValueError, match=r"epoch-0002\.ckpt is damaged.*The one before it is"):
        final_checkpoint(run)
    last.unlink()
    with pytest.raises(ValueError, match=r"after epoch 3, but the newest.*after epoch 2"):
        final_checkpoint(run)
    (run / "checkpoints" / "epoch-0001.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match="no readable checkpoint"):
        final_checkpoint(run)


def test_a_run_that_has_not_ended_gives_what_it_has(run):
    (run / "record.json").unlink()
    (run / "checkpoints" / "epoch-0002.ckpt").write_bytes(b"?")
    with pytest.warns(UserWarning, match="is damaged"):
        assert final_checkpoint(run) == run / "checkpoints" / "epoch-0001.ckpt"


def test_an_earlier_checkpoint_is_not_the_run(run):
    """Its results are those of another encoder, and stay out of the run's record."""
    assert run_of(run) == run
    assert run_of(run / "checkpoints" / "epoch-0002.ckpt") == run
    assert run_of(run / "checkpoints" / "epoch-0001.ckpt") is None


def interrupted(at):
    """torch's own writer, whose file raises what Ctrl-C raises in its n-th write."""
    save_ = torch.save

    def saved(content, file):
        class File:
            count = 0

            def write(self, data):
                File.count += 1
                if File.count == at:
                    signal.raise_signal(signal.SIGINT)
                return file.write(data)

            def __getattr__(self, name):
                return getattr(file, name)

        # A shell's background jobs start with the signal ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            save_(content, File())
        finally:
            signal.signal(signal.SIGINT, before)

    return saved


@pytest.mark.parametrize("at", [1, 2, 4])
def test_an_interrupt_while_a_checkpoint_is_written_is_an_interrupt(tmp_path, monkeypatch, at):
    monkeypatch.setattr(torch, "save", interrupted(at))
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 3)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_a_checkpoint_is_read_back_is_an_interrupt(tmp_path, monkeypatch):
    def load(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("unexpected pos") from error

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 3)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_called_full(tmp_path, monkeypatch):
    """torch's writer says "unexpected pos 64 vs 0" in the system's place."""
    save_ = torch.save

    def saved(content, file):
        class Full:
            count = 0

            def write(self, data):
                Full.count += 1
                if Full.count > 2:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return file.write(data)

            def __getattr__(self, name):
                return getattr(file, name)

        save_(content, Full())

    monkeypatch.setattr(torch, "save", saved)
    with pytest.raises(OSError, match=r"epoch-0003\.ckpt cannot be written: .*No space left"):
        save(tmp_path, 3)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def unflushable(monkeypatch):
    """A file system that knows no fsync, of folders or of anything."""

    def install(*, files):
        fsync = os.fsync

        def refuse(handle):
            if files or os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            fsync(handle)

        monkeypatch.setattr(os, "fsync", refuse)

    return install


@pytest.mark.filterwarnings("default:.*flush")
@pytest.mark.parametrize("files", [False, True])
def test_a_file_system_without_fsync_is_said_and_no_obstacle(tmp_path, unflushable, files):
    unflushable(files=files)
    with pytest.warns(UserWarning, match="flush"):
        save(tmp_path, 0, 1)
    assert names(tmp_path) == ["epoch-0000.ckpt", "epoch-0001.ckpt"]
    assert newest_checkpoint(tmp_path).name == "epoch-0001.ckpt"


@pytest.mark.filterwarnings("default:.*flush")
def test_a_record_is_written_where_nothing_can_be_flushed(tmp_path, unflushable):
    unflushable(files=True)
    with pytest.warns(UserWarning, match="does not flush"):
        write_atomically(tmp_path / "record.json", b"{}")
    assert (tmp_path / "record.json").read_bytes() == b"{}"
