"""One training step of the real methods, in this process: what each encoder sees, and the loss."""

from __future__ import annotations

import pytest
import torch
from solo_toy import BATCH, recipe
from torch import nn

from salmask_plugin import HighPassFilter, info_nce

pytestmark = [pytest.mark.solo, pytest.mark.filterwarnings("ignore")]


def record_inputs(module: nn.Module) -> list[torch.Tensor]:
    """What reaches a backbone's first convolution, behind filter and masks."""
    seen: list[torch.Tensor] = []
    module.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    return seen


def spy_views(model):
    made = []
    original = model.make_views
    model.make_views = lambda views: made.append(original(views)) or made[-1]
    return made


@pytest.mark.parametrize("name", ["mean", "highpass"])
def test_momentum_method_masks_the_online_encoder_only(build, batch, name):
    backbone = "resnet18_highpass" if name == "highpass" else "resnet18"
    model = build("salmask_mocov2plus", recipe(name), backbone)
    online, keys = record_inputs(model.backbone), record_inputs(model.momentum_backbone)
    views = spy_views(model)
    model.training_step(batch, 0)

    clean = [x.clone() for x in batch[1]]
    if name == "highpass":
        kernel = model.backbone.highpass_kernel.tolist()
        clean = [HighPassFilter(int(kernel[0]), kernel[1])(x) for x in clean]
    assert len(online) == 2
    assert len(keys) == 4  # two keys and two hard negatives, each in a forward of its own
    directions = views[0].directions
    for index in (0, 1):
        mask = directions[index].query_mask.expand_as(clean[index])
        assert torch.equal(online[index][~mask], clean[index][~mask])
        assert mask.any()
        assert not torch.equal(online[index][mask], clean[index][mask])
        torch.testing.assert_close(keys[index], clean[index], rtol=0, atol=1e-6)
        # The hard negative of query 0 is made from view 1, and the reverse.
        hidden = directions[index].negative_masks[:, 0].expand_as(clean[1 - index])
        assert torch.equal(keys[2 + index][~hidden], clean[1 - index][~hidden])
        assert not torch.equal(keys[2 + index][hidden], clean[1 - index][hidden])


def test_symmetric_loss_reads_the_queue_before_keys_enter_it(build, batch):
    model = build("salmask_mocov2plus", recipe("mean", num_negatives=2))
    old = model.queue.clone()
    seen, hard = {}, []
    original, embed = model.direction, model.embed_negatives
    model.direction = lambda q, k, queue, i: (
        seen.update({i: (q.detach(), k.detach())}) or original(q, k, queue, i)
    )
    model.embed_negatives = lambda x: hard.append(embed(x)) or hard[-1]
    loss = model.training_step(batch, 0)
    with torch.no_grad():
        first = info_nce(*seen[0], old[1].T, hard[0], temperature=0.2, rho=2.0)
        second = info_nce(*seen[1], old[0].T, hard[1], temperature=0.2, rho=2.0)
    online = loss.detach() - (first + second) / 2  # what is left is the online classifier's loss
    assert 0 < online < 4
    assert hard[0].shape == (BATCH, 2, old.shape[1])
    torch.testing.assert_close(model.queue[1, :, :BATCH].T, seen[0][1])
    torch.testing.assert_close(model.queue[0, :, :BATCH].T, seen[1][1])
    assert torch.equal(model.queue[:, :, BATCH:], old[:, :, BATCH:])


@pytest.mark.parametrize("method", ["salmask_mocov2plus", "salmask_mocov2", "salmask_simclr"])
def test_less_of_the_hard_negatives(build, batch, method):
    """A part of the batch at half the side; the rest of the step is that of all of them."""
    steps = {}
    for encoding in (None, {"side": 0.5, "share": 0.5}):
        model = build(method, recipe("mean", negative_encoding=encoding))
        encoder = model.backbone if method == "salmask_simclr" else model.momentum_backbone
        seen, hard, embed = record_inputs(encoder), [], model.embed_negatives
        model.embed_negatives = lambda x, hard=hard, embed=embed: hard.append(embed(x)) or hard[-1]
        assert model.training_step(batch, 0).isfinite()
        steps[encoding is None] = seen, hard
    (seen, hard), (whole, every) = steps[False], steps[True]
    side = batch[1][0].shape[-1]
    count = len(hard)
    assert [part.shape[:2] for part in hard] == [(BATCH // 2, 1)] * count
    assert [part.shape[:2] for part in every] == [(BATCH, 1)] * count
    assert [tuple(part.shape) for part in seen[-count:]] == [
        (BATCH // 2, 3, side // 2, side // 2)
    ] * count
    for one, other in zip(seen[:-count], whole[:-count], strict=True):
        assert torch.equal(one, other)


def test_rows_are_solo_learns_losses(solo):
    from solo.losses.mocov2plus import mocov2plus_loss_func
    from solo.losses.simclr import simclr_loss_func

    from salmask_plugin.adapters.solo_learn.losses import moco_rows, nt_xent_rows

    generator = torch.Generator().manual_seed(1)
    q, k = (
        nn.functional.normalize(torch.randn((5, 7), generator=generator), dim=1) for _ in range(2)
    )
    queue = nn.functional.normalize(torch.randn((7, 11), generator=generator), dim=0)
    own = moco_rows(q, k, queue, temperature=0.3).losses.mean()
    torch.testing.assert_close(own, mocov2plus_loss_func(q, k, queue, 0.3))
    z, indexes = torch.randn((15, 7), generator=generator), torch.arange(5).repeat(3)
    rows = nt_xent_rows(z, indexes, z, indexes, first=0, temperature=0.3)
    torch.testing.assert_close(rows.losses.mean(), simclr_loss_func(z, indexes, 0.3))


def test_simclr_masks_view_0_and_leaves_the_rows_of_view_1(build, batch):
    model = build("salmask_simclr", recipe("mean"))
    inputs = record_inputs(model.backbone)
    with_negatives = model.training_step(batch, 0)
    assert len(inputs) == 3
    assert torch.equal(inputs[1], batch[1][1])
    assert not torch.equal(inputs[0], batch[1][0])
    without = build("salmask_simclr", recipe("mean", negative=None)).training_step(batch, 0)
    assert with_negatives > without  # the same masks, and one more term in the denominator


@pytest.mark.parametrize("method", ["mocov2plus", "simclr"])
def test_without_masks_the_step_is_the_hosts_bit_for_bit(build, batch, method):
    plain = build(method)
    ours = build(f"salmask_{method}", recipe("none"))
    one, other = plain.training_step(batch, 0), ours.training_step(batch, 0)
    assert torch.equal(one, other)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name


def test_masks_do_not_shift_what_the_host_draws(build, batch):
    build("mocov2plus")
    expected = torch.get_rng_state()
    model = build("salmask_mocov2plus", recipe("highpass"), "resnet18_highpass")
    assert torch.equal(torch.get_rng_state(), expected)
    assert model.masking is not None
    model.training_step(batch, 0)
    assert torch.equal(torch.get_rng_state(), expected)


@pytest.mark.parametrize("method", ["salmask_mocov2plus", "salmask_simclr"])
def test_hard_negatives_draw_apart_from_the_host(build, batch, method):
    """With dropout in the networks, or the order of the data would no longer be the baseline's."""
    states = []
    for changes in ({}, {"negative": None}):
        model = build(method, recipe("mean", **changes))
        for name in ("projector", "momentum_projector"):
            if hasattr(model, name):
                getattr(model, name).append(torch.nn.Dropout(0.3))
        torch.manual_seed(3)
        model.training_step(batch, 0)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_hard_negatives_leave_no_trace_in_the_statistics(build, batch):
    one = build("salmask_mocov2plus", recipe("mean"))
    other = build("salmask_mocov2plus", recipe("mean", negative=None))
    one.training_step(batch, 0)
    other.training_step(batch, 0)
    for name, value in other.momentum_backbone.state_dict().items():
        assert torch.equal(value, one.momentum_backbone.state_dict()[name]), name
    assert int(one.momentum_backbone.bn1.num_batches_tracked) == 2
    assert one.momentum_backbone.bn1.track_running_stats


def test_one_direction_of_mocov2(build, batch):
    model = build("salmask_mocov2", recipe("mean"))
    assert model.queue.shape[0] == 1
    online, keys = record_inputs(model.backbone), record_inputs(model.momentum_backbone)
    model.training_step(batch, 0).backward()
    assert len(online) == 1
    assert len(keys) == 2
    assert torch.equal(keys[0], batch[1][1])
    assert int(model.queue_ptr) == BATCH
    assert model.num_large_crops == 2
    assert model.backbone.conv1.weight.grad is not None
    assert all(p.grad is None for p in model.momentum_backbone.parameters())


@pytest.mark.parametrize(
    ("branch", "masked"), [("query", (True, False)), ("key", (False, True)), ("both", (True, True))]
)
def test_branch(build, batch, branch, masked):
    model = build("salmask_mocov2", recipe("mean", branch=branch))
    online, keys = record_inputs(model.backbone), record_inputs(model.momentum_backbone)
    model.training_step(batch, 0)
    assert (not torch.equal(online[0], batch[1][0])) == masked[0]
    assert (not torch.equal(keys[0], batch[1][1])) == masked[1]


def test_mscn_masks_both_branches_of_filtered_views(build, batch):
    model = build("salmask_mocov2plus", recipe("mscn"), "resnet18_highpass")
    online, keys = record_inputs(model.backbone), record_inputs(model.momentum_backbone)
    model.training_step(batch, 0)
    size, sigma = model.backbone.highpass_kernel.tolist()
    assert len(keys) == 2  # no hard negatives
    for seen in (online, keys):
        for view in (0, 1):
            clean = HighPassFilter(int(size), sigma)(batch[1][view])
            share = float(torch.isclose(seen[view], clean, atol=1e-6).float().mean())
            assert 0.5 < share < 0.99


def test_masks_go_on_where_a_checkpoint_stopped(build, batch):
    first = build("salmask_mocov2", recipe("mean"))
    for index in range(3):
        first.training_step(batch, index)
    checkpoint: dict[str, object] = {}
    first.on_save_checkpoint(checkpoint)
    resumed = build("salmask_mocov2", recipe("mean"))
    fresh = resumed.make_views(batch[1]).online[0]
    resumed.on_load_checkpoint(checkpoint)
    expected = first.make_views(batch[1]).online[0]
    assert torch.equal(resumed.make_views(batch[1]).online[0], expected)
    assert not torch.equal(fresh, expected)
    with pytest.raises(ValueError, match=r"salmask\.rho"):
        build("salmask_mocov2", recipe("mean", rho=1.0)).on_load_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="without salmask"):
        resumed.on_load_checkpoint({})


def test_ranks_draw_different_masks(build, batch, monkeypatch):
    model = build("salmask_mocov2", recipe("mean"))
    zero = model.make_views(batch[1]).online[0]
    monkeypatch.setattr(type(model), "global_rank", 1)
    assert not torch.equal(model.make_views(batch[1]).online[0], zero)


@pytest.mark.parametrize("method", ["byol", "simsiam", "wmse"])
def test_other_methods(build, batch, method):
    model = build(f"salmask_{method}", recipe("mean", negative=None))
    online = record_inputs(model.backbone)
    model.training_step(batch, 0).backward()
    assert not torch.equal(online[0], batch[1][0])
    both = hasattr(model, "momentum_backbone")
    assert (not torch.equal(online[1], batch[1][1])) == both


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        *("all4one", "barlow_twins", "deepclusterv2", "dino", "mocov3", "nnbyol", "nnclr"),
        *("nnsiam", "ressl", "simsiam", "supcon", "swav", "vibcreg", "vicreg"),
    ],
)
def test_every_other_two_view_method(build, batch, method, tmp_path):
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader

    model = build(f"salmask_{method}", recipe("mean", negative=None))
    del model.log, model.log_dict
    online = record_inputs(model.backbone)
    items = [
        (index, [view[index] for view in batch[1]], int(batch[2][index])) for index in range(BATCH)
    ]
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(items, batch_size=BATCH))
    assert not torch.equal(online[0], batch[1][0])
    assert float(trainer.callback_metrics["mask_ratio"]) > 0.02
    # As solo-learn's linear evaluation and Lightning's resume load it.
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["salmask"]["batches_seen"] == 1


def test_a_vit_is_built_as_for_the_hosts_own_method(solo):
    from solo.methods.base import BaseMethod

    factory = BaseMethod._BACKBONES["vit_tiny"]
    assert type(factory("salmask_mocov3")) is type(factory("mocov3"))
    assert type(factory("salmask_mocov3")) is not type(factory("simclr"))
