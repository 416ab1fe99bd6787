"""Any folder of pictures, labelled or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salmask_plugin.lab.data.channels import RGB, ChannelsError, chosen_channels
from salmask_plugin.lab.data.files import ImageFiles, OnUnreadable
from salmask_plugin.lab.data.folders import existing_folder, image_folder, list_images
from salmask_plugin.lab.data.mask_files import mask_files
from salmask_plugin.lab.data.split_folders import (
    UnlabelledError,
    refuse_splits_below,
    split_folders,
)
from salmask_plugin.lab.data.splits import ImageSplits, ImageSubset, limited


def picture_folder(
    root: str | Path,
    val_share: float | None = None,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
    on_unreadable: OnUnreadable = "raise",
    name: str = "folder",
    masks: str | Path | None = None,
    channels: int = RGB.count,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageSplits:
    """Read the pictures below a folder, in any layout: nested, flat, one class or none.

    Labels are read where there is a layout that :func:`image_folder` reads; a mistake in such a
    layout is told. Else every picture below the folder is one to learn from, or, where it has a
    split ``train``, every picture below that one; the splits then say why there are no labels.

    Args:
        root: the folder.
        val_share: sub-folders are classes, and this share of each is held out; the layout must
            then be one of :func:`image_folder`'s.
        limit_train: size of a subset of the training images, balanced where there are classes;
            None takes all.
        limit_val: the same of the validation images, where there are labels.
        subset_seed: of the held-out share and of the subsets.
        on_unreadable: see :class:`~salmask_plugin.data.ImageFiles`.
        name: of the data set, for records.
        masks: see :func:`image_folder`.
        channels: see :func:`image_folder`.
        mean: see :func:`image_folder`.
        std: see :func:`image_folder`.

    Raises:
        ValueError: if the folder is missing or has no picture, its folders look like splits of
            other names, or those further below like splits, whose test pictures would be learned
            from, a link leads in a circle or to pictures that are read anyway, a picture has no
            mask, or an argument is out of range.
    """
    folder = existing_folder(root)
    learned, held_out = split_folders(folder)
    try:
        splits = image_folder(
            folder,
            val_share=val_share,
            subset_seed=subset_seed,
            on_unreadable=on_unreadable,
            name=name,
            masks=masks,
            channels=channels,
            mean=mean,
            std=std,
        )
    except ValueError as error:
        # Where nothing is held out there are no labels, whatever the folders below are.
        labelled = held_out is not None and not isinstance(error, UnlabelledError)
        if labelled or val_share is not None or isinstance(error, ChannelsError):
            raise
        train, has_masks = _all_pictures(folder, learned, on_unreadable, masks, channels)
        splits = ImageSplits(
            train,
            ImageSubset(train, ()),
            ("picture",),
            name,
            has_masks,
            str(error),
            chosen_channels(train, channels, mean, std),
        )
    if splits.unlabelled and limit_val is not None:
        raise ValueError(
            f"limit_val={limit_val}: without labels there are no validation images "
            f"({splits.unlabelled.rstrip('.')})."
        )
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def _all_pictures(
    folder: Path,
    learned: Path,
    on_unreadable: OnUnreadable,
    masks: str | Path | None,
    channels: int,
) -> tuple[ImageFiles, bool]:
    """Return every picture to learn from, and whether they have masks."""
    paths = list_images(learned)
    refuse_splits_below(paths, learned)
    found = None if masks is None else mask_files(paths, folder, masks, channels)
    labels = [0] * len(paths)
    return ImageFiles(paths, labels, on_unreadable, masks=found, channels=channels), bool(found)
