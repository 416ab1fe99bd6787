"""Labelled image files, and what happens when one of them cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image, ImageDraw

from salmask_plugin.checks import check_choice
from salmask_plugin.lab.data.bands import read_bands
from salmask_plugin.lab.data.channels import RGB, size_of
from salmask_plugin.lab.data.mask_files import read_mask
from salmask_plugin.lab.data.reading import UnreadableImageError, read_image
from salmask_plugin.lab.data.splits import ImageSubset, LabelledImages

OnUnreadable = Literal["raise", "replace", "skip"]
Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, all four inside the object."""


class ImageFiles:
    """Pictures that are read from files when asked for.

    Args:
        paths: the files.
        labels: the class index of each.
        on_unreadable: "raise" an error that names the file; "replace" it by the next readable image
            of the split, label included; "skip" it: all files are read once at the start, and the
            unreadable ones are left out, so that the number of images is the number of good ones.
        boxes: the object's box in each picture; they become masks.
        masks: the file of each picture's mask; the picture itself, where its alpha channel is.
        channels: of every picture. 3: 8-bit RGB, as :func:`read_image` reads it; others: float32
            (C, H, W), as :func:`~salmask_plugin.lab.data.bands.read_bands` does.

    Raises:
        ValueError: if ``on_unreadable`` is unknown, there are no channels, or no file is readable.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[int],
        on_unreadable: OnUnreadable = "raise",
        boxes: Sequence[Box] | None = None,
        masks: Sequence[Path] | None = None,
        channels: int = RGB.count,
    ) -> None:
        if channels < 1:
            raise ValueError(f"channels={channels} must be at least 1.")
        self.channels = channels
        check_choice(on_unreadable, "on_unreadable", OnUnreadable)
        self.on_unreadable = on_unreadable
        # One flag per file in shared memory: worker processes raise it, the main process reads it.
        # Raising it twice is harmless, so there is nothing to lock.
        self._bad = torch.zeros(len(paths), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]
        self._all = tuple(paths)
        keep = self._readable() if on_unreadable == "skip" else range(len(paths))
        self._source = tuple(keep)
        if not self._source:
            raise ValueError(f"None of the {len(paths)} images is readable: {paths[0]}, ...")
        self.labels = tuple(labels[index] for index in self._source)
        self.paths = tuple(paths[index] for index in self._source)
        self.boxes = None if boxes is None else tuple(boxes[index] for index in self._source)
        self.masks = None if masks is None else tuple(masks[index] for index in self._source)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, source = self._read(index)
        return image, self.labels[source]

    def with_mask(self, index: int) -> tuple[Any, Image.Image, int]:
        """Return (picture, its mask with 255 inside, class index).

        Raises:
            ValueError: if the files came without boxes or masks.
            UnreadableImageError: if a mask cannot be read, or is of another size than its picture.
        """
        if self.masks is not None:
            image, source = self._read(index)
            return image, self._mask(source, image), self.labels[source]
        if self.boxes is None:
            raise ValueError("These images have no boxes, and so no masks.")
        image, source = self._read(index)
        mask = Image.new("L", size_of(image), 0)
        ImageDraw.Draw(mask).rectangle(self.boxes[source], fill=255)
        return image, mask, self.labels[source]

    @property
    def unreadable(self) -> tuple[Path, ...]:
        """The files found unreadable so far, by this process or by workers of its loaders."""
        return tuple(self._all[index] for index in self._bad.nonzero().flatten().tolist())

    def _mask(self, source: int, image: Any) -> Image.Image:
        assert self.masks is not None
        file = self.masks[source]
        mask = read_mask(file, alpha=file == self.paths[source])
        width, height = size_of(image)
        if mask.size != (width, height):
            raise UnreadableImageError(
                f"The mask '{file}' is {mask.width}x{mask.height} pixels, its picture "
                f"'{self.paths[source]}' {width}x{height}."
            )
        return mask

    def _read(self, index: int) -> tuple[Any, int]:
        """Read an image or, with "replace", the next one that can be read; say which it was."""
        if self.on_unreadable != "replace":
            return self._load(self.paths[index]), index
        start = range(len(self.paths))[index]
        for step in range(len(self.paths)):
            source = (start + step) % len(self.paths)
            if self._bad[source]:
                continue
            try:
                return self._load(self.paths[source]), source
            except UnreadableImageError:
                self._bad[source] = True
        raise UnreadableImageError(
            f"None of the {len(self.paths)} images is readable: {self.paths[0]}, ..."
        )

    def _readable(self) -> list[int]:
        with ThreadPoolExecutor() as pool:
            good = list(pool.map(self._is_readable, self._all))
        self._bad |= ~torch.tensor(good, dtype=torch.bool)
        return [index for index, readable in enumerate(good) if readable]

    def _is_readable(self, path: Path) -> bool:
        try:
            self._load(path)
        except UnreadableImageError:
            return False
        return True

    def _load(self, path: Path) -> Any:
        return read_image(path) if self.channels == RGB.count else read_bands(path, self.channels)


def unreadable_files(images: LabelledImages) -> tuple[Path, ...]:
    """Return the files of a split found unreadable so far, whether it is limited or whole.

    With "skip" the answer is complete at once, with "replace" after a full epoch.
    """
    while isinstance(images, ImageSubset):
        images = images.images
    return images.unreadable if isinstance(images, ImageFiles) else ()
