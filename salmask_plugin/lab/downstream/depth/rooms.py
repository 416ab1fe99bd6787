"""Rooms and the rides through them, seen by rays: pictures, depth and camera motion are exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FOCAL = 0.6
"""Focal length in shares of the width."""
SUPERSAMPLING = 3
"""Rays per pixel and axis: a pixel shows the mean over its area, as a camera's does."""


@dataclass(frozen=True)
class Surface:
    """A textured rectangle in the room; metres, x to the right, y down, z forward.

    Attributes:
        centre: (3,).
        axes: (2, 3) unit vectors in the rectangle.
        reach: (2,) half its sides.
        waves: (N, 2) of the texture, radians per metre along the axes.
        phases: (N,).
        colours: (N, 3) weights of the waves.
        ground: (3,) mean colour.
    """

    centre: Array
    axes: Array
    reach: Array
    waves: Array
    phases: Array
    colours: Array
    ground: Array


@dataclass(frozen=True, eq=False)
class Ride:
    """The frames of one camera through one room.

    Attributes:
        images: (F, H, W, 3) uint8.
        depths: (F, H, W) float32, z in metres at the pixels' centres.
        cameras: (F, 4, 4) world to camera.
    """

    images: NDArray[np.uint8]
    depths: NDArray[np.float32]
    cameras: Array


def camera_shares(width: int, height: int) -> Array:
    """Return the camera of all rides: square pixels, its centre in the middle of the picture."""
    return np.array([[FOCAL, 0, 0.5], [0, FOCAL * width / height, 0.5], [0, 0, 1.0]])


def draw_ride(rng: np.random.Generator, frames: int, width: int, height: int) -> Ride:
    """Draw a room and ride through it."""
    surfaces = _room(rng)
    step = rng.uniform(0.25, 0.4)
    images, depths, cameras = [], [], []
    for frame in range(frames):
        place = np.array([rng.uniform(-0.05, 0.05), rng.uniform(-0.02, 0.02), step * frame])
        turn = _turn(rng.uniform(-0.015, 0.015))  # camera to world
        camera = np.eye(4)
        camera[:3, :3], camera[:3, 3] = turn.T, -turn.T @ place
        fine, _ = _cast(surfaces, place, turn, width, height, SUPERSAMPLING)
        cells = fine.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean((1, 3))
        images.append((cells.clip(0, 1) * 255 + 0.5).astype(np.uint8))
        depths.append(_cast(surfaces, place, turn, width, height, 1)[1].astype(np.float32))
        cameras.append(camera)
    return Ride(np.stack(images), np.stack(depths), np.stack(cameras))


def _room(rng: np.random.Generator) -> list[Surface]:
    """A floor 1.5 m below the camera, two side walls, an end wall, and boards on the floor."""
    right, down, ahead = np.eye(3)
    end, far = rng.uniform(14, 18), 40.0
    left, other = rng.uniform(-5, -3), rng.uniform(3, 5)
    made = [
        _surface(rng, np.array([0, 1.5, 0]), (right, ahead), (far, far)),
        _surface(rng, np.array([0, 0, end]), (right, down), (far, far)),
        _surface(rng, np.array([left, 0, 0]), (ahead, down), (far, far)),
        _surface(rng, np.array([other, 0, 0]), (ahead, down), (far, far)),
    ]
    for _ in range(rng.integers(2, 4)):
        reach = rng.uniform(0.4, 1.0), rng.uniform(0.5, 1.2)
        centre = np.array([rng.uniform(left + 1, other - 1), 1.5 - reach[1], rng.uniform(6, 11)])
        made.append(_surface(rng, centre, (_turn(rng.uniform(-0.5, 0.5)) @ right, down), reach))
    return made


def _surface(
    rng: np.random.Generator,
    centre: Array,
    axes: tuple[Array, Array],
    reach: tuple[float, float],
    waves: int = 8,
) -> Surface:
    lengths, angles = rng.uniform(1.5, 6.0, waves), rng.uniform(0, np.pi, waves)
    along = np.stack([np.cos(angles), np.sin(angles)], 1) * (2 * np.pi / lengths)[:, None]
    colours = rng.uniform(-0.15, 0.15, (waves, 3))
    return Surface(
        centre,
        np.stack(axes),
        np.array(reach),
        along,
        rng.uniform(0, 2 * np.pi, waves),
        colours,
        rng.uniform(0.3, 0.7, 3),
    )


def _cast(
    surfaces: Sequence[Surface], place: Array, turn: Array, width: int, height: int, fine: int
) -> tuple[Array, Array]:
    """Return colours (H, W, 3) and depths (H, W) of ``fine`` rays per pixel and axis."""
    shares = camera_shares(width, height)
    across = ((np.arange(width * fine) + 0.5) / (width * fine) - shares[0, 2]) / shares[0, 0]
    down = ((np.arange(height * fine) + 0.5) / (height * fine) - shares[1, 2]) / shares[1, 1]
    rays = np.stack([*np.meshgrid(across, down), np.ones((len(down), len(across)))], -1) @ turn.T
    depth = np.full(rays.shape[:2], np.inf)
    colour = np.zeros_like(rays)
    for surface in surfaces:
        normal = np.cross(*surface.axes)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = normal @ (surface.centre - place) / (rays @ normal)
            hit = (place + distance[..., None] * rays - surface.centre) @ surface.axes.T
            seen = (distance > 0) & (distance < depth) & (np.abs(hit) <= surface.reach).all(-1)
        depth[seen] = distance[seen]
        texture = np.sin(hit[seen] @ surface.waves.T + surface.phases) @ surface.colours
        colour[seen] = surface.ground + texture
    return colour, depth


def _turn(angle: float) -> Array:
    """Return the rotation about the vertical axis, to the right for positive angles."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
