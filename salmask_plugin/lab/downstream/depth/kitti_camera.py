"""KITTI's calibration files, and where its laser's points fall in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.lab.data.text_files import read_text

Measured = Literal["forward", "camera"]
FOCAL_SHARES = (0.2, 5.0)
"""Range of a focal length in shares of the picture's side that a camera of a car can have."""
POINT = 16
"""Bytes of a laser point."""
Calibration = Mapping[str, NDArray[np.float64]]


@lru_cache(maxsize=64)
def read_calibration(path: Path) -> Calibration:
    """Read the lines ``NAME: number number ...``; lines of other things are left out.

    Raises:
        ValueError: if the file is missing.
    """
    if not path.is_file():
        raise ValueError(f"There is no calibration {path}; it comes with each date of KITTI raw.")
    found = {}
    for line in read_text(path).splitlines():
        name, _, rest = line.partition(":")
        try:
            found[name.strip()] = np.array([float(part) for part in rest.split()])
        except ValueError:
            continue  # the date of the calibration
    return found


def camera_of(calibration: Calibration, camera: str) -> NDArray[np.float64]:
    """Return the rectified camera matrix (3, 3), its rows divided by width and height.

    The centre counts from the picture's corner, not from the first pixel's middle, so that
    mirroring and resizing keep the shares right.

    Args:
        calibration: of ``calib_cam_to_cam.txt``.
        camera: "02" or "03".

    Raises:
        ValueError: if an entry is missing, or the matrix is none that a camera can have.
    """
    width, height = _entry(calibration, f"S_rect_{camera}", (2,))
    projection = _entry(calibration, f"P_rect_{camera}", (3, 4))
    centred = projection[:, :3] + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    matrix = centred / np.array([[width], [height], [1.0]])
    low, high = FOCAL_SHARES
    plausible = (
        low < matrix[0, 0] < high
        and low < matrix[1, 1] < high
        and 0 < matrix[0, 2] < 1
        and 0 < matrix[1, 2] < 1
        and np.allclose(matrix[2], (0, 0, 1))
        and np.allclose((matrix[0, 1], matrix[1, 0]), 0)
    )
    if not plausible:
        raise ValueError(
            f"P_rect_{camera} is no camera of a picture of {width:g}x{height:g} pixels: focal "
            f"lengths must be {low} to {high} times its sides, the centre inside; in shares it is "
            f"{np.round(matrix, 3).tolist()}."
        )
    return np.asarray(matrix, np.float64)


def check_laser_calibration(date: Path) -> None:
    """Raise ValueError if what :func:`laser_depth` needs of a date's calibration is missing."""
    cameras = read_calibration(date / "calib_cam_to_cam.txt")
    _entry(cameras, "R_rect_00", (3, 3))
    laser = read_calibration(date / "calib_velo_to_cam.txt")
    _entry(laser, "R", (3, 3))
    _entry(laser, "T", (3,))


def check_scan_size(scan: Path) -> None:
    """Raise ValueError if a scan is empty, or its last point was cut off, as by a broken copy."""
    size = scan.stat().st_size
    if size == 0 or size % POINT:
        raise ValueError(
            f"{scan} has {size} bytes; {POINT} are x, y, z and reflectance of a point."
        )


def laser_depth(
    scan: Path, date: Path, camera: str, measured: Measured = "forward"
) -> NDArray[np.float32]:
    """Return the sparse depth (H, W) in metres of one scan in a rectified picture; 0 is none.

    Of several points in a pixel the nearest counts. Pixels are the projection rounded, less one,
    the convention of KITTI's own tools and of all published numbers on the Eigen split.

    Args:
        scan: ``velodyne_points/data/NUMBER.bin``.
        date: the folder with the calibration.
        camera: "02" or "03".
        measured: "forward": the distance along the laser's own axis, which published numbers on the
            Eigen split use; "camera": the camera's z, about 0.3 m less.

    Raises:
        ValueError: if scan or calibration cannot be understood.
    """
    check_scan_size(scan)
    values = np.fromfile(scan, np.float32)
    points = values.reshape(-1, 4)[:, :3].astype(np.float64)
    points = points[points[:, 0] >= 0]
    cameras = read_calibration(date / "calib_cam_to_cam.txt")
    laser = read_calibration(date / "calib_velo_to_cam.txt")
    placed = points @ _entry(laser, "R", (3, 3)).T + _entry(laser, "T", (3,))
    rectified = placed @ _entry(cameras, "R_rect_00", (3, 3)).T
    projection = _entry(cameras, f"P_rect_{camera}", (3, 4))
    projected = rectified @ projection[:, :3].T + projection[:, 3]
    width, height = (int(side) for side in _entry(cameras, f"S_rect_{camera}", (2,)))
    seen = projected[:, 2] > 0
    projected, points = projected[seen], points[seen]
    columns, rows = (np.rint(projected[:, :2] / projected[:, 2:]) - 1).T
    inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
    depth = points[:, 0] if measured == "forward" else projected[:, 2]
    nearest = np.full((height, width), np.inf)
    place = rows[inside].astype(int), columns[inside].astype(int)
    np.minimum.at(nearest, place, depth[inside])
    return np.where(np.isfinite(nearest), nearest, 0).astype(np.float32)


def _entry(calibration: Calibration, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    values = calibration.get(name)
    if values is None or values.size != np.prod(shape):
        found = "is missing" if values is None else f"has {values.size} numbers"
        raise ValueError(
            f"{name} {found} in the calibration; it must have {np.prod(shape)} numbers."
        )
    return values.reshape(shape)
