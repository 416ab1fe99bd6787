"""Pictures of any channels: arrays and pictures to numbers, numbers to views."""

import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from salmask_plugin.lab.data import (
    ImageFiles,
    ViewRecipe,
    evaluation_transform,
    image_folder,
    picture_folder,
    pixel_digest,
    read_image,
)
from salmask_plugin.lab.data.band_views import BandViews
from salmask_plugin.lab.data.bands import read_bands
from salmask_plugin.lab.data.channels import Channels, shown_bands, statistics_of
from salmask_plugin.lab.data.reading import UnreadableImageError
from salmask_plugin.lab.data.seeded import seeded_draws
from salmask_plugin.lab.data.two_view import TwoViewDataset
from salmask_plugin.lab.embed.shown_images import as_picture


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (numbers(5, 7), lambda a: a[None] / 255),
        (numbers(1, 5, 7), lambda a: a / 255),
        (numbers(5, 7, 4), lambda a: a.transpose(2, 0, 1) / 255),
        (numbers(4, 5, 7).astype(">u2") * 257, lambda a: a / 65535),
        (numbers(5, 7, 13).astype(np.float64) - 99, lambda a: a.transpose(2, 0, 1)),
        (numbers(13, 5, 7).astype(np.float16), lambda a: a),
        (numbers(5, 7) > 99, lambda a: a[None].astype(float)),
    ],
)
def test_arrays_become_channels_first_in_their_range(array, expected, tmp_path):
    np.save(tmp_path / "x.npy", array)
    wanted = expected(array)
    found = read_bands(tmp_path / "x.npy", len(wanted))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("array", "channels", "reason"),
    [
        (numbers(5, 7), 4, r"its shape is \(5, 7\), without 4 channel"),
        (numbers(4, 5, 4), 4, r"either end may be the 4 channel"),
        (numbers(5, 7, 3), 4, "without 4 channel"),
        (numbers(5), 1, r"its shape is \(5,\)"),
        (numbers(2, 4, 5, 7), 4, "is a picture"),
        (numbers(0, 7), 1, "memory-map|empty|picture"),
        (numbers(5, 7).astype(np.int16), 1, "its type is int16; uint8, uint16 and floating"),
        (numbers(5, 7).astype(complex), 1, "its type is complex128"),
        (np.full((5, 7), np.nan), 1, "not finite"),
        (np.array([[None]]), 1, "[Oo]bject"),
    ],
)
def test_arrays_that_are_no_such_picture(array, channels, reason, tmp_path):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(UnreadableImageError, match=rf"x\.npy': .*{reason}"):
        read_bands(tmp_path / "x.npy", channels)


def test_a_damaged_array_and_one_that_is_too_large(tmp_path):
    np.save(tmp_path / "x.npy", numbers(50, 70))
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:400])
    with pytest.raises(UnreadableImageError, match="Cannot read the image"):
        read_bands(tmp_path / "x.npy", 1)
    (tmp_path / "x.npy").write_bytes(whole)
    with pytest.raises(UnreadableImageError, match="3,500 values are more than those of 99 pixels"):
        read_bands(tmp_path / "x.npy", 1, max_pixels=99)


def test_pictures_that_pil_reads(tmp_path):
    deep = numbers(5, 7).astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    np.testing.assert_allclose(read_bands(tmp_path / "deep.tif", 1)[0], deep / 65535, rtol=1e-6)
    floating = numbers(5, 7).astype(np.float32) * 3
    Image.fromarray(floating).save(tmp_path / "floating.tif")
    np.testing.assert_array_equal(read_bands(tmp_path / "floating.tif", 1)[0], floating)
    four = numbers(5, 7, 4)
    Image.fromarray(four, "RGBA").save(tmp_path / "four.png")
    np.testing.assert_allclose(
        read_bands(tmp_path / "four.png", 4), four.transpose(2, 0, 1) / 255, rtol=1e-6
    )
    pages = [Image.fromarray(numbers(5, 7, seed=page)) for page in range(5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_allclose(
        read_bands(tmp_path / "pages.tif", 5), np.stack(pages) / 255, rtol=1e-6
    )
    colour = Image.fromarray(numbers(5, 7, 3))
    colour.save(tmp_path / "colour.png")
    np.testing.assert_allclose(
        read_bands(tmp_path / "colour.png", 1)[0], np.asarray(colour.convert("L")) / 255, rtol=1e-6
    )
    with pytest.raises(UnreadableImageError, match=r"it has 3 channel\(s\) \(RGB\), not 4"):
        read_bands(tmp_path / "colour.png", 4)
    with pytest.raises(UnreadableImageError, match="on each of 5 pages"):
        read_bands(tmp_path / "pages.tif", 4)


def test_arrays_are_rgb_pictures_too(tmp_path, reds):
    pixels = numbers(6, 8, 3)
    for name, array in (("rows", pixels), ("planes", pixels.transpose(2, 0, 1))):
        np.save(tmp_path / f"{name}.npy", array)
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / f"{name}.npy")), pixels)
    np.save(tmp_path / "grey.npy", pixels[..., 0])
    assert read_image(tmp_path / "grey.npy").getpixel((0, 0)) == (int(pixels[0, 0, 0]),) * 3
    assert len(reds(picture_folder(tmp_path).train)) == 3
    np.save(tmp_path / "many.npy", numbers(6, 8, 13))
    with pytest.raises(UnreadableImageError, match="no RGB picture of 8 bits; other channels are"):
        read_image(tmp_path / "many.npy")


@pytest.fixture
def scenes(tmp_path):
    """Four pictures of two channels, the second ten times the first and one more."""
    for index in range(4):
        first = numbers(20, 30, seed=index).astype(np.float32)
        path = tmp_path / "scenes" / "ab"[index % 2] / f"{index}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack([first, 10 * first + 1]))
    return tmp_path / "scenes"


@pytest.mark.parametrize("read", [picture_folder, image_folder])
def test_statistics_are_measured_and_said(read, scenes):
    share = {"val_share": 0.5}
    with pytest.raises(ValueError, match="mean and std of the 2 channels are not set") as raised:
        read(scenes, channels=2, **share)
    measured = [np.load(path) for path in sorted(scenes.rglob("*.npy"))]
    if read is picture_folder:  # without a share all four are learned from
        with pytest.raises(ValueError, match="Of 4 training pictures") as raised:
            read(scenes, channels=2)
        values = np.stack(measured).transpose(1, 0, 2, 3).reshape(2, -1)
        words = str(raised.value).split("data.mean=[")[1].split("]")[0].split(",")
        np.testing.assert_allclose([float(word) for word in words], values.mean(1), rtol=1e-3)
        words = str(raised.value).split("data.std=[")[1].split("]")[0].split(",")
        np.testing.assert_allclose([float(word) for word in words], values.std(1), rtol=1e-3)
    splits = read(scenes, channels=2, mean=[0, 1], std=[1, 10], **share)
    view = evaluation_transform(8, splits.channels)(splits.train[0][0])
    torch.testing.assert_close(view[0], view[1], rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="mean has 1 values for 2 channels"):
        read(scenes, channels=2, mean=[0], std=[1], **share)
    with pytest.raises(ValueError, match=r"std=\[1.0, 0.0\] must be above 0"):
        read(scenes, channels=2, mean=[0, 0], std=[1, 0], **share)
    with pytest.raises(ValueError, match="mean and std are for other channels"):
        read(scenes, mean=[0] * 3, std=[1] * 3, **share)


def test_channels_that_cannot_be(scenes, save_picture, tmp_path):
    with pytest.raises(ValueError, match="channels=0 must be at least 1"):
        picture_folder(scenes, channels=0)
    with pytest.raises(ValueError, match="masks=alpha is for RGB pictures, not for 2 channels"):
        picture_folder(scenes, channels=2, mean=[0, 0], std=[1, 1], masks="alpha")


def test_a_constant_channel_has_the_deviation_one():
    images = [(torch.stack([torch.zeros(3, 4), torch.arange(12.0).view(3, 4)]), 0)]
    assert statistics_of(images) == ([0.0, 5.5], [1.0, pytest.approx(3.452, abs=1e-3)])


def test_statistics_hold_one_picture_at_a_time():
    """256 pictures of many channels, 2 GB of Sentinel-2's at 256 px, were held together."""
    alive: list[weakref.ref] = []
    most = 0

    class Images:
        def __len__(self):
            return 40

        def __getitem__(self, index):
            nonlocal most
            values = np.full((2, 4, 4), float(index))
            alive.append(weakref.ref(values))
            most = max(most, sum(reference() is not None for reference in alive))
            return torch.from_numpy(values), 0

    assert statistics_of(Images())[0] == [19.5, 19.5]
    assert most <= 2


def test_digests_tell_other_numbers():
    image = torch.rand(13, 4, 4)
    other = image.clone()
    other[12, 3, 3] += 1e-6
    assert pixel_digest(image) == pixel_digest(image.clone()) != pixel_digest(other)
    assert pixel_digest(image) != pixel_digest(image.view(4, 13, 4))


def recipe(**changes):
    still = {"flip_probability": 0.0, "jitter_probability": 0.0, "blur_probability": 0.0}
    return ViewRecipe(size=16, scale=(1.0, 1.0), ratio=(1.0, 1.0), **(still | changes))


def test_views_of_the_whole_picture_are_the_picture():
    image = torch.rand(13, 16, 16)
    channels = Channels([0.5] * 13, [2.0] * 13)
    views, places = BandViews(recipe(), channels, placements=True)(image)
    for view, place in zip(views, places, strict=True):
        torch.testing.assert_close(view, (image - 0.5) / 2)
        assert place.tolist() == [0, 0, 1, 1, 0]
    views, places = BandViews(recipe(flip_probability=1.0), channels, placements=True)(image)
    torch.testing.assert_close(views[0], (image.flip(-1) - 0.5) / 2)
    assert places[0][4] == 1


def test_brightness_is_one_factor_and_contrast_leaves_means():
    image = torch.rand(4, 16, 16) + 0.1
    channels = Channels([0.0] * 4, [1.0] * 4)
    only = {"jitter_probability": 1.0, "contrast": (1.0, 1.0), "brightness": (0.5, 1.5)}
    factors = BandViews(recipe(**only), channels)(image)[0] / image
    torch.testing.assert_close(factors, factors[:1, :1, :1].expand_as(factors))
    assert factors.std() < 1e-5
    only = {"jitter_probability": 1.0, "contrast": (0.5, 0.5), "brightness": (1.0, 1.0)}
    view = BandViews(recipe(**only), channels)(image)[0]
    torch.testing.assert_close(view.mean((1, 2)), image.mean((1, 2)))
    torch.testing.assert_close(view.std((1, 2)), image.std((1, 2)) / 2)


def test_blurred_views_keep_their_sums_and_lose_detail():
    image = torch.rand(1, 16, 16)
    blurred = BandViews(recipe(blur_probability=1.0, blur_sigmas=(2.0, 2.0)), Channels([0], [1]))
    view = blurred(image)[0]
    assert view.std() < 0.5 * image.std()
    assert view.mean() == pytest.approx(image.mean().item(), abs=0.05)


def test_views_depend_on_seed_epoch_and_index_alone(scenes):
    images = ImageFiles(sorted(scenes.rglob("*.npy")), [0] * 4, channels=2)
    transform = BandViews(ViewRecipe(size=8), Channels([0, 0], [1, 1]), placements=True)
    samples = TwoViewDataset(images, transform, seed=3, placements=True)
    views, _, places, _ = samples[(1, 2)]
    torch.rand(7)
    again = samples[(1, 2)]
    assert all(torch.equal(one, other) for one, other in zip(views, again[0], strict=True))
    assert not torch.equal(views[0], samples[(2, 2)][0][0])
    left, top, right, bottom, mirrored = places[0].tolist()
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    assert mirrored in (0, 1)
    with seeded_draws(3, 1, 2):
        assert torch.equal(transform(images[2][0])[0][0], views[0])


def test_people_are_shown_three_channels():
    assert shown_bands(13) == [0, 1, 2]
    assert shown_bands(13, (3, 2, 1)) == [3, 2, 1]
    assert shown_bands(1) == shown_bands(2) == [0, 0, 0]
    image = torch.rand(13, 4, 6) * 1e4
    shown = as_picture(image, Channels(image.mean((1, 2)).tolist(), image.std((1, 2)).tolist()))
    assert (shown.size, shown.mode) == ((6, 4), "RGB")
    assert 60 < np.asarray(shown).mean() < 180
