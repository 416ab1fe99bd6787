"""A flat folder of pictures with masks beside it, from pretraining to the refusal to evaluate."""

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.unreadable import remedy_named

TINY = [
    "backbone=small",
    "backbone.widths=[4,4,4,8]",
    "view_size=32",
    "batch_size=4",
    "workers=0",
    "epochs=1",
    "trainer.accelerator=cpu",
    "method.queue_size=8",
    "method.split_batch_size=2",
    "masking=mean",
    "masking.negative=null",
    "masking.query.sampler.tolerance=0",
    "localizer=given",
]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Eight pictures of noise in ``my photos``, and in ``masks`` where their object is."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder in ("my photos", "masks"):
        (tmp_path / folder).mkdir()
    mask = np.zeros((40, 44), np.uint8)
    mask[8:30, 10:28] = 1
    for index in range(8):
        pixels = rng.integers(0, 256, (40, 44, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "my photos" / f"IMG {index}.jpg")
        Image.fromarray(mask).save(tmp_path / "masks" / f"IMG {index}.png")
    return "my photos"


def test_own_pictures_with_own_masks(photos, capsys, tmp_path):
    given = [*TINY, photos, "data.masks=masks", f"out={tmp_path / 'runs'}"]
    assert main(["pretrain", *given, "--evaluate"]) == 2
    assert "salmask: data folder has no labels" in capsys.readouterr().err

    assert main(["pretrain", *given]) == 0
    said = capsys.readouterr().out
    assert "8 pictures without labels" in said
    (run,) = (tmp_path / "runs").glob("folder-my_photos-*")
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"Next: salmask embed {run} 'my photos' {run}-embedded")
    # A folder that is named in full was cut to ".../my photos", which nobody can paste.
    whole = [str(tmp_path / photos), "data.masks=masks", f"out={tmp_path / 'whole'}"]
    assert main(["pretrain", *TINY, *whole]) == 0
    assert f" '{tmp_path / photos}' " in capsys.readouterr().out.strip().splitlines()[-1]
    record = read_record(run)
    assert (record.data.train_images, record.data.val_images) == (8, 0)
    assert record.localizer_trained_on == "the given masks"
    # A quarter of the picture is object: masks that were lost would make every cell foreground.
    assert 0.02 < record.history["foreground_share"][-1] < 0.7

    assert main(["evaluate", str(run)]) == 2
    problem = capsys.readouterr().err
    assert "has no labels, which every classification needs" in problem
    assert problem.count("\n") == 1
    assert main(["embed", str(run), photos, "embedded"]) == 0
    assert "Pictures: 8" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named_with_the_setting_that_goes_on(
    photos, capsys, tmp_path, workers
):
    bad = tmp_path / photos / "IMG 3.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    own = ("masking", "localizer")
    given = [text for text in TINY if not text.startswith(own)]
    given += ["masking=random", photos, f"out={tmp_path / 'runs'}", f"loader.workers={workers}"]
    assert main(["pretrain", *given]) == 2
    said = capsys.readouterr().err
    assert "Cannot read the image 'my photos/IMG 3.jpg': " in said
    assert "data.on_unreadable=skip leaves such files out" in said
    assert main(["pretrain", *given, "data.on_unreadable=skip"]) == 0


def test_a_picture_without_its_mask_is_no_file_to_be_left_out(photos, capsys, tmp_path):
    """Which masks there are, ``on_unreadable`` does not ask."""
    given = [*TINY, photos, "data.masks=alpha", f"out={tmp_path / 'runs'}"]
    assert main(["pretrain", *given]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("salmask: Cannot read the mask 'my photos/IMG ")
    assert said.endswith("it has no alpha channel (mode RGB).")


def test_no_setting_is_named_that_the_data_set_does_not_have():
    has = {"on_unreadable": "raise"}
    with pytest.raises(UserError, match=r"'x.png'\. data\.on_unreadable=skip"), remedy_named(has):
        raise ValueError("Cannot read the image 'x.png'.")
    mask = "Cannot read the mask 'x.png'."
    for words, data in (("Cannot read the image 'x.png'.", {}), ("x", has), (mask, has)):
        with pytest.raises(ValueError, match=f"^{words}$"), remedy_named(data):
            raise ValueError(words)
