"""``salmask cache``: the saliency of every training image, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from salmask_plugin.lab.cache.agreement import report_agreement
from salmask_plugin.lab.cache.seen_whole import (
    WholeMasks,
    default_size,
    localizer_of_whole_images,
)
from salmask_plugin.lab.data import ImageSplits, LabelledImages, WholeImages
from salmask_plugin.lab.data.channels import RGB
from salmask_plugin.lab.data.worker_loader import Loader, batches_loader
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.long_work import progress
from salmask_plugin.lab.results.terminal import filled
from salmask_plugin.lab.runs.build import build_splits
from salmask_plugin.lab.runs.cached_data import check_some_pixels, identity_of
from salmask_plugin.lab.runs.trace import trace_kept
from salmask_plugin.lab.runs.trained import device_for
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.lab.settings.shorthand import check_data_is_named
from salmask_plugin.localizers.map_making import describe, scaled_maps
from salmask_plugin.localizers.map_store import CacheManifest, MapStore
from salmask_plugin.localizers.shifted import ShiftedLocalizer

BATCH, CHUNK = 32, 256
"""Images per forward, and per digest: what a kill costs at most."""


def make_cache(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    grid: int = 14,
    size: int | None = None,
    verify: bool = False,
    agreement: int | None = None,
    config_dir: str | None = None,
    trust: Trust = False,
) -> MapStore:
    """Compute the maps that are missing, damaged or, with ``verify``, of changed images.

    Args:
        folder: of the maps.
        overrides: settings; the localizer, the data and the views' size act.
        grid: maps of at least so many cells a side.
        size: side in pixels at which the localizer sees whole images; None: as things are online.
        verify: whether every image is decoded and compared with its digest.
        agreement: images on whose views the maps are compared with the localizer's own.
        config_dir: a folder whose configuration groups come before ours.
        trust: what may be built besides what our configurations name.

    Raises:
        UserError: if the localizer is neither a network nor a mask function, a number is too small,
            or the folder holds a cache of something else.
    """
    check_data_is_named(overrides, config_dir=config_dir)
    settings = compose_settings(overrides, config_dir=config_dir, trust=trust)
    if agreement is not None and agreement < 2:
        raise UserError(f"--agreement {agreement} must be at least 2 images.")
    size = default_size(settings) if size is None else size
    localizer = localizer_of_whole_images(settings, grid, size)
    splits = build_splits(settings)
    if splits.channels != RGB:
        raise UserError(
            f"maps are kept of RGB pictures alone, not of {splits.channels.count} channels; "
            "localizer=bands finds saliency in every step instead."
        )
    store = open_store(folder, settings, splits, localizer)
    manifest = store.manifest
    (rows, columns), megabytes = manifest.grid, manifest.bytes_per_image * manifest.count / 1e6
    said = (
        f"{manifest.dataset}: {manifest.count} images, {rows} x {columns} cells by "
        f"{manifest.name}, which sees each at {localizer.size} px, {localizer.shifts**2} time(s); "
        f"{manifest.bytes_per_image} bytes per image, {megabytes:.1f} MB in {store.folder}"
    )
    print(filled(said, "  "), flush=True)
    faults = store.faults()
    if verify:
        faults |= _changed_chunks(store, splits.train, settings)
    elif len(faults) < store.chunks:
        check_some_pixels(store, splits.train)
    for reason in sorted(set(faults.values())):
        count = list(faults.values()).count(reason)
        print(f"{count} of {store.chunks} chunks of {manifest.chunk} images: {reason}", flush=True)
    try:
        with trace_kept(store.folder):
            fill(store, sorted(faults), splits.train, localizer, settings)
    except OSError as error:
        raise UserError(
            f"{store.folder} cannot be written ({error}); the same command goes on from here."
        ) from error
    if agreement is not None:
        report_agreement(store, settings, splits, agreement)
    return store


def open_store(
    folder: Path,
    settings: Settings,
    splits: ImageSplits,
    localizer: ShiftedLocalizer | WholeMasks,
) -> MapStore:
    """Return the store in ``folder``, made if it is not there yet.

    Raises:
        UserError: if it holds maps of other images, or by another localizer.
    """
    description, trained_on, digest = describe(localizer)
    rows, columns = localizer(torch.zeros(1, 3, localizer.size, localizer.size)).shape[1:]
    identity = identity_of(splits)
    manifest = CacheManifest(
        localizer=description,
        trained_on=trained_on,
        weights_sha256=digest,
        dataset=str(identity["dataset"]),
        count=len(splits.train),
        grid=(rows, columns),
        name=settings.choices["localizer"],
        labels_sha256=str(identity["labels_sha256"]),
        chunk=CHUNK,
    )
    try:
        return MapStore.create(folder, manifest)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def fill(
    store: MapStore,
    chunks: Sequence[int],
    images: LabelledImages,
    localizer: ShiftedLocalizer | WholeMasks,
    settings: Settings,
) -> None:
    """Compute these chunks, one after the other, and say how far it is."""
    places = [list(store.images_of(chunk)) for chunk in chunks]
    batches = [rows[i : i + BATCH] for rows in places for i in range(0, len(rows), BATCH)]
    loaded = iter(_loader(images, localizer.size, batches, settings))
    device = device_for(settings)
    total = sum(len(rows) for rows in places)
    with progress(total) as tell:
        for chunk, rows in zip(chunks, places, strict=True):
            maps, digests = [], []
            for _ in range(0, len(rows), BATCH):
                views, of_pixels = next(loaded)
                maps.append(scaled_maps(localizer, views.to(device)))
                digests.append(of_pixels.numpy().astype(np.uint64))
            store.write(chunk, np.concatenate(maps), np.concatenate(digests))
            tell(len(rows))


def _changed_chunks(store: MapStore, images: LabelledImages, settings: Settings) -> dict[int, str]:
    """Decode every image and return the chunks that hold one which its digest does not fit."""
    stored = store.digests()
    batches = [list(store.images_of(chunk)) for chunk in range(store.chunks)]
    found = {}
    with progress(len(images)) as tell:
        for chunk, (_, digests) in enumerate(_loader(images, 1, batches, settings)):
            expected = stored[batches[chunk]]
            changed = np.flatnonzero((expected != 0) & (expected != digests.numpy()))
            if len(changed):
                first = batches[chunk][changed[0]]
                print(f"chunk {chunk}: {len(changed)} changed, the first is image {first}")
                found[chunk] = "of changed images"
            tell(len(digests))
    return found


def _loader(
    images: LabelledImages, side: int, batches: list[list[int]], settings: Settings
) -> Loader:
    workers = min(settings.workers, torch.get_num_threads())
    return batches_loader(WholeImages(images, side), batches, workers=workers)
