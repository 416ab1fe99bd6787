"""``salmask cache``: the saliency of every training image, once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from salmask_plugin.cli.agreement import report_agreement
from salmask_plugin.cli.build import build, build_splits
from salmask_plugin.cli.cached_data import check_some_pixels, identity_of
from salmask_plugin.cli.config import Settings, compose_settings
from salmask_plugin.cli.errors import UserError
from salmask_plugin.data import ImageSplits, LabelledImages, WholeImages
from salmask_plugin.localizers import SCDALocalizer
from salmask_plugin.localizers.map_making import describe, scaled_maps
from salmask_plugin.localizers.map_store import CacheManifest, MapStore

BATCH = 32
PROBE = 224
"""Side in pixels of the blank image that tells a network's stride."""


def run(options: argparse.Namespace) -> None:
    """Compute the maps that are missing, damaged or, with ``--verify``, of changed images.

    Raises:
        UserError: if the localizer is no network, or the folder holds a cache of something else.
    """
    settings = compose_settings(
        options.overrides, config_dir=options.config_dir, trust=options.trust
    )
    localizer = localizer_for_grid(settings, options.grid)
    splits = build_splits(settings)
    store = open_store(Path(options.folder), settings, splits, localizer, options.grid)
    manifest = store.manifest
    print(
        f"{manifest.dataset}: {manifest.count} images, {options.grid} x {options.grid} cells by "
        f"{manifest.name}, which sees them at {_side(localizer)} px; {manifest.bytes_per_image} "
        f"bytes per image, {manifest.bytes_per_image * manifest.count / 1e6:.1f} MB in "
        f"{store.folder}",
        flush=True,
    )
    faults = store.faults()
    if options.verify:
        faults |= _changed_chunks(store, splits.train, settings)
    elif len(faults) < store.chunks:
        check_some_pixels(store, splits.train)
    for reason in sorted(set(faults.values())):
        count = list(faults.values()).count(reason)
        print(f"{count} of {store.chunks} chunks of {manifest.chunk} images: {reason}", flush=True)
    try:
        fill(store, sorted(faults), splits.train, localizer, settings)
    except OSError as error:
        raise UserError(
            f"{store.folder} cannot be written ({error}); the same command goes on from here."
        ) from error
    if options.agreement is not None:
        report_agreement(store, settings, splits, options.agreement)
    print(f"Complete. Train with: localizer=cached localizer.folder={store.folder}")


def localizer_for_grid(settings: Settings, grid: int) -> SCDALocalizer:
    """Return the chosen localizer, with an input size that makes maps of ``grid`` x ``grid``.

    Raises:
        UserError: if it is no network's, or no size gives this grid.
    """
    localizer = build(settings["localizer"]) if settings["localizer"] else None
    if not isinstance(localizer, SCDALocalizer):
        raise UserError(
            f"localizer={settings.choices['localizer']} has no maps of whole images to keep; "
            "choose a pretrained network, such as localizer=efficientnet_lite0."
        )
    if grid < 2:
        raise UserError(f"--grid {grid} must be at least 2.")
    rows = replace(localizer, input_size=PROBE)(torch.zeros(1, 3, PROBE, PROBE)).shape[1]
    side = round(grid * PROBE / rows)
    fitted = replace(localizer, input_size=(side, side))
    found = tuple(fitted(torch.zeros(1, 3, side, side)).shape[1:])
    if found != (grid, grid):
        raise UserError(f"--grid {grid}: this network makes {found} of {side} px; try another.")
    return fitted


def open_store(
    folder: Path,
    settings: Settings,
    splits: ImageSplits,
    localizer: SCDALocalizer,
    grid: int,
) -> MapStore:
    """Return the store in ``folder``, made if it is not there yet.

    Raises:
        UserError: if it holds maps of other images, or by another localizer.
    """
    description, trained_on, digest = describe(localizer)
    identity = identity_of(splits)
    manifest = CacheManifest(
        localizer=description,
        trained_on=trained_on,
        weights_sha256=digest,
        dataset=str(identity["dataset"]),
        count=len(splits.train),
        grid=(grid, grid),
        name=settings.choices["localizer"],
        labels_sha256=str(identity["labels_sha256"]),
    )
    try:
        return MapStore.create(folder, manifest)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def fill(
    store: MapStore,
    chunks: Sequence[int],
    images: LabelledImages,
    localizer: SCDALocalizer,
    settings: Settings,
) -> None:
    """Compute these chunks, one after the other, with a progress bar over images."""
    places = [list(store.images_of(chunk)) for chunk in chunks]
    batches = [rows[i : i + BATCH] for rows in places for i in range(0, len(rows), BATCH)]
    loaded = iter(_loader(images, _side(localizer), batches, settings))
    cuda = torch.cuda.is_available() and settings["trainer"]["accelerator"] != "cpu"
    device = "cuda" if cuda else "cpu"
    total = sum(len(rows) for rows in places)
    with tqdm(total=total, unit=" images", disable=not sys.stderr.isatty()) as bar:
        for chunk, rows in zip(chunks, places, strict=True):
            maps, digests = [], []
            for _ in range(0, len(rows), BATCH):
                views, of_pixels = next(loaded)
                maps.append(scaled_maps(localizer, views.to(device)))
                digests.append(of_pixels.numpy().astype(np.uint64))
                bar.update(len(views))
            store.write(chunk, np.concatenate(maps), np.concatenate(digests))


def _changed_chunks(store: MapStore, images: LabelledImages, settings: Settings) -> dict[int, str]:
    """Decode every image and return the chunks that hold one which its digest does not fit."""
    stored = store.digests()
    batches = [list(store.images_of(chunk)) for chunk in range(store.chunks)]
    found = {}
    with tqdm(total=len(images), unit=" images", disable=not sys.stderr.isatty()) as bar:
        for chunk, (_, digests) in enumerate(_loader(images, 1, batches, settings)):
            expected = stored[batches[chunk]]
            changed = np.flatnonzero((expected != 0) & (expected != digests.numpy()))
            if len(changed):
                first = batches[chunk][changed[0]]
                print(f"{len(changed)} changed images in chunk {chunk}, the first: {first}")
                found[chunk] = "of changed images"
            bar.update(len(digests))
    return found


def _loader(
    images: LabelledImages, side: int, batches: list[list[int]], settings: Settings
) -> DataLoader[Any]:
    return DataLoader(
        WholeImages(images, side),
        batch_sampler=batches,
        num_workers=min(settings["loader"]["workers"], torch.get_num_threads()),
        generator=torch.Generator().manual_seed(0),
    )


def _side(localizer: SCDALocalizer) -> int:
    assert isinstance(localizer.input_size, tuple)
    return localizer.input_size[0]
