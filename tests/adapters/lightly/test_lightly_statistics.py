"""Hard negatives leave no trace in the running statistics of any layer, the head's included."""

from __future__ import annotations

from typing import Any

import lightly_toy as toy
import pytest
import torch
from torch import nn

from salmask_plugin.adapters.lightly import MaskedMoCoV2, MaskedSimCLR


# With so few negatives they do; test_lightly_logs.py is about it.
@pytest.mark.filterwarnings("ignore:The hard negatives dominate")
@pytest.mark.parametrize("make", [MaskedSimCLR, MaskedMoCoV2])
def test_no_layer_remembers_hard_negatives(make: Any) -> None:
    found = []
    for negative in (toy.NEGATIVE, None):
        torch.manual_seed(7)
        own = {"queue_size": 4096} if make is MaskedMoCoV2 else {}
        masking = negative and toy.masking(query=None, negative=negative)
        module = make(toy.network(), feature_dim=10, masking=masking, warmup_epochs=0, **own)
        if make is MaskedMoCoV2:
            # MoCo's head has no BatchNorm; others, such as MoCo v3's, do.
            for head in (module.projection_head, module.key_projection_head):
                head.layers.append(nn.BatchNorm1d(128))
        torch.manual_seed(1)
        toy.trainer(limit_train_batches=1).fit(module, toy.loader())
        found.append(
            {
                name: value
                for name, value in module.state_dict().items()
                if "running_" in name or "num_batches" in name
            }
        )
    with_negatives, without = found
    assert any("projection_head" in name for name in without)
    assert with_negatives.keys() == without.keys()
    for name, value in without.items():
        assert torch.equal(with_negatives[name], value), name
