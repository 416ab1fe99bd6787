"""Area-exact resampling: what share of each old cell a new cell covers."""

from __future__ import annotations

import torch
from torch import Tensor


def coverage(start: Tensor, end: Tensor, cells: int, out: int) -> Tensor:
    """Return the weights that average ``cells`` old cells into ``out`` new ones along one axis.

    The axis is [0, 1]. The new cells divide [start, end] evenly; the weight of an old cell in a new
    one is the share of the new cell that it covers. Rows sum to 1 where [start, end] is in [0, 1].

    Args:
        start: (B,), where the new axis begins.
        end: (B,), where it ends, > start.
        cells: old cells, which divide [0, 1].
        out: new cells.

    Returns:
        (B, out, cells).
    """
    steps = torch.arange(out + 1, device=start.device, dtype=start.dtype) / out
    edges = (start[:, None] + (end - start)[:, None] * steps)[..., None] * cells
    old = torch.arange(cells, device=start.device, dtype=start.dtype)
    overlap = torch.minimum(edges[:, 1:], old + 1) - torch.maximum(edges[:, :-1], old)
    return overlap.clamp(min=0) / (edges[:, 1:] - edges[:, :-1])


def resample(maps: Tensor, boxes: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average maps (B, H, W) over the cells of ``grid`` laid on each one's box.

    Args:
        maps: piecewise constant: one value per cell.
        boxes: (B, 4) or (1, 4), x0, y0, x1, y1 in shares of the map's sides.
        grid: (h, w) of the result.

    Returns:
        (B, h, w) float32.
    """
    # float64, so that a constant map stays constant, and autocast and TF32 keep out.
    wide = torch.float32 if maps.device.type == "mps" else torch.float64
    boxes = boxes.to(wide).clamp(max=1)  # a share of a rounding above 1 would darken the border
    rows = coverage(boxes[:, 1], boxes[:, 3], maps.shape[1], grid[0])
    columns = coverage(boxes[:, 0], boxes[:, 2], maps.shape[2], grid[1])
    return (rows @ maps.to(wide) @ columns.mT).float()


def check_placements(indices: Tensor, boxes: Tensor, flipped: Tensor) -> None:
    """Raise ValueError unless they are (B,) whole numbers, (B, 4) and (B,) bool."""
    for name, value in (("indices", indices), ("boxes", boxes), ("flipped", flipped)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} is a {type(value).__name__}; it must be a tensor.")
    if indices.is_floating_point() or flipped.dtype != torch.bool:
        raise ValueError(
            f"indices are {indices.dtype} and flipped {flipped.dtype}; they must be whole numbers "
            "and bool."
        )
    batch = len(indices) if indices.ndim == 1 else 0
    if indices.shape != (batch,) or boxes.shape != (batch, 4) or flipped.shape != (batch,):
        raise ValueError(
            f"indices {tuple(indices.shape)}, boxes {tuple(boxes.shape)} and flipped "
            f"{tuple(flipped.shape)} must be (B,), (B, 4) and (B,)."
        )
