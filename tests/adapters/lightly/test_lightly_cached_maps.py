"""Cached maps through a loader and a step: exact, in order, the same from maps and placements."""

from __future__ import annotations

from typing import Any

import lightly_toy as toy
import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform
from PIL import Image
from pytorch_lightning import LightningModule

from salmask_plugin import (
    CachedLocalizer,
    GridMask,
    Masking,
    MeanFill,
    PermutedLocalizer,
    SaliencyMasking,
)
from salmask_plugin.adapters.lightly import (
    MapsOfViews,
    MaskedMoCoV2,
    MaskedSimCLR,
    PlacedViews,
    SaliencyMaskingCallback,
)
from salmask_plugin.adapters.lightly.views import StepMasking
from salmask_plugin.lab.data import TwoViewDataset, pretrain_loader
from salmask_plugin.localizers.map_store import CacheManifest

GRID = (3, 4)
SIDES = (48, 60)


class Pictures:
    """Twelve smooth grey pictures, 48 x 60 pixels: what they show is also their saliency."""

    labels = tuple(index % 3 for index in range(12))

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        coarse = np.random.default_rng(index).integers(0, 256, (4, 5), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize(SIDES[::-1], Image.Resampling.BICUBIC)
        return smooth.convert("RGB"), self.labels[index]


def grey(index: int) -> np.ndarray:
    return np.asarray(Pictures()[index][0])[..., 0].astype(np.float32) / 255


@pytest.fixture(scope="module")
def cached() -> CachedLocalizer:
    maps = np.stack([grey(index) for index in range(12)])
    manifest = CacheManifest("by hand", "toys", "none", "toys", 12, SIDES, dtype="float32")
    return CachedLocalizer(maps, manifest, GRID)


PLAIN = MoCoV2Transform(24, cj_prob=0, random_gray_scale=0, gaussian_blur=0)


def loader(cached: CachedLocalizer, workers: int = 0):
    return pretrain_loader(
        Pictures(),
        PlacedViews(PLAIN),
        batch_size=6,
        seed=2,
        workers=workers,
        collate=MapsOfViews(cached),
    )


def test_the_map_of_a_view_is_the_map_of_what_the_view_shows(cached: CachedLocalizer) -> None:
    """The stored map is the picture itself: averaged over cells, a view must show its own map."""
    worst = 0.0
    for views, labels, maps, indices in loader(cached):
        assert labels.tolist() == [Pictures.labels[index] for index in indices]
        for view, found in zip(views, maps, strict=True):
            shown = view[:, 0] * 0.229 + 0.485
            cells = torch.nn.functional.adaptive_avg_pool2d(shown, GRID)
            worst = max(worst, (cells - found).abs().max().item())
            assert found.shape == (6, *GRID)
            assert found.std() > 0.1
    assert worst < 0.04  # the view was resized; a flip or an axis exchanged gives 0.5


def test_workers_map_the_same(cached: CachedLocalizer) -> None:
    for mine, theirs in zip(loader(cached), loader(cached, workers=2), strict=True):
        assert torch.equal(torch.stack(mine[2]), torch.stack(theirs[2]))
        assert torch.equal(torch.stack(mine[0]), torch.stack(theirs[0]))


def step_masking(localizer, query_index: int = 0) -> StepMasking:
    masking = toy.masking(localizer=localizer)
    return StepMasking(masking, query_index=query_index, seed=1)


@pytest.mark.parametrize("query_index", [0, 1])
def test_maps_and_placements_give_the_same_step(cached: CachedLocalizer, query_index: int) -> None:
    samples = TwoViewDataset(Pictures(), PlacedViews(PLAIN), seed=0, placements=True)
    placements = torch.utils.data.default_collate([samples[index] for index in range(6)])
    maps = MapsOfViews(cached)([samples[index] for index in range(6)])
    by_maps = step_masking(cached, query_index)(maps, rank=0)
    by_boxes = step_masking(cached, query_index)(placements, rank=0)
    assert torch.equal(by_maps.query, by_boxes.query)
    assert torch.equal(by_maps.negatives, by_boxes.negatives)
    assert torch.equal(by_maps.saliency[0], maps[2][query_index])
    assert torch.equal(by_maps.saliency[1], maps[2][1 - query_index])
    assert torch.equal(by_maps.key, maps[0][1 - query_index])


def test_permuted_maps_are_another_images(cached: CachedLocalizer) -> None:
    batch = next(iter(loader(cached)))
    views = step_masking(PermutedLocalizer(cached))(batch, rank=0)
    for found, maps in zip(views.saliency, batch[2], strict=True):
        assert torch.equal(found, maps.roll(1, 0))


@pytest.mark.parametrize("module", [MaskedMoCoV2, MaskedSimCLR])
def test_both_methods_train_on_cached_maps(cached: CachedLocalizer, module: type) -> None:
    options = {"queue_size": 12, "split_batch_size": None} if module is MaskedMoCoV2 else {}
    masking = toy.masking(localizer=cached)
    trained = module(
        toy.network(), feature_dim=10, masking=masking, hard_negative_bias=-8.6, **options
    )
    toy.trainer().fit(trained, loader(cached))
    assert trained.step_masking.batches_seen == 2


class Remembering(LightningModule):
    """A user's module that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.network = toy.network()
        self.seen: list[list[torch.Tensor]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.seen.append(list(batch[0]))
        return (self.network(batch[0][0]) - self.network(batch[0][1])).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_the_callback_takes_cached_maps(cached: CachedLocalizer) -> None:
    masking = SaliencyMasking(cached, query=Masking(GridMask(ratio=(0.5, 0.5)), MeanFill()))
    module = Remembering()
    callback = SaliencyMaskingCallback(masking, query_index=0)
    toy.trainer(callbacks=[callback]).fit(module, loader(cached))
    for (query, key), batch in zip(module.seen, loader(cached), strict=True):
        assert torch.equal(key, batch[0][1])
        assert 0.3 < (query != batch[0][0]).float().mean() < 0.6


def test_batches_without_maps_are_refused(cached: CachedLocalizer) -> None:
    batch = next(iter(loader(cached)))
    for wrong in (batch[:2], [batch[0], batch[1], batch[3]], [*batch[:2], batch[2][:1], batch[3]]):
        with pytest.raises(TypeError, match="MapsOfViews"):
            step_masking(cached)(wrong, rank=0)
    other = [*batch[:2], [maps[:, :2] for maps in batch[2]], batch[3]]
    with pytest.raises(ValueError, match=r"\(2, 4\) cells"):
        step_masking(cached)(other, rank=0)
