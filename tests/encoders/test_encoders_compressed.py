"""Checkpoints are as large in memory as on the disk."""

import zipfile

import pytest
import torch

from salmask_plugin.encoders import load_backbone
from salmask_plugin.encoders.checkpoint_files import damage, newest_checkpoint, read_checkpoint
from salmask_plugin.localizers.weights import check_stored, read_weights


def packed(source, target, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return target


@pytest.fixture
def files(tmp_path):
    """(as torch writes it, the same compressed)."""
    whole = tmp_path / "epoch-0001.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(200_000)}}, whole)
    return whole, packed(whole, tmp_path / "epoch-0002.ckpt")


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_compressed_entries_are_refused_unread(files):
    whole, small = files
    assert small.stat().st_size < whole.stat().st_size / 100
    assert damage(whole) is None
    assert "compressed entries" in damage(small)
    assert newest_checkpoint(whole.parent) == whole
    for read in (read_checkpoint, read_weights, load_backbone):
        with pytest.raises(ValueError, match="compressed entries"):
            read(small)


def test_entries_that_share_their_bytes_are_refused(files, tmp_path):
    """One megabyte named a thousand times, uncompressed."""
    whole, _ = files
    target = tmp_path / "shared.pt"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a", bytes(1000))
        (entry,) = archive.infolist()
        archive.filelist += [entry] * 20
    with pytest.raises(ValueError, match="claims to hold 21000"):
        check_stored(target)
    check_stored(packed(whole, tmp_path / "stored.pt", zipfile.ZIP_STORED))
    (tmp_path / "none.pt").write_bytes(b"no archive")
    check_stored(tmp_path / "none.pt")
