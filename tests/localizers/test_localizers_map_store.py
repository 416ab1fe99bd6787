"""MapStore: whatever is killed, cut short or flipped is noticed, and only that is redone."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salmask_plugin import CachedLocalizer
from salmask_plugin.localizers import array_file, map_store
from salmask_plugin.localizers.map_store import CacheManifest, MapStore

MANIFEST = CacheManifest("by hand", "none", "none", "toys", 10, (3, 5), chunk=4)
MAPS = np.random.default_rng(0).random((10, 3, 5)).astype(np.float16)
DIGESTS = np.arange(10, 20, dtype=np.uint64)


def fill(store, chunks=None):
    for chunk in range(store.chunks) if chunks is None else chunks:
        rows = store.images_of(chunk)
        store.write(chunk, MAPS[rows.start : rows.stop], DIGESTS[rows.start : rows.stop])


@pytest.fixture
def folder(tmp_path):
    fill(MapStore.create(tmp_path / "store", MANIFEST))
    return tmp_path / "store"


def test_what_is_written_is_read(folder):
    store = MapStore(folder)
    assert store.faults() == {}
    assert np.array_equal(store.maps(), MAPS)
    assert np.array_equal(store.digests(), DIGESTS)
    assert [list(store.images_of(chunk)) for chunk in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert not store.maps().flags.writeable
    assert np.array_equal(np.load(folder / "maps.npy"), MAPS)  # a plain .npy for anybody


def test_bytes_per_image_are_those_on_disk(folder):
    data = sum(
        (folder / name).stat().st_size - array_file.HEADER for name in ("maps.npy", "images.npy")
    )
    assert data == MANIFEST.bytes_per_image * 10


def test_a_new_store_is_all_missing_and_goes_on_where_it_stopped(tmp_path):
    fill(MapStore.create(tmp_path, MANIFEST), [1])
    store = MapStore.create(tmp_path, MANIFEST)
    assert store.faults() == {0: "missing", 2: "missing"}
    fill(store, [0, 2])
    assert store.faults() == {}


@pytest.mark.parametrize("died_in", ["maps.npy", "images.npy", "chunks.jsonl"])
def test_a_chunk_is_missing_until_its_line_is_written(tmp_path, monkeypatch, died_in):
    """The disk, or the power, goes at each of the three writes of a chunk."""
    store = MapStore.create(tmp_path, MANIFEST)
    fill(store, [0])
    original = array_file.to_disk

    def fails(stream):
        if stream.name.endswith(died_in):
            raise OSError(28, "No space left on device")
        original(stream)

    with monkeypatch.context() as patch:
        patch.setattr(array_file, "to_disk", fails)
        patch.setattr(map_store, "to_disk", fails)
        if died_in == "chunks.jsonl":  # its bytes may or may not have arrived: either is sound
            with pytest.raises(OSError, match="No space"):
                fill(store, [1])
            assert MapStore(tmp_path).faults() in ({1: "missing", 2: "missing"}, {2: "missing"})
        else:
            with pytest.raises(OSError, match="No space"):
                fill(store, [1])
            assert MapStore(tmp_path).faults() == {1: "missing", 2: "missing"}
    fill(store, [1, 2])
    assert MapStore(tmp_path).faults() == {}


def test_a_line_cut_short_costs_its_own_chunk_alone(folder):
    path = folder / "chunks.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    store = MapStore(folder)
    assert store.faults() == {2: "missing"}
    fill(store, [2])
    assert store.faults() == {}
    assert len(path.read_bytes().splitlines()) == 4


def test_a_kill_before_the_manifest_starts_anew(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            map_store, "replace_text", lambda *_: (_ for _ in ()).throw(OSError("killed"))
        )
        with pytest.raises(OSError, match="killed"):
            MapStore.create(tmp_path, MANIFEST)
    with pytest.raises(FileNotFoundError):
        MapStore(tmp_path)
    store = MapStore.create(tmp_path, MANIFEST)
    assert store.faults() == dict.fromkeys(range(3), "missing")


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["maps.npy", "images.npy", "chunks.jsonl"]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_never_passes_as_a_map(folder, tmp_path_factory, name, where, bit):
    damaged = tmp_path_factory.mktemp("damaged") / "store"
    shutil.copytree(folder, damaged)
    content = bytearray((damaged / name).read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    (damaged / name).write_bytes(content)
    try:
        store = MapStore(damaged)
        faults = store.faults()
        maps, digests = np.array(store.maps()), store.digests()
    except ValueError:
        return  # a header; its message is tested below
    for chunk in set(range(3)) - set(faults):
        rows = slice(store.images_of(chunk).start, store.images_of(chunk).stop)
        assert np.array_equal(maps[rows], MAPS[rows])
        assert np.array_equal(digests[rows], DIGESTS[rows])


@pytest.mark.parametrize("name", ["maps.npy", "images.npy"])
@pytest.mark.parametrize("kept", [0, 40, -7])
def test_files_cut_short_are_refused(folder, name, kept):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:kept])
    with pytest.raises(ValueError, match=name):
        MapStore(folder).faults()
    store = MapStore.create(folder, MANIFEST)
    fill(store, store.faults())
    assert np.array_equal(store.maps(), MAPS)
    assert np.array_equal(store.digests(), DIGESTS)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"grid": [3]},
        {"grid": "35"},
        {"chunk": "4"},
        {"dtype": "object"},
        {"name": None},
        {"further": 1},
    ],
)
def test_manifests_that_are_none(folder, change):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match="no manifest of a cache"):
        MapStore(folder)


def test_another_cache_is_never_overwritten(folder):
    other = CacheManifest("by hand", "none", "f00", "toys", 10, (3, 5), chunk=4)
    with pytest.raises(ValueError, match="weights_sha256='none', not 'f00'"):
        MapStore.create(folder, other)
    assert MapStore(folder).faults() == {}


def test_wrong_shapes_are_refused(folder):
    store = MapStore(folder)
    with pytest.raises(ValueError, match="chunk 2 takes maps"):
        store.write(2, MAPS[:4])
    with pytest.raises(ValueError, match="chunk 2 takes maps"):
        store.write(2, MAPS[:2], DIGESTS[:3])


def test_incomplete_and_damaged_stores_do_not_load(tmp_path, folder):
    assert np.array_equal(CachedLocalizer.load(folder).maps, MAPS)
    fill(MapStore.create(tmp_path / "half", MANIFEST), [0])
    with pytest.raises(ValueError, match=r"2 of 3 chunks .* chunk 1 is missing"):
        CachedLocalizer.load(tmp_path / "half")


@pytest.mark.parametrize(
    "line",
    [
        '{"chunk": Infinity, "sha256": "x"}',
        '{"chunk": -Infinity, "sha256": "x"}',
        '{"chunk": NaN, "sha256": "x"}',
        '{"chunk": 1e400, "sha256": "x"}',
        '{"chunk": 1.5, "sha256": "x"}',
        '{"chunk": true, "sha256": "x"}',
        '{"chunk": -1, "sha256": "x"}',
        '{"chunk": "1", "sha256": "x"}',
        '{"chunk": 1, "sha256": 3}',
        '{"chunk": 1}',
        "[1]",
        "1",
        '"' + chr(0xD800).encode(errors="surrogatepass").decode("latin-1"),
        "[" * 100_000,
    ],
)
def test_a_line_of_another_form_is_none(line, folder):
    """The digest of a chunk stands in a line of its own; lines that are none change nothing."""
    with (folder / "chunks.jsonl").open("a", encoding="latin-1") as stream:
        stream.write(line + "\n")
    assert MapStore(folder).faults() == {}
