"""Masked places that the query's encoder does not see, in lightly's steps."""

import copy

import pytest
import torch
from lightly_toy import Pairs, loader, masking, network, trainer
from torch.utils.data import DataLoader

from salmask_plugin import GridMask, Masking, MeanFill, UnseenFill, visible_only
from salmask_plugin.adapters.lightly import MaskedMoCoV2, MaskedSimCLR, SaliencyMaskingCallback
from salmask_plugin.encoders.small_convnet import small_convnet

UNSEEN = Masking(GridMask((0.3, 0.3)), UnseenFill())


def module(kind, **changes):
    torch.manual_seed(0)
    backbone, feature_dim = small_convnet((4, 4, 6, 8))
    if kind is MaskedMoCoV2:
        changes = {"queue_size": 16, "split_batch_size": 4, **changes}
    changes = {"masking": masking(query=UNSEEN, negative=None), **changes}
    return kind(backbone, feature_dim=feature_dim, **changes)


def seen_by(part):
    """Record what a network is given, and what it gives."""
    calls = []
    part.register_forward_hook(lambda _, given, found: calls.append((given[0], found.detach())))
    return calls


@pytest.mark.parametrize("kind", [MaskedMoCoV2, MaskedSimCLR])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_query_is_encoded_by_its_visible_places(kind, precision):
    model = module(kind)
    twin = copy.deepcopy(model.backbone)
    calls = seen_by(model.backbone)
    trainer(precision=precision, limit_train_batches=1).fit(model, loader(8))
    query, found = calls[0]
    hidden = (query == 0).all(1, keepdim=True)
    assert 0.2 < hidden.float().mean() < 0.4
    half = torch.autocast("cpu", torch.bfloat16, enabled="bf16" in precision)
    with half, visible_only(twin.train(), hidden):
        expected = twin(query)
    assert torch.equal(found, expected)
    key = calls[1][0] if kind is MaskedSimCLR else None
    assert key is None or not (key == 0).any()


@pytest.mark.parametrize("kind", [MaskedMoCoV2, MaskedSimCLR])
def test_hidden_pixels_of_the_query_do_not_move_the_weights(kind, monkeypatch):
    """Something else in hidden places, and the step is the same."""
    states = []
    for value in (0.0, 7.0):
        content = staticmethod(lambda images, value=value: torch.full_like(images, value))
        monkeypatch.setattr(UnseenFill, "__call__", lambda _, images, __, c=content: c(images))
        model = module(kind)
        trainer(limit_train_batches=1).fit(model, DataLoader(Pairs(8), batch_size=8))
        states.append(model.state_dict())
    first, second = states
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_hard_negatives_and_keys_stay_whole():
    negative = Masking(GridMask((0.4, 0.7), background=False), MeanFill())
    both = masking(query=UNSEEN, negative=negative)
    model = module(MaskedMoCoV2, masking=both, hard_negative_bias=-9.0)
    calls = seen_by(model.key_backbone)
    trainer().fit(model, DataLoader(Pairs(8), batch_size=8))
    assert len(calls) == 2  # keys, then hard negatives
    assert not any((images == 0).any() for images, _ in calls)


def test_the_callback_refuses_a_query_that_is_not_to_be_seen():
    with pytest.raises(ValueError, match=r"query\.fill must show something"):
        SaliencyMaskingCallback(masking(query=UNSEEN, negative=None), query_index=0)


def test_channels_drawn_apart_hide_no_place():
    def of_ones_own(saliency, generator=None):
        size = (len(saliency), 3, *saliency.shape[1:])
        return torch.rand(size, generator=generator) < 0.3

    query = Masking(of_ones_own, UnseenFill())
    model = MaskedSimCLR(network(), feature_dim=10, masking=masking(query=query, negative=None))
    with pytest.raises(ValueError, match="drawn per channel"):
        trainer().fit(model, loader(8))
