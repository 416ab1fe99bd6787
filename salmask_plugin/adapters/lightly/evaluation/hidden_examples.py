"""A few validation pictures as the occlusion evaluation hides them, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.evaluation.hidden_cells import (
    BLACK,
    ForegroundOf,
    allowed_cells,
    cell_scores,
    cover,
    fillings_from,
    hidden_cells,
)
from salmask_plugin.adapters.lightly.evaluation.occlusion_conditions import Condition
from salmask_plugin.types import Images


@torch.no_grad()
def hidden_examples(
    loader: DataLoader[Any],
    chosen: Sequence[int],
    conditions: Sequence[Condition],
    *,
    grid: tuple[int, int] = (7, 7),
    foreground_of: ForegroundOf = None,
    black: Sequence[float] = BLACK,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[Images, Tensor, dict[Condition, Images]]:
    """Return pictures, their labels, and the pictures under each condition, on the CPU.

    They are those that :func:`occlusion_evaluation` reads with the same loader, grid and seed.

    Args:
        loader: of the validation images, over a set in its own order.
        chosen: places of K pictures in the set.
        conditions: (place, fill, share) of the evaluation.
        grid: (h, w) cells.
        foreground_of: as in the evaluation; needed for "object" and "background".
        black: as in the evaluation.
        seed: of everything that is hidden and shown.
        device: where ``foreground_of`` is asked.

    Returns:
        (K, C, H, W) normalised pictures, (K,) classes, and condition -> (K, C, H, W).
    """
    samples: Any = loader.dataset
    batch = loader.collate_fn([samples[place] for place in chosen])
    images, labels = batch[:2]
    labels, places = torch.as_tensor(labels).long(), torch.tensor(chosen)
    scores = cell_scores(len(samples), grid, seed)[places]
    fillings = fillings_from(loader, len(samples), seed, black)
    pools = allowed_cells(images.to(device), batch, grid, foreground_of)
    covered = {
        (place, fill, share): cover(
            images,
            fillings(fill, images, labels, places),
            hidden_cells(scores, share, pools[place]),
        )
        for place, fill, share in conditions
    }
    return images, labels, covered
