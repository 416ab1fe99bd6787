"""KITTI raw's layout, on a folder made here, against a projection point by point."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.lab.data import differences
from salmask_plugin.lab.downstream.depth.kitti import kitti
from salmask_plugin.lab.downstream.depth.splits import DepthImages, FrameTriplets, identity_of

DATE, DRIVE = "2011_09_26", "2011_09_26/2011_09_26_drive_0001_sync"
WIDTH, HEIGHT = 62, 20
ROTATION = "0 -1 0 0 0 -1 1 0 0"  # the laser looks along x, the camera along z
CAMERAS = f"""calib_time: 09-Jan-2012 13:57:47
R_rect_00: 1 0 0 0 1 0 0 0 1
S_rect_02: {WIDTH} {HEIGHT}
P_rect_02: 40 0 30 4 0 41 9 0 0 0 1 0
S_rect_03: {WIDTH} {HEIGHT}
P_rect_03: 42 0 31 -8 0 43 10 0 0 0 1 0
"""
POINTS = np.array(
    [
        [10, 0, 0, 0.5],
        [12, 0, 0, 0.5],  # behind the first, in the same pixel
        [20, 3, 1, 0.1],
        [8, -4, -1, 0.1],
        [5, 30, 0, 0.1],  # outside
        [-6, 0, 0, 0.1],  # behind the car
        [0.2, 0, 0, 0.1],  # in front of the laser, behind the camera
    ],
    np.float32,
)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for camera, suffix in (("02", "png"), ("03", "jpg")):
        place = tmp_path / DRIVE / f"image_{camera}" / "data"
        place.mkdir(parents=True)
        for number in range(4):
            pixels = np.full((HEIGHT, WIDTH, 3), 40 * number + 10, np.uint8)
            pixels[:5, :7] = rng.integers(0, 255, (5, 7, 3))
            Image.fromarray(pixels).save(place / f"{number:010d}.{suffix}")
    scans = tmp_path / DRIVE / "velodyne_points" / "data"
    scans.mkdir(parents=True)
    POINTS.tofile(scans / f"{1:010d}.bin")
    (tmp_path / DATE / "calib_cam_to_cam.txt").write_text(CAMERAS)
    (tmp_path / DATE / "calib_velo_to_cam.txt").write_text(f"R: {ROTATION}\nT: 0 0 -0.3\n")
    (tmp_path / "train.txt").write_text(f"{DRIVE} 1 l\n{DRIVE} 2 r\n\n")
    (tmp_path / "test.txt").write_text(f"{DRIVE} 0000000001 l\n")
    return tmp_path


def read(folder, **changes):
    return kitti(folder, **{"train_list": "train.txt", "test_list": "test.txt", **changes})


def test_frames_come_in_the_order_of_time(folder):
    splits = read(folder)
    assert isinstance(splits.train, FrameTriplets)
    assert isinstance(splits.test, DepthImages)
    assert (len(splits.train), len(splits.test)) == (2, 1)
    for index, middle in enumerate((1, 2)):
        values = [np.asarray(frame)[-1, -1, 0] for frame in splits.train[index]]
        expected = [40 * number + 10 for number in (middle - 1, middle, middle + 1)]
        assert values == pytest.approx(expected, abs=2)  # the right camera's are JPEG
    assert splits.test[0].size == (WIDTH, HEIGHT)


def test_cameras_are_shared_or_the_drives_own(folder):
    shared = read(folder).train.intrinsics(1)
    assert shared.tolist() == [[0.58, 0, 0.5], [0, 1.92, 0.5], [0, 0, 1]]
    own = read(folder, intrinsics="calibrated").train
    left, right = own.intrinsics(0), own.intrinsics(1)
    assert left == pytest.approx(
        np.array([[40 / 62, 0, 30.5 / 62], [0, 41 / 20, 9.5 / 20], [0, 0, 1]])
    )
    assert right[0, 0] == pytest.approx(42 / 62)


@pytest.mark.parametrize("measured", ["forward", "camera"])
@pytest.mark.parametrize("side", ["l", "3"])
def test_laser_points_fall_where_the_camera_sees_them(folder, measured, side):
    (folder / "test.txt").write_text(f"{DRIVE} 1 {side}\n")
    found = read(folder, measured=measured).test.depth(0)
    fx, cx, fy, cy, shift = (40, 30, 41, 9, 4) if side == "l" else (42, 31, 43, 10, -8)
    expected = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y, z, _ in POINTS.tolist():
        right, down, ahead = -y, -z, x - 0.3
        if x < 0 or ahead <= 0:
            continue
        column = round((fx * right + cx * ahead + shift) / ahead) - 1
        row = round((fy * down + cy * ahead) / ahead) - 1
        depth = x if measured == "forward" else ahead
        if (
            0 <= row < HEIGHT
            and 0 <= column < WIDTH
            and (expected[row, column] == 0 or depth < expected[row, column])
        ):
            expected[row, column] = depth
    assert (expected > 0).sum() == 3
    assert np.allclose(found, expected, atol=1e-5)


def test_a_subset_is_spread_over_the_list(folder):
    assert len(read(folder, limit_train=1).train) == 1
    with pytest.raises(ValueError, match="limit_train=3 must be between 1 and 2"):
        read(folder, limit_train=3)


def _remove(folder, path):
    (folder / path).unlink()


BROKEN = {
    "no list": (lambda f: _remove(f, "train.txt"), "There is no list of frames"),
    "empty list": (lambda f: (f / "test.txt").write_text("\n"), "names no frame"),
    "bad line": (
        lambda f: (f / "train.txt").write_text(f"{DRIVE} 1 l\n{DRIVE} one l\n"),
        "line 2: '2011_09_26/2011_09_26_drive_0001_sync one l' is not 'DATE/DRIVE NUMBER SIDE'",
    ),
    "no neighbour": (
        lambda f: (f / "train.txt").write_text(f"{DRIVE} 3 l\n"),
        "0000000004.jpg or .png, a neighbour of frame 3",
    ),
    "first frame": (lambda f: (f / "train.txt").write_text(f"{DRIVE} 0 l\n"), "a neighbour of"),
    "no drive": (
        lambda f: (f / "train.txt").write_text("2011_09_28/other 1 l\n"),
        "3 picture(s) of the lists are missing",
    ),
    "no scan": (
        lambda f: _remove(f, f"{DRIVE}/velodyne_points/data/0000000001.bin"),
        "1 laser scan(s) of the lists are missing",
    ),
    "half a scan": (
        lambda f: os.truncate(f / DRIVE / "velodyne_points/data/0000000001.bin", 108),
        "0000000001.bin has 108 bytes; 16 are x, y, z and reflectance of a point",
    ),
    "no calibration": (lambda f: _remove(f, f"{DATE}/calib_velo_to_cam.txt"), "no calibration"),
    "no entry": (
        lambda f: (f / DATE / "calib_cam_to_cam.txt").write_text(CAMERAS.replace("P_rect_02", "P")),
        "P_rect_02 is missing",
    ),
    "short entry": (
        lambda f: (f / DATE / "calib_velo_to_cam.txt").write_text("R: 1 0 0\nT: 0 0 0\n"),
        "R has 3 numbers in the calibration; it must have 9",
    ),
    "wrong camera": (
        lambda f: (f / DATE / "calib_cam_to_cam.txt").write_text(
            CAMERAS.replace("P_rect_02: 40 0 30", "P_rect_02: 40 0 700")
        ),
        "P_rect_02 is no camera of a picture of 62x20 pixels",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_faults_are_named_before_anything_is_trained(folder, fault):
    damage, words = BROKEN[fault]
    damage(folder)
    with pytest.raises(ValueError, match=re.escape(words)):
        read(folder)


@pytest.mark.parametrize("name", ["intrinsics", "measured"])
def test_unknown_choices_are_refused(folder, name):
    with pytest.raises(ValueError, match=f"{name}='other' must be one of"):
        read(folder, **{name: "other"})


def _repaint(folder):
    place = folder / DRIVE / "image_02" / "data" / f"{2:010d}.png"
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(place)


def _rescan(folder):
    (POINTS + 1).tofile(folder / DRIVE / "velodyne_points" / "data" / f"{1:010d}.bin")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: None, []),
        (
            lambda folder: (folder / "train.txt").write_text(f"{DRIVE} 2 l\n{DRIVE} 2 r\n"),
            ["other files among the training images"],
        ),
        (_repaint, ["1 of the 2 training images that are compared show something else"]),
        (_rescan, ["1 of the 1 test images that are compared show something else"]),
    ],
)
def test_what_changed_is_said(folder, change, words):
    before = identity_of(read(folder))
    change(folder)
    assert differences(before, identity_of(read(folder))) == words
