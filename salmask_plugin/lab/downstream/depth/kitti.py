"""KITTI raw in its own layout, with the lists of frames that the user brings (Eigen, Zhou)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.checks import check_choice
from salmask_plugin.file_names import path_below
from salmask_plugin.lab.data.folders import existing_folder
from salmask_plugin.lab.data.reading import read_image
from salmask_plugin.lab.data.text_files import read_text
from salmask_plugin.lab.downstream.depth.kitti_camera import (
    Measured,
    camera_of,
    check_laser_calibration,
    check_scan_size,
    laser_depth,
    read_calibration,
)
from salmask_plugin.lab.downstream.depth.splits import DepthSplits, Triplet
from salmask_plugin.lab.errors import first_of

Intrinsics = Literal["shared", "calibrated"]
SHARED = ((0.58, 0.0, 0.5), (0.0, 1.92, 0.5), (0.0, 0.0, 1.0))
"""One camera for all drives, in shares of width and height, as Monodepth2 has it."""
CAMERAS = {"l": "02", "r": "03", "2": "02", "3": "03"}
SUFFIXES = (".jpg", ".png")
SHOWN = 3


@dataclass(frozen=True)
class Frame:
    """One line of a list: ``2011_09_26/2011_09_26_drive_0001_sync 12 l``.

    Attributes:
        drive: folder of the drive below the root.
        number: of the frame.
        camera: "02" (left) or "03" (right).
    """

    drive: str
    number: int
    camera: str


def kitti(
    root: str | Path,
    train_list: str | Path = "splits/eigen_zhou/train_files.txt",
    test_list: str | Path = "splits/eigen/test_files.txt",
    intrinsics: Intrinsics = "shared",
    measured: Measured = "forward",
    limit_train: int | None = None,
    limit_test: int | None = None,
) -> DepthSplits:
    """Read KITTI raw: DATE/DRIVE/image_0{2,3}/data, velodyne_points/data and DATE/calib_*.txt.

    The lists are not part of KITTI: ``eigen_zhou/train_files.txt`` (39,810 frames with two
    neighbours and motion) and ``eigen/test_files.txt`` (697) are in Monodepth2's repository.
    Pictures may be PNG as published or JPEG. Nothing is written.

    Args:
        root: the folder with the dates.
        train_list: of the frames to train on, relative to ``root`` or absolute.
        test_list: of the frames to measure on.
        intrinsics: "shared": one average camera, as Monodepth2; "calibrated": each drive's own.
        measured: what the laser's depth is, see
            :func:`~salmask_plugin.lab.downstream.depth.kitti_camera.laser_depth`.
        limit_train: an evenly spaced subset of so many frames; None takes all.
        limit_test: the same of the test.

    Raises:
        ValueError: if a folder, list, picture, neighbour, scan or calibration is missing or cannot
            be understood, or an argument is out of range.

    References:
        Geiger et al. 2013, https://doi.org/10.1177/0278364913491297; Eigen et al. 2014,
        https://arxiv.org/abs/1406.2283; Zhou et al. 2017, https://arxiv.org/abs/1704.07813.
    """
    check_choice(intrinsics, "intrinsics", Intrinsics)
    check_choice(measured, "measured", Measured)
    folder = existing_folder(root)
    train, test = (
        _spaced(read_frames(folder / path), limit, name)
        for path, limit, name in (
            (train_list, limit_train, "limit_train"),
            (test_list, limit_test, "limit_test"),
        )
    )
    _check_pictures(folder, train, (-1, 0, 1))
    _check_pictures(folder, test, (0,))
    _check_scans(folder, test)
    for frame in {(f.drive, f.camera): f for f in (*train, *test)}.values():
        if intrinsics == "calibrated" or frame in test:
            camera_of(read_calibration(_date(folder, frame) / "calib_cam_to_cam.txt"), frame.camera)
    words = "one average camera" if intrinsics == "shared" else "each drive's camera"
    return DepthSplits(
        KittiTriplets(folder, train, intrinsics),
        KittiDepth(folder, test, measured),
        "kitti raw",
        (f"{words} for training; depth is the laser's {measured} distance",),
    )


def read_frames(path: Path) -> tuple[Frame, ...]:
    """Read a list: one ``DATE/DRIVE NUMBER SIDE`` per line, side l, r, 2 or 3.

    Raises:
        ValueError: if the file is missing or empty, or a line is of another form.
    """
    if not path.is_file():
        raise ValueError(
            f"There is no list of frames {path}. The Eigen and Zhou lists are in Monodepth2's "
            "repository (splits/); give their place as train_list and test_list."
        )
    frames = []
    for place, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 3 or not parts[1].isdecimal() or parts[2] not in CAMERAS:
            raise ValueError(
                f"{path}, line {place}: {line!r} is not 'DATE/DRIVE NUMBER SIDE' with a side of "
                f"{', '.join(CAMERAS)}."
            )
        path_below(Path(), parts[0], f"{path}, line {place}: drive", follow_links=True)
        frames.append(Frame(parts[0], int(parts[1]), CAMERAS[parts[2]]))
    if not frames:
        raise ValueError(f"{path} names no frame.")
    return tuple(frames)


class KittiTriplets:
    """Frames with their neighbours; see :func:`kitti`."""

    def __init__(self, root: Path, frames: Sequence[Frame], intrinsics: Intrinsics) -> None:
        self._root = root
        self._frames = tuple(frames)
        self.names = tuple(f"{f.drive} {f.number} {f.camera}" for f in frames)
        self._intrinsics = intrinsics

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Triplet:
        frame = self._frames[index]
        before, now, after = (_picture(self._root, frame, step) for step in (-1, 0, 1))
        return before, now, after

    def intrinsics(self, index: int) -> NDArray[np.float64]:
        """Return the camera matrix (3, 3) in shares of width and height."""
        if self._intrinsics == "shared":
            return np.array(SHARED)
        frame = self._frames[index]
        calibration = read_calibration(_date(self._root, frame) / "calib_cam_to_cam.txt")
        return camera_of(calibration, frame.camera)


class KittiDepth:
    """Pictures with the laser's depth in them; see :func:`kitti`."""

    def __init__(self, root: Path, frames: Sequence[Frame], measured: Measured) -> None:
        self._root = root
        self._frames = tuple(frames)
        self.names = tuple(f"{f.drive} {f.number} {f.camera}" for f in frames)
        self._measured: Measured = measured

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Image.Image:
        return _picture(self._root, self._frames[index], 0)

    def depth(self, index: int) -> NDArray[np.float32]:
        """Return (H, W) metres, 0 where no laser point falls."""
        frame = self._frames[index]
        return laser_depth(
            _scan(self._root, frame), _date(self._root, frame), frame.camera, self._measured
        )


def _date(root: Path, frame: Frame) -> Path:
    return root / frame.drive.split("/")[0]


def _scan(root: Path, frame: Frame) -> Path:
    return root / frame.drive / "velodyne_points" / "data" / f"{frame.number:010d}.bin"


def _picture(root: Path, frame: Frame, step: int) -> Image.Image:
    folder = root / frame.drive / f"image_{frame.camera}" / "data"
    names = _names(folder)
    name = f"{frame.number + step:010d}"
    return read_image(next(folder / (name + s) for s in SUFFIXES if name + s in names))


@lru_cache(maxsize=512)
def _names(folder: Path) -> frozenset[str]:
    """The pictures of a drive, listed once: 120,000 questions to a file system are slow."""
    return frozenset(p.name for p in folder.iterdir()) if folder.is_dir() else frozenset()


def _check_pictures(root: Path, frames: Sequence[Frame], steps: Sequence[int]) -> None:
    _names.cache_clear()
    missing = []
    for frame in frames:
        folder = root / frame.drive / f"image_{frame.camera}" / "data"
        names = _names(folder)
        for step in steps:
            name = f"{frame.number + step:010d}"
            if not any(name + suffix in names for suffix in SUFFIXES):
                why = f", a neighbour of frame {frame.number}" if step else ""
                missing.append(f"{folder / name}.jpg or .png{why}")
    _refuse(missing, "picture(s)")


def _check_scans(root: Path, frames: Sequence[Frame]) -> None:
    scans = [_scan(root, frame) for frame in frames]
    _refuse([str(path) for path in scans if not path.is_file()], "laser scan(s)")
    for path in scans:
        check_scan_size(path)
    for folder in sorted({_date(root, frame) for frame in frames}):
        check_laser_calibration(folder)


def _refuse(missing: Sequence[str], what: str) -> None:
    if missing:
        named = first_of(missing, SHOWN)
        raise ValueError(f"{len(missing)} {what} of the lists are missing: {named}.")


def _spaced(frames: tuple[Frame, ...], limit: int | None, name: str) -> tuple[Frame, ...]:
    if limit is None:
        return frames
    if not 1 <= limit <= len(frames):
        raise ValueError(f"{name}={limit} must be between 1 and {len(frames)}, the list's length.")
    return tuple(frames[place * len(frames) // limit] for place in range(limit))
