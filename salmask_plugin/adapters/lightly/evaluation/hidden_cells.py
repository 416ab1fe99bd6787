"""Pictures of which some cells are hidden: which cells, and what is shown there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeGuard, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler

from salmask_plugin.adapters.lightly.evaluation.batches import images_of
from salmask_plugin.checks import number
from salmask_plugin.types import Images

Place = Literal["anywhere", "object", "background"]
Fill = Literal["mean", "black", "noise", "picture"]
PLACES: tuple[Place, ...] = get_args(Place)
FILLS: tuple[Fill, ...] = get_args(Fill)
ForegroundOf = Callable[[Images], Tensor] | Literal["masks"] | None
"""Where objects are: images -> bool (B, h', w'); "masks": the third part of each batch, above 0 =
object; None: not known, so that "object" and "background" are left out."""
BANK = 256
"""Pictures of other classes, and pictures of noise, that hidden cells are filled from."""
BLACK = (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)  # after ImageNet's normalisation


def cell_scores(count: int, grid: tuple[int, int], seed: int = 0) -> Tensor:
    """Draw the order in which the cells of each picture are hidden: float (count, h, w).

    It depends on the seed and a picture's place alone: the same for every encoder.
    """
    return torch.rand(count, *grid, generator=torch.Generator().manual_seed(seed))


def hidden_cells(scores: Tensor, share: float, pool: Tensor | None = None) -> Tensor:
    """Return which cells of each picture are hidden: bool (B, h, w), True = hidden.

    Cells that a smaller share hides are among those of a larger one.

    Args:
        scores: (B, h, w) of :func:`cell_scores`; the lowest go first.
        share: of the cells, in (0, 1]; rounded to whole cells.
        pool: bool (B, h, w): the cells that may be hidden, and that ``share`` counts. None: all.

    Raises:
        ValueError: if the share is out of range, or the pool has another shape.
    """
    number(share, "share", above=0, at_most=1)
    if pool is not None and pool.shape != scores.shape:
        raise ValueError(f"pool is {tuple(pool.shape)}; {tuple(scores.shape)} is needed.")
    members = torch.ones_like(scores, dtype=torch.bool) if pool is None else pool
    ranked = torch.where(members, scores, 2.0).flatten(1)
    places = ranked.argsort(1).argsort(1)
    counts = (share * members.flatten(1).sum(1, keepdim=True)).round()
    return (places < counts).view(scores.shape)


@dataclass(frozen=True)
class Fillings:
    """What is shown in hidden cells; the same for every encoder.

    Args:
        pictures: (P, C, H, W) normalised pictures out of the validation images.
        labels: (P,) their classes.
        black: (C,) what black is after normalisation.
        noise: (P, C, H, W) pictures of noise.
        starts: (N,) for each validation image the picture from which one of another class is
            looked for.
    """

    pictures: Images
    labels: Tensor
    black: Tensor
    noise: Images
    starts: Tensor

    @classmethod
    def draw(
        cls, pictures: Images, labels: Tensor, black: Tensor, *, count: int, seed: int
    ) -> Self:
        """Draw noise and choices for ``count`` validation images from the seed."""
        generator = torch.Generator().manual_seed(seed)
        starts = torch.randint(len(pictures), (count,), generator=generator)
        noise = torch.randn(pictures.shape, generator=generator)
        return cls(pictures, labels, black, noise, starts)

    def __call__(self, fill: Fill, images: Images, labels: Tensor, places: Tensor) -> Images:
        """Return what is shown instead of the images (B, C, H, W), all over.

        "mean" is each picture's own mean colour, "noise" standard normal per value (normalised
        values have about that deviation), "picture" another picture, of another class.

        Args:
            fill: which of them.
            images: normalised.
            labels: (B,) their classes.
            places: (B,) their places among the validation images, which decide the choices.

        Raises:
            ValueError: for an unknown fill, or where every picture of the bank is of one class.
        """
        if fill == "mean":
            return images.mean((2, 3), keepdim=True).expand_as(images)
        if fill == "black":
            return self.black.to(images)[None, :, None, None].expand_as(images)
        if fill == "noise":
            return self.noise[places % len(self.noise)].to(images)
        if fill != "picture":
            raise ValueError(f"fill={fill!r} must be one of {FILLS}.")
        other = self.labels[None, :] != labels[:, None]
        if not other.any(1).all():
            raise ValueError(
                "fill='picture' needs pictures of at least two classes among the first "
                f"{len(self.labels)} drawn."
            )
        # The first picture of another class behind a start that differs from place to place.
        count = len(self.labels)
        steps = (torch.arange(count) - self.starts[places][:, None]) % count
        chosen = torch.where(other, steps, count).argmin(1)
        return self.pictures[chosen].to(images)


def allowed_cells(
    images: Images, batch: Sequence[Any], grid: tuple[int, int], foreground_of: ForegroundOf = None
) -> dict[Place, Tensor | None]:
    """Return the cells that each place allows to hide, bool (B, h, w) on the CPU; None: all.

    A cell is of the object where at least half of it is.

    Args:
        images: normalised, on the device where ``foreground_of`` is asked.
        batch: that they come from.
        grid: (h, w) cells.
        foreground_of: see :data:`ForegroundOf`.

    Raises:
        ValueError: if the batch should have object masks and has none.
    """
    if foreground_of is None:
        return {"anywhere": None}
    if foreground_of == "masks":
        if len(batch) < 3 or torch.as_tensor(batch[2]).ndim != 3:
            raise ValueError("foreground_of='masks' needs batches of (images, labels, masks).")
        seen = torch.as_tensor(batch[2]) > 0
    else:
        seen = foreground_of(images)
    shares = F.adaptive_avg_pool2d(seen[:, None].float().cpu(), grid)[:, 0]
    return {"anywhere": None, "object": shares >= 0.5, "background": shares < 0.5}


def cover(images: Images, filling: Images, cells: Tensor) -> Images:
    """Return the images with ``filling`` in the hidden cells, bool (B, h, w)."""
    pixels = F.interpolate(cells[:, None].float(), images.shape[-2:], mode="nearest-exact") > 0.5
    return torch.where(pixels.to(images.device), filling, images)


def fillings_from(
    loader: Iterable[Sequence[Any]], count: int, seed: int, black: Sequence[float] = BLACK
) -> Fillings:
    """Pictures to hide others behind: some of the validation images, drawn from the seed."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    wanted = order[:BANK].sort().values
    if _is_in_order(loader):
        drawn = [loader.collate_fn([loader.dataset[place] for place in wanted.tolist()])]
    else:
        drawn, start = [], 0
        for batch in loader:
            inside = wanted[(wanted >= start) & (wanted < start + len(batch[0]))] - start
            drawn.append([part[inside] for part in batch[:2]])
            start += len(batch[0])
    pictures = torch.cat([images_of(batch) for batch in drawn])
    labels = torch.cat([torch.as_tensor(batch[1]) for batch in drawn])
    return Fillings.draw(
        pictures, labels.long(), torch.tensor(tuple(black)), count=count, seed=seed
    )


def pictures_in(loader: Iterable[Sequence[Any]]) -> int:
    """How many images a loader gives."""
    if _is_in_order(loader):
        samples: Any = loader.dataset
        return len(samples)
    return sum(len(images_of(batch)) for batch in loader)


def _is_in_order(loader: Any) -> TypeGuard[DataLoader[Any]]:
    """Whether a loader gives every sample of its set at the sample's own place."""
    return (
        isinstance(loader, DataLoader)
        and isinstance(loader.sampler, SequentialSampler)
        and loader.batch_size is not None
        and not loader.drop_last
    )
