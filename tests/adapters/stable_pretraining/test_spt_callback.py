"""The callback on a module with stable-pretraining's hooks: always run, the host not needed."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import spt_toy as toy
import torch
from torch import nn

from salmask_plugin import (
    GivenLocalizer,
    GridMask,
    HighPassFilter,
    Masking,
    MomentumLocalizer,
    NegativeEncoding,
    UnseenFill,
    step_generator,
)
from salmask_plugin.encoders.recorded_filter import recorded_filter
from salmask_plugin.warm_up import SaliencyWarmUp


def fit(host: SimpleNamespace, callback: Any, loss: Any = None, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = host.module(host.adapter.HardNegativeNTXentLoss() if loss is None else loss)
    start = copy.deepcopy(module)
    trainer = toy.trainer(host.lightning, [callback], **options)
    trainer.fit(module, toy.loader(), toy.loader(4))
    return SimpleNamespace(module=module, start=start, trainer=trainer)


@pytest.mark.parametrize("query_index", [0, 1])
def test_the_query_is_masked_and_the_key_is_bit_identical(
    host: SimpleNamespace, query_index: int
) -> None:
    callback = host.adapter.SaliencyMaskingCallback(toy.masking(), query_index, seed=5)
    found = fit(host, callback)
    for step, (seen, clean) in enumerate(
        zip(found.module.seen["fit"], toy.clean_batches(), strict=True)
    ):
        query, key = clean[query_index], clean[1 - query_index]
        views = toy.masking()(query, key, step_generator(5, 0, step))
        assert torch.equal(seen[query_index], views.query)
        assert torch.equal(seen[1 - query_index], key)
        assert not torch.equal(views.query, query)
    for seen in found.module.seen["validate"]:
        assert torch.equal(seen[0], toy.clean_batches(4)[0][0])
    assert 0.02 < float(found.trainer.callback_metrics["mask_ratio"]) < 0.3
    assert 0 < float(found.trainer.callback_metrics["foreground_share"]) < 1


def test_a_view_filter_warns_about_evaluation(host: SimpleNamespace) -> None:
    filtered = toy.masking(view_filter=HighPassFilter(3, 0.7))
    for masking, count in ((filtered, 1), (toy.masking(), 0)):
        callback = host.adapter.SaliencyMaskingCallback(masking, 0)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            callback.on_fit_start(SimpleNamespace(world_size=1), nn.Identity())
        assert sum("does not filter in evaluation" in str(one.message) for one in said) == count


@pytest.mark.parametrize("view_filter", [None, HighPassFilter(3, 0.7)])
def test_a_checkpoint_says_the_filter_it_was_trained_behind(
    host: SimpleNamespace, view_filter: HighPassFilter | None, tmp_path: Any
) -> None:
    callback = host.adapter.SaliencyMaskingCallback(toy.masking(view_filter=view_filter), 0)
    state = {callback.state_key: callback.state_dict()}
    torch.save({"state_dict": {}, "callbacks": state}, tmp_path / "last.ckpt")
    expected = None if view_filter is None else (3, 0.7)
    assert recorded_filter(tmp_path / "last.ckpt") == expected


def test_a_part_where_the_whole_recipe_belongs(host: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="must be a SaliencyMasking"):
        host.adapter.SaliencyMaskingCallback(toy.NEGATIVE, 0)


@pytest.mark.parametrize("query_index", [0, 1])
@pytest.mark.parametrize("negative", [None, toy.NEGATIVE])
def test_the_loss_is_that_of_loops(
    host: SimpleNamespace, negative: Masking | None, query_index: int
) -> None:
    recipe = toy.masking(negative=negative)
    loss = host.adapter.HardNegativeNTXentLoss(temperature=0.3, rho=1.5)
    found = fit(host, host.adapter.SaliencyMaskingCallback(recipe, query_index), loss)
    settings = {"tau": 0.3, "rho": 1.5, "query_index": query_index}
    wanted = toy.loss_in_loops(found.start, recipe, toy.clean_batches()[0], **settings)
    torch.testing.assert_close(found.module.losses[0], wanted.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("query_index", [0, 1])
def test_less_of_the_hard_negatives_is_that_of_loops(
    host: SimpleNamespace, query_index: int
) -> None:
    recipe = toy.masking(negative=toy.NEGATIVE)
    encoding = NegativeEncoding(every=2, share=0.5)
    loss = host.adapter.HardNegativeNTXentLoss(temperature=0.3, rho=1.5)
    callback = host.adapter.SaliencyMaskingCallback(recipe, query_index, negative_encoding=encoding)
    found = fit(host, callback, loss, max_steps=1)
    settings = {"tau": 0.3, "rho": 1.5, "query_index": query_index, "having": 2}
    wanted = toy.loss_in_loops(found.start, recipe, toy.clean_batches()[0], **settings)
    torch.testing.assert_close(found.module.losses[0], wanted.detach(), rtol=1e-5, atol=1e-6)


def test_steps_without_hard_negatives_are_those_of_the_plain_loss(host: SimpleNamespace) -> None:
    recipe = toy.masking(negative=toy.NEGATIVE)
    runs = []
    for masking, encoding in (
        (recipe, NegativeEncoding(every=3)),
        (recipe, None),
        (toy.masking(), None),
    ):
        callback = host.adapter.SaliencyMaskingCallback(masking, 0, negative_encoding=encoding)
        callback.batches_seen = 1
        runs.append(fit(host, callback).module)
    some, every, never = runs
    for module in (every, never):  # masks do not depend on the negatives
        assert torch.equal(some.seen["fit"][0][0], module.seen["fit"][0][0])
    assert torch.equal(some.losses[0], never.losses[0])
    assert not torch.equal(some.losses[0], every.losses[0])


def test_hard_negatives_of_half_the_side_are_encoded_so(host: SimpleNamespace) -> None:
    recipe, encoding = toy.masking(negative=toy.NEGATIVE), NegativeEncoding(side=0.5)
    module = host.module(host.adapter.HardNegativeNTXentLoss())
    module.backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    module.projector = nn.Linear(6, 8)
    seen = []

    def watch(backbone: nn.Module, given: tuple[torch.Tensor]) -> None:
        if backbone.training:
            seen.append(tuple(given[0].shape))

    module.backbone.register_forward_pre_hook(watch)
    callback = host.adapter.SaliencyMaskingCallback(recipe, 0, negative_encoding=encoding)
    toy.trainer(host.lightning, [callback], max_steps=1).fit(module, toy.loader(), toy.loader(4))
    assert seen == [(4, 3, 16, 12), (4, 3, 16, 12), (4, 3, 8, 6)]


def test_hard_negatives_leave_running_statistics_alone(host: SimpleNamespace) -> None:
    recipe = toy.masking(negative=toy.NEGATIVE)
    found = fit(host, host.adapter.SaliencyMaskingCallback(recipe, 0))
    for part in ("backbone", "projector"):
        layers = [getattr(module, part)[1] for module in (found.start, found.module)]
        counts = [int(layer.num_batches_tracked) for layer in layers]
        assert counts[1] - counts[0] == 2 * 2  # two views in each of two steps, and nothing else


def test_hard_negatives_take_no_gradient(host: SimpleNamespace) -> None:
    loss, draws = host.adapter.HardNegativeNTXentLoss(), torch.Generator().manual_seed(0)
    z = torch.randn(2, 4, 8, generator=draws).requires_grad_()
    hard = torch.randn(4, 1, 8, generator=draws).requires_grad_()
    without = loss(*z)
    loss.expect(lambda: (hard * 1, None), query_index=0, rho=2.0)
    joined = loss(*z)
    joined.backward()
    assert joined > without
    assert hard.grad is None
    assert z.grad is not None
    assert torch.equal(loss(*z), without)  # what was expected is used once


def test_a_resumed_run_draws_the_masks_it_would_have_drawn(
    host: SimpleNamespace, tmp_path: Any
) -> None:
    make = partial(host.adapter.SaliencyMaskingCallback, toy.masking(), 0)
    whole = fit(host, make(), epochs=2)
    first = fit(host, make())
    first.trainer.save_checkpoint(tmp_path / "first.ckpt")
    module = host.module(host.adapter.HardNegativeNTXentLoss())
    toy.trainer(host.lightning, [make()], epochs=2).fit(
        module, toy.loader(), toy.loader(4), ckpt_path=tmp_path / "first.ckpt"
    )
    for a, b in zip(whole.module.seen["fit"][2:], module.seen["fit"], strict=True):
        assert torch.equal(a[0], b[0])
    assert not torch.equal(whole.module.seen["fit"][0][0], whole.module.seen["fit"][2][0])


def test_masks_come_from_the_modules_encoder_after_the_warm_up(host: SimpleNamespace) -> None:
    encoder, asked = nn.Conv2d(3, 4, 3, stride=4, padding=1), []
    encoder.register_forward_hook(lambda *_: asked.append(True))
    localizer = MomentumLocalizer(nn.Sequential(encoder), layer="0")
    recipe = toy.masking(localizer=localizer, negative=toy.NEGATIVE)
    warm_up = SaliencyWarmUp(uniform=0.5, ramp=0.5, grid=(4, 3))
    callback = host.adapter.SaliencyMaskingCallback(recipe, 0, warm_up=warm_up)
    found = fit(host, callback, epochs=1)
    first, second = toy.clean_batches()
    early = warm_up.masking(recipe, 0.0)(*first, step_generator(0, 0, 0))
    assert torch.equal(found.module.seen["fit"][0][0], early.query)
    assert len(asked) == 2  # once in the first batch, so as not to fail late
    late = recipe(*second, step_generator(0, 0, 1))
    assert torch.equal(found.module.seen["fit"][1][0], late.query)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"localizer": partial(MomentumLocalizer, layer="0")}, "waits for an encoder"),
        ({"localizer": GivenLocalizer()}, "needs object masks"),
        ({"query": Masking(GridMask(), UnseenFill())}, "must show something"),
    ],
)
def test_what_the_host_cannot_do_is_refused(
    host: SimpleNamespace, recipe: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        host.adapter.SaliencyMaskingCallback(toy.masking(**recipe), 0)


def test_less_of_no_hard_negatives_is_refused(host: SimpleNamespace) -> None:
    encoding = NegativeEncoding(share=0.5)
    with pytest.raises(ValueError, match=r"there is none"):
        host.adapter.SaliencyMaskingCallback(toy.masking(), 0, negative_encoding=encoding)


class PlainLoss(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).square().mean()


def test_hard_negatives_without_a_loss_that_knows_them_are_refused(host: SimpleNamespace) -> None:
    callback = host.adapter.SaliencyMaskingCallback(toy.masking(negative=toy.NEGATIVE), 0)
    with pytest.raises(ValueError, match="must have one HardNegativeNTXentLoss"):
        fit(host, callback, PlainLoss())


class Unused(PlainLoss):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


def test_hard_negatives_that_no_loss_took_stop_the_run(host: SimpleNamespace) -> None:
    callback = host.adapter.SaliencyMaskingCallback(toy.masking(negative=toy.NEGATIVE), 0)
    with pytest.raises(ValueError, match="did not call"):
        fit(host, callback, Unused(host.adapter.HardNegativeNTXentLoss()))


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([1, 2], TypeError, "batch is a list"),
        ({"image": torch.zeros(1), "label": 0}, ValueError, "holds 0 views"),
        ({"views": [{"image": 0}] * 3}, ValueError, "holds 3 views"),
    ],
)
def test_batches_without_two_views_are_refused(
    host: SimpleNamespace, batch: Any, error: type[Exception], message: str
) -> None:
    from salmask_plugin.adapters.stable_pretraining.views import views_of

    with pytest.raises(error, match=message):
        views_of(batch)


def test_named_views_are_taken_in_their_order(host: SimpleNamespace) -> None:
    from salmask_plugin.adapters.stable_pretraining.views import views_of

    student, teacher = {"image": 0}, {"image": 1}
    for batch in (
        {"student": student, "teacher": teacher, "batch_idx": 3},
        {"views": {"student": student, "teacher": teacher}},
        {"views": [student, teacher], "label": 1},
    ):
        first, second = views_of(batch)
        assert first is student
        assert second is teacher


def test_the_losses_settings_are_checked_as_the_cores(host: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="positive_in_denominator='no' must be True or False"):
        host.adapter.HardNegativeNTXentLoss(positive_in_denominator="no")


@pytest.mark.parametrize("wrong", [SaliencyWarmUp, NegativeEncoding, 3])
def test_a_class_or_number_in_the_place_of_a_setting_is_refused(
    host: SimpleNamespace, wrong: Any
) -> None:
    for argument in ("warm_up", "negative_encoding"):
        with pytest.raises(ValueError, match=rf"{argument}=.* must be \w+\(\.\.\.\), or None"):
            host.adapter.SaliencyMaskingCallback(
                toy.masking(negative=toy.NEGATIVE), 0, **{argument: wrong}
            )


def test_hard_negatives_draw_apart_from_the_host(host: SimpleNamespace) -> None:
    """With dropout in the encoder the data order stays that of a run without hard negatives."""
    states = []
    for negative in (None, toy.NEGATIVE):
        recipe = toy.masking(negative=negative)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = host.module(host.adapter.HardNegativeNTXentLoss())
            module.backbone.append(nn.Dropout(0.3))
            callback = host.adapter.SaliencyMaskingCallback(recipe, 0)
            toy.trainer(host.lightning, [callback]).fit(module, toy.loader(), toy.loader(4))
            states.append(torch.get_rng_state())
    assert torch.equal(*states)
