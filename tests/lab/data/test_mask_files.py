"""Masks of an own folder: a parallel tree, the alpha channel; carried through crop and flip."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from salmask_plugin.lab.data import TwoViewDataset, image_folder, picture_folder
from salmask_plugin.lab.data.mask_files import read_mask
from salmask_plugin.lab.data.reading import UnreadableImageError, read_image
from salmask_plugin.lab.data.splits import ImageSubset
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


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0, 257, 25_700, 2570], np.uint16, [0, 1, 100, 10]),
        ([0, 65535, 32896, 1], np.uint16, [0, 255, 128, 0]),
        ([0, 1, 1, 0], np.uint16, [0, 255, 255, 0]),
        ([0, 255, 128, 1], np.uint16, [0, 255, 128, 1]),
        ([0, 65535, 257, 0], np.int32, [0, 255, 1, 0]),
        ([0, 0.2, 0.5, 0], np.float32, [0, 51, 128, 0]),
        ([0, 1.004, 0.2, 0], np.float32, [0, 255, 51, 0]),
        ([0, 200, 51, 0], np.float32, [0, 200, 51, 0]),
    ],
)
@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_no_mask_is_measured_by_its_own_largest_value(values, kind, expected, suffix, tmp_path):
    if suffix == "npy" and kind is np.int32:
        pytest.skip("an array of int32 is no picture")
    path, array = tmp_path / f"m.{suffix}", np.array(values, kind).reshape(2, 2)
    np.save(path, array) if suffix == "npy" else Image.fromarray(array).save(path)
    assert np.asarray(read_mask(path, alpha=False)).flatten().tolist() == expected


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        ([(128, 0, 0), (0, 0, 0)], r"in colours .*grey or with a palette"),
        ([(90, 80, 70, 255), (0, 0, 0, 0)], r"transparent places.*data.masks=alpha"),
        ([(255, 255, 255, 255), (255, 255, 255, 0)], r"transparent places"),
    ],
)
def test_masks_whose_object_cannot_be_told(pixels, words, tmp_path):
    Image.fromarray(np.array([pixels], np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(UnreadableImageError, match=rf"m.png': .*{words}"):
        read_mask(tmp_path / "m.png", alpha=False)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_masks_in_other_modes(mode, tmp_path):
    grey = Image.fromarray(object_mask(4))
    grey.convert(mode).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", alpha=False), object_mask(4))
    grey.convert("RGB").save(tmp_path / "m.jpg")
    there = np.asarray(read_mask(tmp_path / "m.jpg", alpha=False))
    np.testing.assert_array_equal(there > 127, object_mask(4) > 127)


@pytest.mark.parametrize("values", [[[0, 70_000]], [[-1, 5]]])
def test_values_that_no_mask_has(values, tmp_path):
    Image.fromarray(np.array(values, np.int32)).save(tmp_path / "m.tif")
    with pytest.raises(ValueError, match=r"m.tif': a mask has values from 0 to 65535"):
        read_mask(tmp_path / "m.tif", alpha=False)


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


def two_views(images, **options):
    return TwoViewDataset(images, lambda image: ([], []), seed=0, masks=True, **options)


def test_every_mask_is_looked_at_before_training(photos):
    """Of other pictures than the first, and of those alone that are learned from."""
    Image.new("L", SIZE[::-1]).save(photos / "masks" / "b" / "x.png")
    images = picture_folder(photos / "pets", masks=photos / "masks").train
    place = [path.name for path in images.paths].index("x.png")
    assert place > 0
    with pytest.raises(UnreadableImageError, match=r"b/x.png' is 30x40 pixels, its picture .*30"):
        two_views(images)
    others = [index for index in range(4) if index != place]
    two_views(ImageSubset(ImageSubset(images, others), (0, 2)))
    with pytest.raises(UnreadableImageError, match=r"b/x.png' is 30x40 pixels"):
        two_views(ImageSubset(ImageSubset(images, [*others, place]), (0, 3)))
    (photos / "masks" / "b" / "x.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableImageError, match=r"Cannot read the (image|mask) .*b/x.png"):
        two_views(images)


def test_a_mask_in_colours_is_found_before_training(photos):
    mask = Image.new("RGB", SIZE)
    mask.putpixel((9, 4), (0, 128, 0))
    mask.save(photos / "masks" / "b" / "x.png")
    with pytest.raises(UnreadableImageError, match=r"b/x.png': a mask in colours"):
        two_views(picture_folder(photos / "pets", masks=photos / "masks").train)


def test_a_picture_without_alpha_is_found_before_training(tmp_path):
    for name in ("a", "b", "c"):
        Image.new("LA", SIZE).save(tmp_path / f"{name}.png")
    two_views(picture_folder(tmp_path, masks="alpha").train)
    Image.new("L", SIZE).save(tmp_path / "b.png")
    with pytest.raises(UnreadableImageError, match=r"b.png': it has no alpha channel"):
        two_views(picture_folder(tmp_path, masks="alpha").train)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_pictures_on_their_side_fit_masks_that_are_upright(kind, orientation, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (tmp_path / "pets").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", SIZE).save(tmp_path / "pets" / f"{name}.{kind}", exif=exif)
        upright = read_image(tmp_path / "pets" / f"{name}.{kind}").size
        Image.new("L", upright).save(tmp_path / "masks" / f"{name}.png")
    images = picture_folder(tmp_path / "pets", masks=tmp_path / "masks").train
    two_views(images)
    Image.new("L", upright[::-1]).save(tmp_path / "masks" / "b.png")
    with pytest.raises(UnreadableImageError, match=r"b\.png' is"):
        two_views(images)


def test_arrays_of_channels_fit_their_masks(tmp_path):
    (tmp_path / "tiles").mkdir()
    (tmp_path / "masks").mkdir()
    for name, shape in (("a", (5, 30, 40)), ("b", (30, 40, 5))):
        np.save(tmp_path / "tiles" / f"{name}.npy", np.zeros(shape, np.uint16))
        np.save(tmp_path / "masks" / f"{name}.npy", np.zeros((30, 40), bool))
    tiles = {"channels": 5, "mean": [0] * 5, "std": [1] * 5, "masks": tmp_path / "masks"}
    images = picture_folder(tmp_path / "tiles", **tiles).train
    two_views(images)
    np.save(tmp_path / "masks" / "b.npy", np.zeros((40, 30), bool))
    with pytest.raises(UnreadableImageError, match=r"b\.npy' is 30x40 pixels"):
        two_views(images)


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
    with pytest.raises(UserError, match=r"needs masks; folder has none: data.masks=FOLDER\?"):
        build_data(settings, build_splits(settings), build_masking(settings))
