"""Every kind of picture file against values worked out by hand, and every kind of bad file."""

import errno
import io
import os
import random
import signal
import struct

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

from salmask_plugin.lab.data import ImageFiles, UnreadableImageError, list_images, read_image
from salmask_plugin.lab.data.reading import FORMATS

RAMP = np.arange(0, 65536, 101, dtype=np.uint16)[:640].reshape(20, 32)


def corner_picture() -> Image.Image:
    """3 wide, 2 high: a red pixel at the top left, the rest blue."""
    pixels = np.full((2, 3, 3), (0, 0, 255), np.uint8)
    pixels[0, 0] = (255, 0, 0)
    return Image.fromarray(pixels)


def test_colour_is_unchanged(tmp_path):
    corner_picture().save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert (image.mode, image.size) == ("RGB", (3, 2))
    assert np.array_equal(np.asarray(image), np.asarray(corner_picture()))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled_not_cut_off(tmp_path, suffix):
    Image.fromarray(RAMP).save(tmp_path / f"a.{suffix}")
    pixels = np.asarray(read_image(tmp_path / f"a.{suffix}"))
    expected = np.array([[round(int(value) / 257) for value in row] for row in RAMP])
    assert np.array_equal(pixels, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    # Where the red corner of the stored picture belongs: (row, column) of the upright one.
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner_picture().save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert image.size == ((3, 2) if orientation <= 4 else (2, 3))
    red = np.argwhere(np.asarray(image)[..., 0] == 255)
    height, width = image.size[::-1]
    row, column = (0 if corner[0] == "t" else height - 1), (0 if corner[1] == "l" else width - 1)
    assert red.tolist() == [[row, column]]


def test_transparency_shows_white(tmp_path):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 0] = 200
    pixels[:, 0, 3], pixels[:, 1, 3], pixels[:, 2, 3] = 0, 255, 51
    Image.fromarray(pixels).save(tmp_path / "a.png")
    row = np.asarray(read_image(tmp_path / "a.png"))[0].tolist()
    assert row == [[255, 255, 255], [200, 0, 0], [244, 204, 204]]  # 255 - (255 - value) / 5


def test_grey_with_transparency(tmp_path):
    pixels = np.array([[[10, 255], [10, 0]]], np.uint8)
    Image.fromarray(pixels, "LA").save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png"))[0].tolist() == [[10] * 3, [255] * 3]


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 30, 40, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=0)
    assert np.asarray(read_image(tmp_path / "plain.png"))[0].tolist() == [[9, 8, 7], [30, 40, 50]]
    assert np.asarray(read_image(tmp_path / "clear.png"))[0].tolist() == [[255] * 3, [30, 40, 50]]


@pytest.mark.parametrize(("mode", "value", "expected"), [("1", 1, 255), ("L", 77, 77)])
def test_one_channel(tmp_path, mode, value, expected):
    Image.new(mode, (1, 1), value).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png")).tolist() == [[[expected] * 3]]


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_cmyk(tmp_path, suffix):
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / f"a.{suffix}")
    pixels = np.asarray(read_image(tmp_path / f"a.{suffix}")).astype(int)
    assert np.abs(pixels - (0, 255, 255)).max() <= 3  # cyan


def test_several_frames_give_the_first(tmp_path):
    first, second = Image.new("RGB", (2, 2), (1, 2, 3)), Image.new("RGB", (2, 2), (9, 9, 9))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert read_image(tmp_path / "a.tif").getpixel((0, 0)) == (1, 2, 3)


def truncated(path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"half.{suffix}"
    truncated(path)
    with pytest.raises(UnreadableImageError, match=f"half.{suffix}"):
        read_image(path)


def test_empty_missing_folder_and_text(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    for name, reason in (
        ("empty.png", "empty, or not in a known"),
        ("text.jpg", "empty, or not in a known"),
        ("absent.png", "no such file"),
        ("", "Is a directory"),
    ):
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(tmp_path / name)


def test_undefined_white_is_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((2, 2), 70000, np.int32)).save(tmp_path / "wide.tif")
    with pytest.raises(UnreadableImageError, match=r"float.tif.*no defined white"):
        read_image(tmp_path / "float.tif")
    with pytest.raises(UnreadableImageError, match=r"wide.tif.*no defined white"):
        read_image(tmp_path / "wide.tif")


def test_pixel_limit(tmp_path):
    corner_picture().save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", max_pixels=6).size == (3, 2)
    with pytest.raises(UnreadableImageError, match=r"3x2 pixels are more than max_pixels=5"):
        read_image(tmp_path / "a.png", max_pixels=5)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 20_000])  # above PIL's warning, above PIL's error
def test_decompression_bomb(tmp_path, side):
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(UnreadableImageError, match=r"bomb.png"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp", "ppm"])
def test_damaged_bytes_give_a_picture_or_the_error(tmp_path, suffix):
    corner_picture().resize((17, 13)).save(tmp_path / f"a.{suffix}")
    sound = (tmp_path / f"a.{suffix}").read_bytes()
    draw = random.Random(4)
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(4):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / f"a.{suffix}").write_bytes(damaged)
        try:
            mode = read_image(tmp_path / f"a.{suffix}", max_pixels=10**6).mode
        except UnreadableImageError:
            continue
        assert mode == "RGB"


def test_a_program_in_a_file_called_jpg_is_not_run(tmp_path, monkeypatch):
    """A picture in PostScript goes to whatever is called gs: here something that leaves a mark."""
    mark, program = tmp_path / "executed", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    corner_picture().save(tmp_path / "a.eps")
    path = (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImageError, match=r"a\.jpg.*known picture format"):
        read_image(path)
    assert not mark.exists()
    with pytest.raises(OSError, match=r"\w"), Image.open(path) as opened:
        opened.load()
    assert mark.exists(), "PIL alone would have run it"


def written(path, kind):
    """Whether PIL writes this format here, in one mode or another."""
    for mode in ("RGB", "P", "1"):
        try:
            corner_picture().resize((32, 32)).convert(mode).save(path, format=kind)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue
        return True
    return False


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_exactly_the_listed_formats_are_decoded(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.EXTENSION))  # SPIDER takes .jpg over
    path = tmp_path / "a.jpg"
    read, refused = set(), {}
    for kind in filter(lambda kind: written(path, kind), Image.SAVE):
        try:
            found = read_image(path)
        except UnreadableImageError as error:
            refused[kind] = str(error)
        else:
            read.add(kind)
            assert found.size == (32, 32)
    assert read == {*FORMATS, "MPO"}  # MPO is JPEG pictures in a row, the first of which is read
    assert {"AVIF", "BLP", "EPS", "ICO", "PDF", "TGA"} & set(Image.SAVE) <= set(refused)
    words = "a.jpg': empty, or not in a known picture format (BMP, GIF, JPEG"
    assert all(words in reason for reason in refused.values())


@pytest.fixture
def alarm():
    """End what hangs: a regression must not stop the whole suite."""

    def ring(number, frame):
        raise KeyboardInterrupt("the reading hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_pipes_devices_and_sockets_are_not_opened(tmp_path):
    corner_picture().save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    for name, reason in (("pipe.jpg", "a named pipe"), ("endless.jpg", "a device")):
        with pytest.raises(UnreadableImageError, match=f"{name}.*{reason}"):
            read_image(tmp_path / name)
    paths = list_images(tmp_path)
    images = ImageFiles(paths, [0] * len(paths), "skip")
    assert [path.name for path in images.paths] == ["good.png"]
    assert {path.name for path in images.unreadable} == {"pipe.jpg", "endless.jpg"}


class Odd(ImageFile.ImageFile):
    """A decoder that fails as no other does."""

    error: Exception

    def _open(self):
        raise self.error


@pytest.mark.parametrize(
    "error", [NotImplementedError("x"), ZeroDivisionError(), AssertionError(), RecursionError()]
)
def test_whatever_a_decoder_raises_is_the_file_s(tmp_path, monkeypatch, error):
    corner_picture().save(tmp_path / "a.png")
    monkeypatch.setattr(Odd, "error", error, raising=False)
    monkeypatch.setitem(Image.OPEN, "PNG", (Odd, None))
    with pytest.raises(UnreadableImageError, match=r"a\.png': (x|\w+Error)\."):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.EMFILE, "Too many open files"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
    ],
)
def test_what_is_the_machine_s_makes_no_file_unreadable(tmp_path, monkeypatch, error):
    corner_picture().save(tmp_path / "a.png")
    monkeypatch.setattr(Odd, "error", error, raising=False)
    monkeypatch.setitem(Image.OPEN, "PNG", (Odd, None))
    images = ImageFiles([tmp_path / "a.png"], [0], "replace")
    with pytest.raises(type(error)) as caught:
        images[0]
    assert caught.value is error
    assert images.unreadable == ()


def exif_with_a_text_resolution(orientation):
    """A little-endian EXIF block whose XResolution (0x011A) is a text."""
    entries = struct.pack("<HHHII", 2, 0x0112, 3, 1, orientation)
    entries += struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + entries + struct.pack("<I", 0)


def test_a_text_where_exif_has_a_number_does_no_harm(tmp_path):
    picture = corner_picture().resize((48, 32), Image.Resampling.NEAREST)
    for name, block in (("plain", b""), ("turned", exif_with_a_text_resolution(6))):
        stored = io.BytesIO()
        picture.save(stored, "JPEG", exif=block, quality=95)
        (tmp_path / f"{name}.jpg").write_bytes(stored.getvalue())
    plain, turned = (read_image(tmp_path / f"{name}.jpg") for name in ("plain", "turned"))
    assert turned.size == (32, 48)
    # Orientation 6: the stored top row is the upright right column.
    assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(plain), -1))


def test_exif_that_cannot_be_read_says_no_orientation(tmp_path):
    corner_picture().save(tmp_path / "a.jpg", exif=b"Exif\0\0no TIFF header")
    assert read_image(tmp_path / "a.jpg").size == (3, 2)
