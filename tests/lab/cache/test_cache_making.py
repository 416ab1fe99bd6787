"""`salmask cache` end to end: fill, kill, damage, change, train; on a few generated images."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from oracles import working
from PIL import Image

from salmask_plugin.cli.main import main
from salmask_plugin.lab.cache import making as cache
from salmask_plugin.lab.results import read_record
from salmask_plugin.localizers.map_store import MapStore

DATA = [
    "experiment=plumbing",
    "data.train_images=20",
    "data.val_images=8",
    "data.classes=4",
    "data.size=32",
    "view_size=32",
    "loader.batch_size=8",
    "loader.workers=0",
    "trainer.accelerator=cpu",
]
CACHE = [*DATA, "localizer=efficientnet_lite0", "localizer_size=96"]
TRAIN = [
    *DATA,
    "localizer=cached",
    "masking=mean",
    "method.queue_size=16",
    "method.split_batch_size=8",
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
    "name=run",
]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(cache, "CHUNK", 8)


def run_cache(folder, *flags, settings=CACHE):
    return main(["cache", "--grid", "4", *flags, str(folder), *settings])


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    folder = tmp_path_factory.mktemp("complete") / "maps"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "CHUNK", 8)
        assert run_cache(folder, "--agreement", "9") == 0
    return folder


@pytest.fixture
def folder(complete, tmp_path):
    return shutil.copytree(complete, tmp_path / "maps")


def train(folder, out, *settings):
    return main(["pretrain", *TRAIN, f"localizer.folder={folder}", f"out={out}", *settings])


def test_the_manifest_says_what_the_maps_are(complete):
    manifest = MapStore(complete).manifest
    assert (manifest.dataset, manifest.count, manifest.grid) == ("generated train", 20, (4, 4))
    assert manifest.name == "efficientnet_lite0"
    assert manifest.trained_on == "ImageNet-1k labels"
    assert len(manifest.weights_sha256) == len(manifest.labels_sha256) == 64
    assert MapStore(complete).digests().all()


def test_an_error_that_nobody_has_foreseen_leaves_its_trace(folder, monkeypatch, capsys):
    def fails(*arguments):
        raise RuntimeError("unheard of")

    monkeypatch.setattr(cache, "fill", fails)
    assert run_cache(folder) == 1
    assert f"Its trace is in {folder / 'error.txt'}" in capsys.readouterr().err
    assert "unheard of" in (folder / "error.txt").read_text()


def test_agreement_is_written_and_bounded(complete):
    content = json.loads((complete / "agreement.json").read_text())
    assert content["protocol"]["images_drawn"] == 9
    assert content["protocol"]["compared_grid"] == [3, 3]
    everything = content["rows"][-1]
    assert everything["views"] == 9
    assert sum(row["views"] for row in content["rows"][:-1]) == 9
    values = everything["values"]
    assert values["gamma_difference"]["mean"] == pytest.approx(
        values["gamma_cached"]["mean"] - values["gamma_online"]["mean"]
    )
    assert 0.3 < values["iou"]["mean"] <= 1
    assert {"object_cached", "object_online"} <= values.keys()
    with Image.open(complete / "agreement.png") as picture:
        assert picture.width == 1350


def test_a_run_trains_on_the_cache_and_says_so(folder, tmp_path):
    assert train(folder, tmp_path) == 0
    record = read_record(tmp_path / "run")
    assert record.localizer == "cached:efficientnet_lite0"
    assert record.localizer_trained_on == "ImageNet-1k labels"
    assert 0.05 <= record.history["mask_ratio"][-1] <= 0.25
    # Finished runs ask nothing of the cache, nor does their evaluation.
    shutil.rmtree(folder)
    assert train(folder, tmp_path) == 0
    few = ["evaluation.knn.k=3", "evaluation.linear.epochs=1"]
    assert main(["evaluate", str(tmp_path / "run"), *few]) == 0
    assert set(read_record(tmp_path / "run").evaluations) == {"knn", "linear"}
    assert not (tmp_path / "run" / "gallery.png").exists()


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_stopped(complete, tmp_path):
    """Killed in its second chunk, after the maps are written and before their digest is."""
    code = (
        "import os, signal, sys\n"
        "from salmask_plugin.lab.cache import making as cache\n"
        "from salmask_plugin.localizers import map_store\n"
        "cache.CHUNK = 8\n"
        "write_rows = map_store.write_rows\n"
        "def dying(path, rows, start):\n"
        "    write_rows(path, rows, start)\n"
        "    if path.name == 'maps.npy' and start == 8:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "map_store.write_rows = dying\n"
        "from salmask_plugin.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    folder = tmp_path / "maps"
    arguments = ["cache", "--grid", "4", str(folder), *CACHE]
    done = working.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -9, done.stderr
    assert MapStore(folder).faults() == {1: "missing", 2: "missing"}
    assert train(folder, tmp_path) == 2
    assert run_cache(folder) == 0
    assert MapStore(folder).faults() == {}
    assert np.array_equal(MapStore(folder).maps(), MapStore(complete).maps())


def test_damaged_bytes_are_found_and_only_their_chunk_is_redone(
    folder, complete, tmp_path, capsys, monkeypatch
):
    content = bytearray((folder / "maps.npy").read_bytes())
    content[-3] ^= 4
    (folder / "maps.npy").write_bytes(content)
    assert train(folder, tmp_path) == 2
    assert "chunk 2 is damaged" in capsys.readouterr().err
    redone = []
    write = MapStore.write
    monkeypatch.setattr(
        MapStore, "write", lambda self, chunk, *a: (redone.append(chunk), write(self, chunk, *a))
    )
    assert run_cache(folder) == 0
    assert redone == [2]
    assert np.array_equal(MapStore(folder).maps(), MapStore(complete).maps())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.train_images=24", "count=20, not 24"),
        ("data.classes=5", "labels_sha256="),
        ("data.seed=1", "16 of the 16 compared differ"),
    ],
)
def test_other_images_are_refused_before_training(folder, tmp_path, capsys, change, message):
    assert train(folder, tmp_path, change) == 2
    assert message in capsys.readouterr().err
    assert run_cache(folder, settings=[*CACHE, change]) == 2
    assert message in capsys.readouterr().err


def test_a_changed_image_is_named_and_its_chunk_redone(tmp_path, capsys):
    """An image folder of 24: the one that changes is not among the sixteen of the quick check."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 2)):
        for label in "ab":
            place = tmp_path / "images" / split / label
            place.mkdir(parents=True)
            for index in range(count):
                picture = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
                picture.save(place / f"{index:02}.png")
    settings = [
        "data=imagefolder",
        f"data.root={tmp_path / 'images'}",
        "localizer=efficientnet_lite0",
        "trainer.accelerator=cpu",
        "loader.workers=0",
    ]
    folder = tmp_path / "maps"
    assert run_cache(folder, settings=settings) == 0
    before = np.array(MapStore(folder).maps())
    changed = tmp_path / "images" / "train" / "a" / "10.png"
    Image.open(changed).rotate(180).save(changed)
    assert run_cache(folder, settings=settings) == 0
    assert np.array_equal(MapStore(folder).maps(), before)
    capsys.readouterr()
    assert run_cache(folder, "--verify", settings=settings) == 0
    assert "chunk 1: 1 changed, the first is image 10" in capsys.readouterr().out
    after = MapStore(folder).maps()
    assert [index for index in range(24) if not np.array_equal(after[index], before[index])] == [10]
    assert run_cache(folder, "--verify", settings=settings) == 0
    assert "is image" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "settings", "message"),
    [
        ((), [*DATA, "localizer=uniform"], "has no maps of whole images"),
        ((), [*DATA, "localizer=momentum", "localizer.layer=x"], "has no maps of whole images"),
        (("--size", "100"), CACHE, "a multiple of 32, such as 96"),
        (("--size", "8"), CACHE, "--size 8 must be at least 32"),
        (("--size", "0"), CACHE, "--size 0 must be at least 32"),
        (("--grid", "1"), CACHE, "--grid 1 must be at least 2"),
        (("--agreement", "1"), CACHE, "--agreement 1 must be at least 2"),
    ],
)
def test_mistakes_are_said_in_a_line(folder, capsys, flags, settings, message):
    assert run_cache(folder, *flags, settings=settings) == 2
    assert message in capsys.readouterr().err
    new = folder.parent / "new"
    assert run_cache(new, *flags, settings=settings) == 2
    assert not new.exists()  # said before hours of maps, not after them


def test_a_cache_that_is_not_there(tmp_path, capsys):
    assert train(tmp_path / "nowhere", tmp_path) == 2
    assert "`salmask cache` makes one" in capsys.readouterr().err


def test_finer_grids_look_again_and_other_sizes_are_other_caches(folder, tmp_path, capsys):
    """96 px are 3 x 3 cells; for at least 4 x 4 the network looks from four places."""
    small = [*CACHE, "data.train_images=8"]
    assert run_cache(tmp_path / "fine", "--size", "96", settings=small) == 0
    assert MapStore(tmp_path / "fine").manifest.grid == (6, 6)
    assert run_cache(folder, "--size", "96") == 2
    assert "in another folder" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_map_the_same_file(folder, tmp_path):
    two = ["trainer.devices=2", "trainer.strategy=ddp", "method.split_batch_size=null"]
    settings = [*TRAIN, *two, f"localizer.folder={folder}", f"out={tmp_path}"]
    done = working.run(
        [sys.executable, "-m", "salmask_plugin.cli", "pretrain", *settings],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert read_record(tmp_path / "run").localizer == "cached:efficientnet_lite0"


def test_views_made_on_the_device_find_their_maps(folder, tmp_path):
    assert train(folder, tmp_path, "loader.input=device") == 0
    record = read_record(tmp_path / "run")
    assert record.localizer == "cached:efficientnet_lite0"
    assert 0.05 <= record.history["mask_ratio"][0] <= 0.25
