"""BatchNorm's statistics anew, against means and variances computed by hand."""

from __future__ import annotations

from collections import OrderedDict

import lightly_toy as toy
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from salmask_plugin.adapters.lightly import MaskedMoCoV2, reestimate_batch_norm, split_batch_norm


def batches(sizes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        (3 * torch.randn((size, 3, 9, 7), generator=generator) + 1, torch.zeros(size))
        for size in sizes
    ]


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(first=nn.Conv2d(3, 5, 3), norm=nn.BatchNorm2d(5), last=nn.Conv2d(5, 4, 3))
    )


def test_equals_the_mean_over_batches_by_hand():
    model = network().eval()
    model.norm.running_mean.fill_(50.0)
    seen = batches([8, 8, 8])
    inside = [model.first(images).detach() for images, _ in seen]
    assert reestimate_batch_norm(model, seen) == 3
    mean = torch.stack([x.mean((0, 2, 3)) for x in inside]).mean(0)
    variance = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in inside]).mean(0)
    assert torch.allclose(model.norm.running_mean, mean, atol=1e-6)
    assert torch.allclose(model.norm.running_var, variance, rtol=1e-5)


def test_equals_torchs_own_on_plain_batch_norm():
    ours, theirs = network(), network()
    seen = batches([6, 6, 6, 6])
    reestimate_batch_norm(ours, seen)
    update_bn(seen, theirs)
    for name in ("running_mean", "running_var"):
        assert torch.allclose(getattr(ours.norm, name), getattr(theirs.norm, name), rtol=1e-5)


def test_groups_are_averaged_where_batch_norm_is_split():
    model = network()
    split_batch_norm(model, 4)
    seen = batches([8, 8])
    # lightly deals the images of a batch out to its groups in turn.
    groups = [model.first(images[i::2]).detach() for images, _ in seen for i in range(2)]
    reestimate_batch_norm(model, seen)
    variance = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in groups]).mean(0)
    assert torch.allclose(model.norm.running_var, variance, rtol=1e-5)


def test_a_smaller_batch_is_left_out():
    seen = batches([8, 8, 3])
    whole, cut = network(), network()
    assert reestimate_batch_norm(whole, seen) == 2
    reestimate_batch_norm(cut, seen[:2])
    assert torch.equal(whole.norm.running_mean, cut.norm.running_mean)


def test_parameters_modes_momentum_and_gradients_stay():
    model = network().eval()
    model.last.train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    reestimate_batch_norm(model, batches([8, 8]))
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert (model.training, model.norm.training, model.last.training) == (False, False, True)
    assert model.norm.momentum == 0.1
    assert all(value.grad is None for value in model.parameters())


def test_only_layers_that_the_forward_reaches_change():
    """The key encoder is no part of ``model(images)``; the view filter is."""
    masking = toy.masking(view_filter=toy.high_pass())
    model = MaskedMoCoV2(
        toy.network(), feature_dim=10, masking=masking, queue_size=16, split_batch_size=4
    )
    key = {name: value.clone() for name, value in model.key_backbone.state_dict().items()}
    seen = [(torch.randn(8, 3, 16, 12) + 5, None)]
    reestimate_batch_norm(model, seen)
    assert all(
        torch.equal(value, key[name]) for name, value in model.key_backbone.state_dict().items()
    )
    filtered = toy.high_pass()(seen[0][0])
    inside = model.backbone[0](filtered).detach()
    assert torch.allclose(model.backbone[1].running_mean, inside.mean((0, 2, 3)), atol=1e-6)


def test_without_batch_norm_nothing_runs_and_without_batches_is_an_error():
    assert reestimate_batch_norm(toy.network(normalised=False), []) == 0
    with pytest.raises(ValueError, match="no batch"):
        reestimate_batch_norm(network(), [])
