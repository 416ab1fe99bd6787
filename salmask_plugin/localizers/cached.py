"""Saliency computed once per image and carried through crop and flip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from salmask_plugin.localizers.area import check_grid, resample
from salmask_plugin.localizers.weights import check_sha256, file_sha256
from salmask_plugin.types import Images, Localizer, Saliency

MAPS, MANIFEST = "maps.npy", "manifest.json"


@dataclass(frozen=True)
class CacheManifest:
    """What a store of maps was made with; compared when it is loaded.

    Attributes:
        localizer: its repr.
        trained_on: the data and labels behind it.
        weights_sha256: digest of its network, or "none".
        dataset: whatever the user calls the images.
        count: images.
        grid: (h, w) of the stored maps.
    """

    localizer: str
    trained_on: str
    weights_sha256: str
    dataset: str
    count: int
    grid: tuple[int, int]


@dataclass(frozen=True, eq=False)
class CachedLocalizer:
    """Look up each view's saliency in maps of the whole images.

    The localizer then costs nothing per step, but the maps are those of the whole images: a network
    that sees the crop itself localises better in it. The result is handed over:
    ``masking(query, key, saliency=(cached(index, box_q, flip_q), cached(index, box_k, flip_k)))``.

    Args:
        maps: (N, H, W) float16 or float32, one map per image in the data set's order; an array in
            memory or a memory-mapped one. Finer than ``grid`` is better: crops enlarge.
        manifest: what the maps were made with.
        grid: (h, w) of the maps that come out.

    Raises:
        ValueError: if maps and manifest contradict each other.
    """

    maps: npt.NDArray[np.floating[Any]]
    manifest: CacheManifest
    grid: tuple[int, int] = (7, 7)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", check_grid(self.grid))
        expected = (self.manifest.count, *self.manifest.grid)
        if self.maps.shape != expected or self.maps.dtype not in (np.float16, np.float32):
            raise ValueError(
                f"maps are {self.maps.dtype} {self.maps.shape}; the manifest says {expected}, "
                "and float16 or float32 is allowed."
            )

    @property
    def trained_on(self) -> str:
        """Of the localizer that made the maps."""
        return self.manifest.trained_on

    @torch.no_grad()
    def __call__(self, indices: Tensor, boxes: Tensor, flipped: Tensor) -> Saliency:
        """Return the maps of views: float32, (B, h, w), on the boxes' device.

        The stored map is constant on each of its cells, and each cell of the view gets its exact
        mean over the part of the image it shows.

        Args:
            indices: (B,) integers, the images' places in the data set.
            boxes: (B, 4) each view's crop, x0, y0, x1, y1 in shares of the image's width and
                height, 0 <= x0 < x1 <= 1.
            flipped: (B,) bool, whether the crop was then mirrored left to right.

        Raises:
            ValueError: if a shape, an index or a box is out of range.
        """
        batch = len(indices)
        if indices.shape != (batch,) or boxes.shape != (batch, 4) or flipped.shape != (batch,):
            raise ValueError(
                f"indices {tuple(indices.shape)}, boxes {tuple(boxes.shape)} and flipped "
                f"{tuple(flipped.shape)} must be (B,), (B, 4) and (B,)."
            )
        places = indices.cpu().numpy()
        if batch and not (places.min() >= 0 and places.max() < len(self.maps)):
            raise ValueError(
                f"indices run from {places.min()} to {places.max()}; the cache holds 0 to "
                f"{len(self.maps) - 1}."
            )
        # A crop's share may round to just above 1.
        inside = (boxes >= 0) & (boxes <= 1 + 1e-6)
        if not bool(inside.all() and (boxes[:, :2] < boxes[:, 2:]).all()):
            raise ValueError("boxes must be x0, y0, x1, y1 with 0 <= x0 < x1 <= 1, y alike.")
        chosen = torch.from_numpy(self.maps[places]).to(boxes.device)
        seen = resample(chosen, boxes, self.grid)
        return torch.where(flipped.to(boxes.device)[:, None, None], seen.flip(-1), seen)

    @classmethod
    def compute(
        cls,
        localizer: Localizer,
        batches: Iterable[Any],
        *,
        dataset: str,
        grid: tuple[int, int] = (7, 7),
        device: torch.device | str = "cpu",
        half: bool = True,
    ) -> CachedLocalizer:
        """Run the localizer once over whole images.

        Each map is scaled to [0, 1], so that half precision ranks it well; neither Eq. 1 nor a rank
        changes by that.

        Args:
            localizer: makes the maps; a larger ``input_size`` gives finer ones.
            batches: normalised whole, unaugmented images (B, C, H, W), or tuples that begin with
                them, in the data set's order: no shuffling, no dropped rest.
            dataset: a name for the images, compared when the cache is loaded.
            grid: (h, w) of the maps that come out.
            device: where the localizer runs.
            half: store float16 rather than float32.

        Raises:
            ValueError: if there is no batch, or the maps differ in their grid.
        """
        stored = []
        for batch in batches:
            images: Images = batch[0] if isinstance(batch, (tuple, list)) else batch
            maps = localizer(images.to(device)).float()
            low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
            # A constant map becomes zeros: it ranks nothing either way.
            scaled = (maps - low) / torch.where(high > low, high - low, 1.0)
            stored.append(scaled.to(torch.float16 if half else torch.float32).cpu().numpy())
        if not stored:
            raise ValueError("batches is empty: there is nothing to cache.")
        grids = {part.shape[1:] for part in stored}
        if len(grids) > 1:
            raise ValueError(f"maps have the grids {sorted(grids)}; resize the images to one size.")
        whole = np.concatenate(stored)
        description, trained_on, digest = _describe(localizer)
        manifest = CacheManifest(
            description, trained_on, digest, dataset, len(whole), (whole.shape[1], whole.shape[2])
        )
        return cls(whole, manifest, grid)

    def save(self, folder: str | Path) -> None:
        """Write ``maps.npy`` and ``manifest.json`` into a folder, made if needed.

        Each file appears whole or not at all; the manifest, with the maps' digest, comes last.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        temporary = target / (MAPS + ".part")
        with temporary.open("wb") as stream:
            np.save(stream, self.maps, allow_pickle=False)
        digest = file_sha256(temporary)
        temporary.replace(target / MAPS)
        temporary = target / (MANIFEST + ".part")
        temporary.write_text(json.dumps({**asdict(self.manifest), "maps_sha256": digest}, indent=2))
        temporary.replace(target / MANIFEST)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        dataset: str,
        count: int,
        localizer: Localizer | None = None,
        grid: tuple[int, int] = (7, 7),
    ) -> CachedLocalizer:
        """Open a saved cache, memory-mapped.

        Args:
            folder: of :meth:`save`.
            dataset: the name it must have been made for.
            count: images that it must hold.
            localizer: what it must have been made with, weights included; None takes any.
            grid: (h, w) of the maps that come out.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the files are damaged, or made for something else.
        """
        source = Path(folder)
        try:
            stored = json.loads((source / MANIFEST).read_text())
            digest = stored.pop("maps_sha256")
            manifest = CacheManifest(**{**stored, "grid": tuple(stored["grid"])})
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{source / MANIFEST} is no manifest of a cache: {error}.") from error
        expected: dict[str, object] = {"dataset": dataset, "count": count}
        if localizer is not None:
            names = ("localizer", "trained_on", "weights_sha256")
            expected |= dict(zip(names, _describe(localizer), strict=True))
        for name, value in expected.items():
            if getattr(manifest, name) != value:
                raise ValueError(
                    f"The cache in {source} was made with {name}={getattr(manifest, name)!r}, not "
                    f"{value!r}: compute it anew."
                )
        check_sha256(source / MAPS, digest)
        return cls(np.load(source / MAPS, mmap_mode="r", allow_pickle=False), manifest, grid)

    def __repr__(self) -> str:
        return f"CachedLocalizer({self.manifest}, grid={self.grid})"


def _describe(localizer: Localizer) -> tuple[str, str, str]:
    """(repr, trained_on, digest of the weights or "none")."""
    digest_of = getattr(getattr(localizer, "network", None), "weights_sha256", None)
    digest = digest_of() if digest_of is not None else "none"
    return repr(localizer), str(getattr(localizer, "trained_on", "unknown")), digest
