"""From settings to objects: data, module, trainer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from salmask_plugin.adapters.lightly.cached_maps import MapsOfViews, cached_localizer
from salmask_plugin.crops import GuidedCrops
from salmask_plugin.lab.data import (
    DeviceViewData,
    ImageSplits,
    OneViewData,
    PictureBatch,
    TwoViewData,
    device_view_data,
)
from salmask_plugin.lab.data.device.lightly_recipe import recipe_of
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.band_channels import channels_asked, transform_of, views_of
from salmask_plugin.lab.runs.cached_data import check_cached
from salmask_plugin.lab.runs.guided_crops import build_crops
from salmask_plugin.lab.runs.node import as_mistakes, build
from salmask_plugin.lab.settings.input_path import check_input
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers.needs import needs_of
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.seeding import step_generator


@dataclass(frozen=True)
class Parts:
    """What a run is made of, built once from its settings.

    Attributes:
        splits: the data set.
        masking: the recipe, or None for the host's baseline.
        data: makes the training loader.
        module: the method with its encoder.
    """

    splits: ImageSplits
    masking: SaliencyMasking | None
    data: TwoViewData | OneViewData | DeviceViewData
    module: pl.LightningModule

    @property
    def crops(self) -> GuidedCrops | None:
        """How the views' boxes are chosen; None where the host draws them."""
        return None if isinstance(self.data, OneViewData) else self.data.crops


def build_parts(settings: Settings, *, splits: ImageSplits | None = None) -> Parts:
    """Return the parts of a run: the one place where settings become a run.

    Args:
        settings: of the run.
        splits: the data set where it has been read already.

    Raises:
        UserError, ValueError: for settings that cannot work together.
    """
    masking = build_masking(settings)
    splits = splits or build_splits(settings)
    data = build_data(settings, splits, masking)
    return Parts(splits, masking, data, build_module(settings, splits, masking))


def build_splits(settings: Settings) -> ImageSplits:
    """Return the data set, with or without labels.

    Raises:
        UserError: if there is only one class, which nothing can be evaluated on, or a method that
            trains on labels has none.
    """
    splits = build(settings.data, ImageSplits)
    return splits if splits.unlabelled and not settings.is_supervised else checked_splits(splits)


def checked_splits(splits: ImageSplits) -> ImageSplits:
    """Return the splits as they are, with the labels that evaluations need.

    Raises:
        UserError: if there are no labels, or only one class.
    """
    if splits.unlabelled:
        raise UserError(
            f"data {splits.name} has no labels, which every classification needs "
            f"({splits.unlabelled.rstrip('.')}); `salmask embed` shows an encoder without any."
        )
    if len(splits.classes) < 2:
        raise UserError(
            f"data {splits.name} has one class ({splits.classes[0]}); kNN and linear evaluation "
            "need at least two."
        )
    return splits


def build_masking(settings: Settings) -> SaliencyMasking | None:
    """Return the recipe, or None for the host's baseline. Draws nothing from global generators.

    The recipe is tried once on blank views, so that what cannot work fails before training.

    Raises:
        ValueError: for example if a view is too small for the blur.
    """
    node = settings.masking
    if not node or "_target_" not in node:
        return None
    tried = "the masking cannot work on blank views"
    with torch.random.fork_rng(devices=[]), as_mistakes(tried):
        masking = build(node, SaliencyMasking)
        size = settings.view_size
        blank = torch.zeros(2, channels_asked(settings), size, size)
        if needs_of(masking.localizer) == "views":
            masking(blank, blank, step_generator(settings.seed, 0, 0))
        elif (cached := cached_localizer(masking.localizer)) is not None:
            maps = torch.rand(2, *cached.grid)
            masking(blank, blank, step_generator(settings.seed, 0, 0), (maps, maps))
    return masking


def build_backbone(settings: Settings) -> tuple[nn.Module, int]:
    """Return the run's encoder, randomly initialised, and the dimension of its features.

    Raises:
        UserError: if the node builds anything else.
    """
    found = build(settings.backbone, tuple)
    if len(found) != 2 or not isinstance(found[0], nn.Module) or not isinstance(found[1], int):
        raise UserError(
            f"{settings.backbone['_target_']} must build an encoder and the dimension of its "
            "features."
        )
    return found


def build_module(
    settings: Settings, splits: ImageSplits, masking: SaliencyMasking | None
) -> pl.LightningModule:
    """Return the method's module with its encoder, initialised from the seed alone."""
    pl.seed_everything(settings.seed, verbose=False)
    backbone, feature_dim = build_backbone(settings)
    labels = {"num_classes": len(splits.classes)} if settings.is_supervised else {}
    module = build(
        settings.method,
        pl.LightningModule,
        backbone=backbone,
        feature_dim=feature_dim,
        masking=masking,
        seed=settings.seed,
        **labels,
    )
    return module.to(memory_format=memory_format(settings))


def memory_format(settings: Settings) -> torch.memory_format:
    """Return how the networks' weights lie in memory; runs of before the setting lack it.

    Raises:
        UserError: for an unknown name.
    """
    name = settings.values.get("memory_format", "contiguous")
    formats = {"contiguous": torch.preserve_format, "channels_last": torch.channels_last}
    if name not in list(formats):  # a foreign folder's may be no text
        raise UserError(f"memory_format={name!r} must be one of {', '.join(formats)}.")
    return formats[name]


def build_data(
    settings: Settings, splits: ImageSplits, masking: SaliencyMasking | None
) -> TwoViewData | OneViewData | DeviceViewData:
    """Return what makes the training loader; object masks travel along where they are used.

    Raises:
        UserError: if the localizer or the input path cannot work with the rest.
    """
    masks = masking is not None and needs_of(masking.localizer) == "object masks"
    cached = None if masking is None else cached_localizer(masking.localizer)
    if masks and not splits.has_masks:
        raise UserError(f"localizer=given needs masks; {splits.name} has none: data.masks=FOLDER?")
    if settings.loader.batch_size < 2:
        raise UserError(
            f"loader.batch_size={settings.loader.batch_size} must be at least 2: batch "
            "normalisation needs other images."
        )
    crops = build_crops(settings, splits, cached)
    if settings.is_supervised:
        if settings.loader.input != "host":
            raise UserError("method=supervised needs loader.input=host: it trains on one view.")
        return OneViewData(
            splits=splits,
            transform=transform_of(settings),
            batch_size=settings.loader.batch_size,
            seed=settings.seed,
            workers=settings.workers,
        )
    if cached is not None:
        check_cached(cached, splits)
    if check_input(settings) == "device":
        return device_view_data(
            splits.train,
            recipe_of(transform_of(settings)),
            placements=cached is not None,
            masks=masks,
            crops=crops,
            seed=settings.seed,
            **{key: value for key, value in asdict(settings.loader).items() if key != "input"},
        )
    return TwoViewData(
        splits=splits,
        transform=views_of(
            transform_of(settings),
            splits.channels,
            placements=(masks or cached is not None) and crops is None,
        ),
        batch_size=settings.loader.batch_size,
        seed=settings.seed,
        workers=settings.workers,
        masks=masks,
        collate=None if cached is None else MapsOfViews(cached),
        crops=crops,
    )


class PretrainData(pl.LightningDataModule):
    """Hand the trainer a loader that starts at the epoch it is at, after a resume too."""

    def __init__(self, data: TwoViewData | OneViewData | DeviceViewData) -> None:
        super().__init__()
        self._data = data

    def train_dataloader(self) -> Any:
        """Return the loader; Lightning makes its first iterator before ``set_epoch``."""
        assert self.trainer is not None
        finished: int = self.trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return self._data.train_loader(
            epoch=finished, rank=self.trainer.global_rank, world_size=self.trainer.world_size
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Make the views of a batch of whole pictures where it is; leave other batches alone."""
        if isinstance(batch, PictureBatch):
            assert isinstance(self._data, DeviceViewData)
            return self._data.views(batch)
        return batch
