"""Checkpoints under a failing disk: the old ones stay, damage is seen, nothing bad is written."""

from __future__ import annotations

import errno
import os
import random
import resource
from contextlib import contextmanager

import pytest
import torch
import torture_runs as runs

from salmask_plugin.cli.main import main
from salmask_plugin.lab.runs.checkpoints import (
    AtomicCheckpointIO,
    newest_checkpoint,
    remove_leftovers,
    remove_superseded,
)


def checkpoint(epoch, size=4096):
    weights = torch.randn(size, generator=torch.Generator().manual_seed(epoch))
    return {"epoch": epoch, "state_dict": {"weight": weights, "count": torch.tensor(epoch)}}


@pytest.fixture
def two(tmp_path):
    """A folder with two good checkpoints."""
    for epoch in (0, 1):
        AtomicCheckpointIO().save_checkpoint(checkpoint(epoch), tmp_path / f"epoch-000{epoch}.ckpt")
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_flipped_bit_is_seen(two, tried):
    """Most bytes are weights: torch itself loads them flipped and says nothing."""
    newest, sound = two / "epoch-0001.ckpt", (two / "epoch-0001.ckpt").read_bytes()
    draw = random.Random(1)
    places = [len(sound) // 2, *(draw.randrange(len(sound)) for _ in range(40))]
    silent = []
    for place in places:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << draw.randrange(8)
        newest.write_bytes(damaged)
        try:
            with pytest.warns(UserWarning, match="is damaged"):
                assert newest_checkpoint(two) == two / "epoch-0000.ckpt"
        except pytest.fail.Exception:
            silent.append(place)
    # A zip file has bytes without meaning (padding, dates); flipped there, the content must stay.
    for place in silent:
        damaged = bytearray(sound)
        damaged[place] ^= 1
        newest.write_bytes(damaged)
        read = AtomicCheckpointIO().load_checkpoint(newest)
        assert torch.equal(read["state_dict"]["weight"], checkpoint(1)["state_dict"]["weight"])
    assert len(sound) // 2 not in silent
    tried("checkpoint with a flipped bit", len(places))


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_cut_checkpoint_is_passed_over(two, tried):
    newest, sound = two / "epoch-0001.ckpt", (two / "epoch-0001.ckpt").read_bytes()
    lengths = [0, 1, 100, len(sound) // 2, len(sound) - 1]
    for length in lengths:
        newest.write_bytes(sound[:length])
        assert newest_checkpoint(two) == two / "epoch-0000.ckpt"
    tried("truncated checkpoint", len(lengths))


def test_loading_a_damaged_checkpoint_by_name_is_an_error(two, tried):
    newest = two / "epoch-0001.ckpt"
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 16
    newest.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"epoch-0001\.ckpt is damaged"):
        AtomicCheckpointIO().load_checkpoint(newest)
    tried("checkpoint with a flipped bit")


@contextmanager
def room_for(size):
    """The system refuses to write more than ``size`` bytes into any file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1000, 12_000, 17_000])
def test_a_disk_that_fills_up_leaves_the_old_checkpoints(two, size, tried):
    before = {name: (two / name).read_bytes() for name in names(two)}
    for target in ("epoch-0001.ckpt", "epoch-0002.ckpt"):
        with room_for(size), pytest.raises(OSError, match=f"{target} cannot be written"):
            AtomicCheckpointIO().save_checkpoint(checkpoint(2), two / target)
        assert {name: (two / name).read_bytes() for name in names(two)} == before
    tried("disk full while a checkpoint is written", 2)


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_last_moment(two, place, monkeypatch, tried):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = "os.fsync" if place == "fsync" else "pathlib.Path.replace"
    monkeypatch.setattr(target, fail)
    before = {name: (two / name).read_bytes() for name in names(two)}
    with pytest.raises(OSError, match=r"epoch-0001\.ckpt cannot be written.*No space left"):
        AtomicCheckpointIO().save_checkpoint(checkpoint(7), two / "epoch-0001.ckpt")
    monkeypatch.undo()
    assert {name: (two / name).read_bytes() for name in names(two)} == before
    tried("disk full while a checkpoint is written")


def test_a_write_that_the_disk_garbles_never_takes_the_place_of_the_old(two, monkeypatch, tried):
    """Read back before it counts: here the disk has swapped a byte without an error."""
    save = torch.save

    def garbled(content, file):
        save(content, file)
        file.seek(file.tell() // 2)
        file.write(b"garbled!")

    monkeypatch.setattr(torch, "save", garbled)
    before = (two / "epoch-0001.ckpt").read_bytes()
    with pytest.raises(OSError, match=r"epoch-0001\.ckpt cannot be written.*read back"):
        AtomicCheckpointIO().save_checkpoint(checkpoint(7), two / "epoch-0001.ckpt")
    assert (two / "epoch-0001.ckpt").read_bytes() == before
    assert names(two) == ["epoch-0000.ckpt", "epoch-0001.ckpt"]
    tried("checkpoint garbled while written")


def test_the_rests_of_killed_writes_are_removed(two, tried):
    (two / ".epoch-0002.ckpt.x1y2.part").write_bytes(b"half")
    (two / "mine.part").write_bytes(b"not ours")
    remove_leftovers(two)
    assert names(two) == ["epoch-0000.ckpt", "epoch-0001.ckpt", "mine.part"]
    remove_leftovers(two / "absent")
    tried("rest of a killed write")


def test_what_a_kill_between_save_and_removal_leaves_is_removed(two, tried):
    for name in ("epoch-0002.ckpt", "epoch-0003.ckpt"):
        AtomicCheckpointIO().save_checkpoint(checkpoint(7), two / name)
    (two / "epoch-0003.ckpt").write_bytes(b"damaged")
    remove_superseded(None, keep=1)
    assert len(names(two)) == 4
    remove_superseded(two / "epoch-0002.ckpt", keep=2)
    assert names(two) == ["epoch-0001.ckpt", "epoch-0002.ckpt", "epoch-0003.ckpt"]
    remove_superseded(two / "epoch-0002.ckpt", keep=7)
    assert len(names(two)) == 3
    tried("rest of a kill between save and removal")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(two, value, tried):
    """A gradient can overflow in the very step before a checkpoint, with its loss still finite."""
    bad = checkpoint(2)
    bad["state_dict"]["weight"][3] = value
    with pytest.raises(FloatingPointError, match=r"'weight'.*not finite"):
        AtomicCheckpointIO().save_checkpoint(bad, two / "epoch-0002.ckpt")
    assert names(two) == ["epoch-0000.ckpt", "epoch-0001.ckpt"]
    tried("weights that are not finite at a checkpoint")


def test_no_more_stay_than_asked_for_after_a_resume(tmp_path):
    """Lightning never removes the checkpoint that it was resumed from."""
    given = [*runs.TINY, "trainer.max_epochs=3", f"out={tmp_path}", "name=run"]
    folder = tmp_path / "run" / "checkpoints"
    assert main(["pretrain", *given, "checkpoints.keep=3"]) == 0
    assert names(folder) == ["epoch-0000.ckpt", "epoch-0001.ckpt", "epoch-0002.ckpt"]
    (tmp_path / "run" / "record.json").unlink()
    (folder / "epoch-0002.ckpt").unlink()
    assert main(["pretrain", *given, "checkpoints.keep=1"]) == 0
    assert names(folder) == ["epoch-0002.ckpt"]
