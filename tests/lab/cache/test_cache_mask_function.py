"""`salmask cache` of a function's masks: asked once for every whole picture."""

import numpy as np
import pytest
from test_cache_making import DATA, TRAIN

from salmask_plugin.cli.main import main
from salmask_plugin.lab.data import generated
from salmask_plugin.lab.results import read_record
from salmask_plugin.localizers.map_store import MapStore

FUNCTION = "test_cache_mask_function.bright"
ASKED = [
    *DATA,
    "localizer=mask_function",
    f"localizer.function={{_target_:{FUNCTION},_partial_:true}}",
    "localizer.trained_on=nothing",
]


def bright(images):
    return images.mean(1) > 0.5


def fails(images):
    raise KeyError("prompt")


def run(folder, *more, settings=ASKED, allowed=FUNCTION):
    flags = ["--grid", "5", "--size", "64", "--allow", allowed]
    return main(["cache", *flags, *more, str(folder), *settings])


def test_maps_are_the_functions_of_whole_pictures_and_train_a_run(tmp_path):
    folder = tmp_path / "maps"
    assert run(folder, "--agreement", "6") == 0
    store = MapStore(folder)
    assert (store.manifest.name, store.manifest.grid) == ("mask_function", (5, 5))
    assert store.manifest.trained_on == "nothing"
    assert "bright" in store.manifest.localizer
    assert "size=64" in store.manifest.localizer
    pictures = generated(train_images=20, val_images=8, classes=4, size=32).train
    for index in (0, 13):
        picture = pictures[index][0].resize((64, 64), 2)
        marked = np.asarray(picture, dtype=np.float64).mean(2) > 127.5
        assert 0.02 < marked.mean() < 0.98
        edges = np.linspace(0, 64, 6)
        wanted = np.array([[_share(marked, y, x, edges) for x in range(5)] for y in range(5)])
        wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
        assert np.abs(store.maps()[index] - wanted).max() < 0.02
    given = [*TRAIN, f"localizer.folder={folder}", f"out={tmp_path}"]
    assert main(["pretrain", *given, "masking.query.sampler.tolerance=0"]) == 0
    assert read_record(tmp_path / "run").localizer == "cached:mask_function"


def _share(marked, row, column, edges):
    """Mean over a cell whose borders may cut through pixels, pixel by pixel."""
    total = area = 0.0
    for y in range(64):
        for x in range(64):
            high = max(0, min(y + 1, edges[row + 1]) - max(y, edges[row]))
            wide = max(0, min(x + 1, edges[column + 1]) - max(x, edges[column]))
            total += high * wide * float(marked[y, x])
            area += high * wide
    return total / area


def test_another_size_is_another_cache(tmp_path, capsys):
    assert run(tmp_path / "maps") == 0
    flags = ["--grid", "5", "--size", "32", "--allow", FUNCTION]
    assert main(["cache", *flags, str(tmp_path / "maps"), *ASKED]) == 2
    assert "localizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("function", "allowed", "words"),
    [
        (FUNCTION, "nothing", FUNCTION),
        ("test_cache_mask_function.fails", "test_cache_mask_function.fails", "prompt"),
    ],
)
def test_what_cannot_be_cached_is_said_before_any_work(function, allowed, words, tmp_path, capsys):
    settings = [text.replace(FUNCTION, function) for text in ASKED]
    assert run(tmp_path / "maps", settings=settings, allowed=allowed) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()
