"""Saliency computed once per image and carried through crop and flip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from salmask_plugin.checks import height_and_width
from salmask_plugin.localizers.area import check_placements, resample
from salmask_plugin.localizers.map_making import describe, scaled_maps
from salmask_plugin.localizers.map_store import CacheManifest, Maps, MapStore
from salmask_plugin.localizers.needs import Needs
from salmask_plugin.types import Images, Localizer, Saliency


@dataclass(frozen=True, eq=False)
class CachedLocalizer:
    """Look up each view's saliency in maps of the whole images.

    The localizer then costs nothing per step, but the maps are those of the whole images: a network
    that sees the crop itself says something else of it (figures in docs/localizers.md). The result
    is handed over:
    ``masking(query, key, saliency=(cached(index, box_q, flip_q), cached(index, box_k, flip_k)))``.

    Args:
        maps: (N, H, W) float16 or float32, one map per image in the data set's order; an array in
            memory or a memory-mapped one. Finer than ``grid`` is better: crops enlarge.
        manifest: what the maps were made with.
        grid: (h, w) of the maps that come out.
        store: the files that ``maps`` are mapped from. Copies sent to other processes then map
            them again instead of carrying them along.

    Raises:
        ValueError: if maps and manifest contradict each other.
    """

    maps: Maps
    manifest: CacheManifest
    grid: tuple[int, int] = (7, 7)
    store: MapStore | None = None
    needs: ClassVar[Needs] = "cached maps"
    _resident: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", height_and_width(self.grid, "grid"))
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

        With everything on the CPU, as in a loader's worker, the values are checked. On another
        device all maps are copied there once (N * H * W * 2 bytes) and nothing is read back, so the
        host does not wait; an index out of range is then the device's own error.

        Args:
            indices: (B,) integers, the images' places in the data set.
            boxes: (B, 4) each view's crop, x0, y0, x1, y1 in shares of the image's sides, x0 < x1.
            flipped: (B,) bool, whether the crop was then mirrored left to right.

        Raises:
            ValueError: if these are no such tensors, or a shape, an index or a box is out of range.
        """
        check_placements(indices, boxes, flipped)
        device = boxes.device
        if device.type == "cpu":
            chosen = self._checked(indices, boxes)
        else:
            chosen = self._on(device)[indices.to(device, non_blocking=True)]
        seen = resample(chosen, boxes, self.grid)
        return torch.where(flipped.to(device)[:, None, None], seen.flip(-1), seen)

    @torch.no_grad()
    def whole(self, indices: Tensor) -> Saliency:
        """Return the stored maps of images (B,): float32 (B, H, W), on the indices' device."""
        device = indices.device
        maps = self._at(indices) if device.type == "cpu" else self._on(device)[indices]
        return maps.float()

    def _checked(self, indices: Tensor, boxes: Tensor) -> Tensor:
        # A crop's share may round to just above 1.
        inside = (boxes >= 0) & (boxes <= 1 + 1e-6)
        if not bool(inside.all() and (boxes[:, :2] < boxes[:, 2:]).all()):
            raise ValueError("boxes must be x0, y0, x1, y1 with 0 <= x0 < x1 <= 1, y alike.")
        return self._at(indices)

    def _at(self, indices: Tensor) -> Tensor:
        places = indices.cpu().numpy()
        if len(places) and not (places.min() >= 0 and places.max() < len(self.maps)):
            raise ValueError(
                f"indices run from {places.min()} to {places.max()}; the cache holds 0 to "
                f"{len(self.maps) - 1}."
            )
        return torch.from_numpy(self.maps[places])

    def _on(self, device: torch.device) -> Tensor:
        if device not in self._resident:
            self._resident[device] = torch.from_numpy(np.array(self.maps)).to(device)
        return self._resident[device]

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
        """Run the localizer once over whole images, and keep the maps in memory.

        ``salmask cache`` does the same on disk, image by image, and can be interrupted.

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
        dtype = np.float16 if half else np.float32
        stored = []
        for batch in batches:
            images: Images = batch[0] if isinstance(batch, (tuple, list)) else batch
            stored.append(scaled_maps(localizer, images.to(device)).astype(dtype))
        if not stored:
            raise ValueError("batches is empty: there is nothing to cache.")
        grids = {part.shape[1:] for part in stored}
        if len(grids) > 1:
            raise ValueError(f"maps have the grids {sorted(grids)}; resize the images to one size.")
        whole = np.concatenate(stored)
        manifest = CacheManifest(
            *describe(localizer),
            dataset,
            len(whole),
            (whole.shape[1], whole.shape[2]),
            dtype=whole.dtype.name,
        )
        return cls(whole, manifest, grid)

    def save(self, folder: str | Path) -> None:
        """Write the maps as a :class:`MapStore` into a folder, made if needed.

        Raises:
            ValueError: if the folder holds a cache made with something else.
        """
        store = MapStore.create(folder, self.manifest)
        for chunk in range(store.chunks):
            rows = store.images_of(chunk)
            store.write(chunk, self.maps[rows.start : rows.stop])

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        dataset: str | None = None,
        count: int | None = None,
        localizer: Localizer | None = None,
        grid: tuple[int, int] = (7, 7),
    ) -> CachedLocalizer:
        """Open a cache, memory-mapped, after reading it once to check it.

        Args:
            folder: of :meth:`save` or ``salmask cache``.
            dataset: the name it must have been made for; None takes any.
            count: images that it must hold; None takes any.
            localizer: what it must have been made with, weights included; None takes any.
            grid: (h, w) of the maps that come out.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the files are damaged or incomplete, or made for something else.
        """
        store = MapStore(folder)
        expected: dict[str, object] = {"dataset": dataset, "count": count}
        expected = {name: value for name, value in expected.items() if value is not None}
        if localizer is not None:
            names = ("localizer", "trained_on", "weights_sha256")
            expected |= dict(zip(names, describe(localizer), strict=True))
        store.manifest.check(expected, store.folder)
        faults = store.faults()
        if faults:
            raise ValueError(
                f"{len(faults)} of {store.chunks} chunks of the cache in {folder} are missing or "
                f"damaged (the first: chunk {min(faults)} is {faults[min(faults)]}): compute them "
                "again, `salmask cache` with the same settings does only these."
            )
        return cls(store.maps(), store.manifest, grid, store)

    def __getstate__(self) -> dict[str, Any]:
        """Leave mapped maps on disk and a device's copies behind."""
        return {**self.__dict__, "maps": None if self.store else self.maps, "_resident": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files again."""
        self.__dict__.update(state)
        if self.store is not None:
            self.__dict__["maps"] = self.store.maps()

    def __repr__(self) -> str:
        return f"CachedLocalizer({self.manifest}, grid={self.grid})"


def open_cache(folder: str | Path, grid: tuple[int, int] = (7, 7)) -> CachedLocalizer:
    """Open a cache for a run; whoever knows the data set compares it with the manifest.

    Args:
        folder: of ``salmask cache``.
        grid: (h, w) of the maps that come out.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or incomplete.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"localizer.folder={folder} is no folder; `salmask cache` makes one.")
    return CachedLocalizer.load(folder, grid=grid)
