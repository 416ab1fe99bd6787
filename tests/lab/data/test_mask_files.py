"""Masks of an own folder: a parallel tree, the alpha channel; carried through crop and flip."""

import numpy as np
import pytest
import torch
from PIL import Image

from salmask_plugin.lab.data import TwoViewDataset, image_folder, picture_folder
from salmask_plugin.lab.data.mask_files import read_mask
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.build import build, build_data, build_masking, build_splits
from salmask_plugin.lab.settings.compose import compose_settings

SIZE = (40, 30)


def object_mask(number):
    values = np.zeros(SIZE[::-1], np.uint8)
    values[5 : 15 + number, 8:20] = 255
    return values


@pytest.fixture
def photos(tmp_path, save_picture):
    """Pictures in pets/ and their masks in masks/, each mask of its own height."""
    for number, name in enumerate(("a/x.jpg", "a/y (1).png", "b/x.png", "z.png")):
        save_picture(tmp_path / "pets" / name, 200, SIZE)
        mask = (tmp_path / "masks" / name).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(object_mask(number)).save(mask)
    return tmp_path


def test_masks_of_a_parallel_tree(photos):
    splits = picture_folder(photos / "pets", masks=photos / "masks")
    assert splits.has_masks
    heights = {
        path.relative_to(photos / "pets").as_posix(): np.asarray(splits.train.with_mask(index)[1])
        for index, path in enumerate(splits.train.paths)
    }
    for number, name in enumerate(("a/x.jpg", "a/y (1).png", "b/x.png", "z.png")):
        np.testing.assert_array_equal(heights[name], object_mask(number))


def test_masks_of_classes_and_of_both_splits(photos):
    (photos / "pets" / "b" / "more.png").write_bytes((photos / "pets" / "b" / "x.png").read_bytes())
    Image.fromarray(object_mask(9)).save(photos / "masks" / "b" / "more.tif")
    splits = image_folder(photos / "pets", val_share=0.5, masks=photos / "masks")
    assert (len(splits.train), len(splits.val), splits.has_masks) == (2, 2, True)
    for images in (splits.train, splits.val):
        assert all(np.asarray(images.with_mask(i)[1]).any() for i in range(len(images)))


def test_alpha_is_a_mask(tmp_path):
    pixels = np.full((*SIZE[::-1], 4), 90, np.uint8)
    pixels[..., 3] = object_mask(3)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "cut.png")
    image, mask, _ = picture_folder(tmp_path, masks="alpha").train.with_mask(0)
    np.testing.assert_array_equal(np.asarray(mask), object_mask(3))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    Image.new("RGB", SIZE).save(tmp_path / "flat.png")
    with pytest.raises(ValueError, match=r"flat.png': it has no alpha channel \(mode RGB\)"):
        picture_folder(tmp_path, masks="alpha").train.with_mask(1)


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([[0, 1], [1, 0]], "L", [[0, 255], [255, 0]]),
        ([[0, 128], [255, 1]], "L", [[0, 128], [255, 1]]),
        ([[0, 7], [3, 0]], "P", [[0, 255], [255, 0]]),
        ([[0, 65535], [0, 0]], "I;16", [[0, 255], [0, 0]]),
    ],
    ids=["0 and 1", "grey", "palette", "16 bits"],
)
def test_what_values_of_a_mask_mean(values, mode, expected, tmp_path):
    array = np.array(values, np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(array)
    if mode == "P":
        image.putpalette([index for index in range(256) for _ in range(3)])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(np.asarray(read_mask(tmp_path / "m.png", alpha=False)), expected)


def test_masks_that_are_not_there(photos):
    (photos / "masks" / "a" / "x.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 4 pictures have no mask below .* as 'a/x.jpg'"):
        picture_folder(photos / "pets", masks=photos / "masks")
    with pytest.raises(ValueError, match="must be a folder of mask pictures, or 'alpha'"):
        picture_folder(photos / "pets", masks="beta")
    with pytest.raises(ValueError, match=r"lies in .* put it beside"):
        picture_folder(photos, masks=photos / "masks")


def test_two_masks_and_a_mask_of_another_size(photos):
    Image.new("L", SIZE).save(photos / "masks" / "z.tif")
    assert picture_folder(photos / "pets", masks=photos / "masks").has_masks  # z.png is named alike
    Image.new("L", SIZE).save(photos / "masks" / "a" / "x.tif")
    with pytest.raises(ValueError, match=r"several masks in .*: x.png, x.tif"):
        picture_folder(photos / "pets", masks=photos / "masks")
    (photos / "masks" / "a" / "x.tif").unlink()
    Image.new("L", (7, 7)).save(photos / "masks" / "z.png")
    images = picture_folder(photos / "pets", masks=photos / "masks").train
    place = [path.name for path in images.paths].index("z.png")
    with pytest.raises(ValueError, match=r"z.png' is 7x7 pixels, its picture .*z.png' 40x30"):
        images.with_mask(place)


def test_masks_follow_crop_and_flip(photos):
    """The red of the picture is its mask, so that each view shows what its mask must be."""
    for path in sorted((photos / "pets").rglob("*.*g")):
        mask = (photos / "masks" / path.relative_to(photos / "pets")).with_suffix(".png")
        grey = np.asarray(Image.open(mask))
        Image.fromarray(np.stack([grey] * 3, 2)).save(path.with_suffix(".bmp"))
        path.unlink()
    given = ["masking=mean", "localizer=given", f"data.masks={photos / 'masks'}", "view_size=32"]
    settings = compose_settings([str(photos / "pets"), *given, "loader.workers=0"])
    splits = build_splits(settings)
    dataset = TwoViewDataset(splits.train, build(settings["views"]), seed=0, masks=True)
    agreements = []
    for epoch in range(6):
        views, _, masks, _ = dataset[(epoch, epoch % 4)]
        for view, mask in zip(views, masks, strict=True):
            # Colours are jittered: what is object is brighter, by how much is not known.
            bright, inside = view.mean(0), mask[0] > 0.5
            if 0.1 < inside.float().mean() < 0.9 and float(bright.std()) > 0.05:
                cut = (bright.max() + bright.min()) / 2
                agreements.append(((bright > cut) == inside).float().mean())
    assert len(agreements) > 3
    assert torch.stack(agreements).min() > 0.85


def test_given_masks_are_asked_for_where_there_are_none(photos):
    settings = compose_settings([str(photos / "pets"), "masking=mean", "localizer=given"])
    with pytest.raises(UserError, match="localizer=given needs images with masks; folder has none"):
        build_data(settings, build_splits(settings), build_masking(settings))
