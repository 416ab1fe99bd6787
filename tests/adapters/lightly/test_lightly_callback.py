"""The callback with an unmodified module: which view, when, and with which draws."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import lightly_toy as toy
import pytest
import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from salmask_plugin import (
    GivenLocalizer,
    GridMask,
    Masking,
    MeanFill,
    MomentumLocalizer,
    SaliencyMasking,
    UniformLocalizer,
    step_generator,
)
from salmask_plugin.adapters.lightly import SaliencyMaskingCallback, SaliencyWarmUp


class Unmodified(LightningModule):
    """A user's module: remembers what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.network = toy.network()
        self.seen: dict[str, list[list[Tensor]]] = {"train": [], "val": []}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x0, x1 = batch[0]
        self.seen["train"].append([x0.clone(), x1.clone()])
        return (self.network(x0) - self.network(x1)).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen["val"].append(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(callback: SaliencyMaskingCallback, epochs: int = 1, **options: Any) -> Unmodified:
    module = Unmodified()
    fixed = DataLoader(toy.Pairs(24), batch_size=8)
    toy.trainer(epochs, callbacks=[callback], **options).fit(module, fixed, fixed)
    return module


PLAIN = toy.masking(negative=None)


@pytest.mark.parametrize("query_index", [0, 1])
def test_the_query_is_masked_and_the_key_is_bit_identical(query_index: int) -> None:
    module = fit(SaliencyMaskingCallback(PLAIN, query_index=query_index, seed=5))
    batches = [batch[0] for batch in DataLoader(toy.Pairs(24), batch_size=8)]
    for step, (seen, clean) in enumerate(zip(module.seen["train"], batches, strict=True)):
        views = PLAIN(clean[query_index], clean[1 - query_index], step_generator(5, 0, step))
        assert torch.equal(seen[query_index], views.query)
        assert torch.equal(seen[1 - query_index], clean[1 - query_index])
        assert not torch.equal(seen[query_index], clean[query_index])


def test_validation_and_its_sanity_check_are_not_masked() -> None:
    module = fit(SaliencyMaskingCallback(PLAIN, query_index=0))
    batches = [batch[0] for batch in DataLoader(toy.Pairs(24), batch_size=8)]
    assert len(module.seen["val"]) == 5
    for seen, clean in zip(module.seen["val"], batches[:2] + batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(seen, clean, strict=True))


def test_a_resumed_run_draws_the_masks_it_would_have_drawn(tmp_path: Any) -> None:
    whole = fit(SaliencyMaskingCallback(PLAIN, query_index=0), epochs=2)
    path = tmp_path / "first.ckpt"
    first, module = SaliencyMaskingCallback(PLAIN, query_index=0), Unmodified()
    trainer = toy.trainer(1, callbacks=[first])
    fixed = DataLoader(toy.Pairs(24), batch_size=8)
    trainer.fit(module, fixed, fixed)
    trainer.save_checkpoint(path)

    resumed = Unmodified()
    callback = SaliencyMaskingCallback(PLAIN, query_index=0)
    toy.trainer(2, callbacks=[callback]).fit(resumed, fixed, fixed, ckpt_path=path)
    for a, b in zip(whole.seen["train"][3:], resumed.seen["train"], strict=True):
        assert torch.equal(a[0], b[0])
    assert not torch.equal(whole.seen["train"][0][0], whole.seen["train"][3][0])


def test_masking_is_logged() -> None:
    callback = SaliencyMaskingCallback(PLAIN, query_index=0)
    trainer = toy.trainer(callbacks=[callback])
    trainer.fit(Unmodified(), toy.loader(), DataLoader(toy.Pairs(8)))
    assert 0.03 < float(trainer.callback_metrics["mask_ratio"]) < 0.3
    assert 0 < float(trainer.callback_metrics["foreground_share"]) < 1


def test_a_view_filter_filters_both_views_and_warns_about_evaluation() -> None:
    callback = SaliencyMaskingCallback(
        toy.masking(query=None, negative=None, view_filter=toy.high_pass()), query_index=0
    )
    with pytest.warns(UserWarning, match="nn.Sequential"):
        module = fit(callback)
    clean = next(iter(DataLoader(toy.Pairs(24), batch_size=8)))[0]
    for seen, view in zip(module.seen["train"][0], clean, strict=True):
        assert torch.equal(seen, toy.high_pass()(view))


class WithMasks(toy.Pairs):
    """Pairs with pixel masks of both views."""

    def __getitem__(self, index: int) -> Any:
        masks = torch.zeros(2, 1, *self.shape[2:])
        masks[0, :, :8, :6] = 1
        masks[1, :, 8:, :3] = 1
        return *super().__getitem__(index), [masks[0], masks[1]]


def test_given_masks_are_taken_from_the_batch() -> None:
    given = GivenLocalizer(grid=(4, 4))
    masking = SaliencyMasking(given, query=Masking(GridMask(tolerance=0), MeanFill()))
    module = Unmodified()
    data = DataLoader(WithMasks(8), batch_size=8)
    callback = SaliencyMaskingCallback(masking, query_index=1)
    toy.trainer(callbacks=[callback], limit_val_batches=0).fit(module, data, data)
    (x0, x1), _, (m0, m1) = next(iter(data))
    expected = masking(x1, x0, step_generator(0, 0, 0), (given(m1), given(m0))).query
    assert torch.equal(module.seen["train"][0][1], expected)

    with pytest.raises(TypeError, match=r"batch\[2\]"):
        fit(SaliencyMaskingCallback(masking, query_index=1))


def test_misuse_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="query_index"):
        SaliencyMaskingCallback(PLAIN)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="MaskedMoCoV2"):
        SaliencyMaskingCallback(toy.masking(), query_index=0)
    waiting = partial(MomentumLocalizer, layer="3")
    with pytest.raises(ValueError, match="encoder"):
        SaliencyMaskingCallback(toy.masking(localizer=waiting, negative=None), query_index=0)
    callback = SaliencyMaskingCallback(PLAIN, query_index=0)
    views = tuple(torch.randn(2, 4, 3, 8, 8))
    with pytest.raises(TypeError, match="is a tuple"):
        callback.step_masking((views, None), rank=0)
    with pytest.raises(ValueError, match="3 views"):
        callback.step_masking(([*views, views[0]], None), rank=0)


def test_a_warm_up_masks_anywhere_first_and_by_saliency_from_its_end_on() -> None:
    warm_up = SaliencyWarmUp(uniform=0.5, grid=(4, 3))  # of 6 batches the first three
    module = fit(SaliencyMaskingCallback(PLAIN, query_index=0, seed=5, warm_up=warm_up), epochs=2)
    anywhere = replace(PLAIN, localizer=UniformLocalizer((4, 3)))
    batches = [batch[0] for batch in DataLoader(toy.Pairs(24), batch_size=8)] * 2
    for step, (seen, clean) in enumerate(zip(module.seen["train"], batches, strict=True)):
        expected = anywhere if step < 3 else PLAIN
        other = PLAIN if step < 3 else anywhere
        assert torch.equal(seen[0], expected(*clean, step_generator(5, 0, step)).query)
        assert not torch.equal(seen[0], other(*clean, step_generator(5, 0, step)).query)
