"""Bad files, vanished files and dead workers: named and counted, no hang, nothing made up."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
import zlib

import numpy as np
import pytest
import torch
import torch.multiprocessing as processes
import torture_runs as runs
from PIL import Image
from torch.utils.data import Dataset

from salmask_plugin.lab.data import (
    ImageFiles,
    ImageSplits,
    UnreadableImageError,
    read_image,
    worker_loader,
)
from salmask_plugin.lab.errors import RunStopped
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.stopping import stops_in_words
from salmask_plugin.lab.runs.unreadable import UnreadableFiles

SIZE = (23, 17)


def picture(path, value):
    noise = np.random.default_rng(value).integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(path)
    return path


def bomb(path):
    """A PNG of a few bytes that claims 60000 x 60000 pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def unreadable(folder):
    """One file of every kind that is no picture, in place of a good one's name."""
    cut = picture(folder / "cut.png", 1)
    cut.write_bytes(cut.read_bytes()[:300])
    damaged = picture(folder / "damaged.png", 2)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes(content)
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no picture")
    bomb(folder / "bomb.png")
    Image.fromarray(np.ones((4, 4), np.float32)).save(folder / "float.tif")
    (folder / "vanished.png").symlink_to(folder / "nowhere.png")
    return sorted(path.name for path in folder.iterdir())


def odd(folder):
    """Pictures of every kind that is read, the smallest among them."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("L", SIZE, 90).save(folder / "grey.png")
    Image.new("RGBA", SIZE, (9, 9, 9, 0)).save(folder / "alpha.png")
    Image.new("CMYK", SIZE, (9, 99, 9, 0)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full(SIZE, 40000, np.uint16)).save(folder / "sixteen.png")
    Image.new("1", (1, 1), 1).save(folder / "one_pixel.png")
    Image.new("RGB", (1, 400), (9, 9, 9)).save(folder / "line.png")
    Image.new("P", SIZE).save(folder / "palette.gif.png", format="GIF")
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """A data set of two classes; the first has every bad and every odd file among its images."""
    bad = tmp_path / "train" / "a"
    bad.mkdir(parents=True)
    names = unreadable(bad)
    odd(tmp_path / "train" / "b")
    for number in range(20):
        picture(tmp_path / "train" / "b" / f"{number:02d}.png", 10 + number)
        picture(tmp_path / "train" / "a" / f"{number:02d}.png", 40 + number)
    for kind in "ab":
        for number in range(6):
            picture(tmp_path / "val" / kind / f"{number}.png", 80 + number)
    return tmp_path, [f"a/{name}" for name in names]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_every_kind_of_bad_file_is_named_and_every_odd_one_read(tmp_path, tried):
    (tmp_path / "bad").mkdir()
    names = unreadable(tmp_path / "bad")
    for name in names:
        with pytest.raises(UnreadableImageError, match=name):
            read_image(tmp_path / "bad" / name)
    kinds = odd(tmp_path / "odd")
    for name in kinds:
        assert read_image(tmp_path / "odd" / name).mode == "RGB"
    tried("unreadable file", len(names))
    tried("grey, alpha, CMYK, 16-bit, palette, 1-pixel file", len(kinds))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_fuzzed_bytes_give_the_picture_or_the_error(tmp_path, suffix, tried):
    """What still reads has the size its header says: never a picture made of nothing."""
    source = picture(tmp_path / f"sound.{suffix}", 5)
    sound, draw = source.read_bytes(), random.Random(suffix)
    rounds = 150
    for _ in range(rounds):
        kind = draw.randrange(4)
        content = bytearray(sound)
        if kind == 0:
            content = content[: draw.randrange(len(content))]
        elif kind == 1:
            for _ in range(draw.randrange(1, 30)):
                content[draw.randrange(len(content))] = draw.randrange(256)
        elif kind == 2:
            place = draw.randrange(len(content))
            content[place:place] = draw.randbytes(draw.randrange(1, 60))
        else:
            content = bytearray(draw.randbytes(draw.randrange(200)))
        path = tmp_path / f"fuzzed.{suffix}"
        path.write_bytes(content)
        try:
            image = read_image(path, max_pixels=10**6)
        except UnreadableImageError:
            continue
        with Image.open(path) as header:
            assert sorted(image.size) == sorted(header.size)
        assert image.mode == "RGB"
    tried("fuzzed picture bytes", rounds)


def test_a_file_that_vanishes_between_listing_and_reading(tmp_path, tried):
    paths = [picture(tmp_path / f"{number}.png", number) for number in range(4)]
    policies = {
        name: ImageFiles(paths, [0, 1, 0, 1], name) for name in ("raise", "skip", "replace")
    }
    paths[1].unlink()
    for name in ("raise", "skip"):
        with pytest.raises(UnreadableImageError, match=r"1\.png': no such file"):
            policies[name][1]
    assert policies["replace"][1][1] == 0  # the label of the image that is shown
    tried("vanished file", 3)


class Worker(Dataset):
    """Images whose reading ends or stalls its worker at one index."""

    def __init__(self, fault, folder):
        self.fault, self.woken = fault, folder / "woken"

    def __len__(self):
        return 12

    def __getitem__(self, pair):
        index = pair[1] if isinstance(pair, tuple) else pair
        if index == 7:
            if self.fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.fault == "exits":
                os._exit(3)
            elif self.fault == "raises":
                raise UnreadableImageError("Cannot read the image 'x/7.png': truncated.")
            else:
                time.sleep(600)
                self.woken.touch()
        return torch.tensor(index)


@pytest.mark.parametrize("fault", ["killed", "exits", "raises", "hangs"])
def test_a_worker_that_dies_or_hangs_ends_the_run_in_words(fault, tmp_path, monkeypatch, tried):
    monkeypatch.setattr(worker_loader, "HANGING", 6.0)
    images = Worker(fault, tmp_path)
    loader = worker_loader.worker_loader(images, None, batch_size=2, workers=2)
    expected = UnreadableImageError if fault == "raises" else RunStopped
    with pytest.raises((expected, ValueError)) as caught, stops_in_words(tmp_path):
        list(loader)
    message = str(caught.value)
    assert not images.woken.exists()  # nobody has waited for it
    assert "Traceback" not in message
    if fault == "raises":
        assert message == "Cannot read the image 'x/7.png': truncated."
    else:
        assert "DataLoader" in message
        assert "There is no checkpoint yet" in message
    tried(f"worker {fault}")


def _collect(rank, paths, port, out):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    images = ImageFiles(paths, [0, 1, 0, 1], "replace")
    for index in range(rank, 4, 2):
        images[index]
    found = UnreadableFiles(ImageSplits(images, images, ("a", "b"), "set"))
    found._collect(2)
    (out / str(rank)).write_text("\n".join(sorted(found.names)))
    torch.distributed.destroy_process_group()


@pytest.mark.torture
def test_what_only_the_other_process_could_not_read_is_in_the_record(tmp_path, tried):
    paths = [picture(tmp_path / "c" / f"{number}.png", number) for number in range(4)]
    for number in (0, 3):  # one for each process
        paths[number].write_bytes(b"")
    processes.spawn(_collect, (paths, 20000 + os.getpid() % 9000, tmp_path), nprocs=2)
    for rank in "01":
        assert (tmp_path / rank).read_text().split() == ["c/0.png", "c/3.png"]
    tried("unreadable file met by another process", 2)


def test_what_was_met_before_a_resume_is_kept(tmp_path):
    paths = [picture(tmp_path / "c" / f"{number}.png", number) for number in range(2)]
    images = ImageFiles(paths, [0, 1], "replace")
    splits = ImageSplits(images, images, ("a", "b"), "set")
    resumed = UnreadableFiles(splits)
    resumed.load_state_dict({"names": ["c/9.png"]})
    paths[0].unlink()
    assert images[0][1] == 1
    resumed._collect(1)
    assert resumed.state_dict() == {"names": ["c/0.png", "c/9.png"]}


def run_on(folder, out, policy, *more):
    data = ["data=imagefolder", f"data.root={folder}", f"data.on_unreadable={policy}"]
    mine = [text for text in runs.TINY if not text.startswith("data.")]
    mine += ["~data.train_images", "~data.val_images"]  # of the generated set
    # 54 images in batches of 6: every file is asked for.
    mine += ["loader.batch_size=6", "method.queue_size=12", "method.split_batch_size=3"]
    mine += [f"out={out}", "name=run", "trainer.max_epochs=1"]
    return runs.salmask("pretrain", *mine, *data, *more)


@pytest.mark.torture
@pytest.mark.parametrize("policy", ["raise", "replace", "skip"])
def test_a_run_on_bad_files_names_and_counts_them(folder, tmp_path, policy, tried):
    root, bad = folder
    done = run_on(root, tmp_path / "out", policy, "loader.workers=1")
    if policy == "raise":
        assert done.returncode == 2
        assert "Cannot read the image" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list((tmp_path / "out").rglob("record.json"))
    else:
        assert done.returncode == 0, done.stderr
        record = read_record(tmp_path / "out" / "run")
        named = {text for text in record.warnings if text.startswith("unreadable")}
        assert named == {f"unreadable and passed over: {name}" for name in bad}
        assert f"passed over: {len(bad)} files" in done.stdout
        assert record.data.train_images == 54 - (len(bad) if policy == "skip" else 0)
    tried(f"data set with bad files, {policy}", len(bad))
