"""Training images held out to choose a probe's settings on, so that validation images are not."""

from __future__ import annotations

import torch
from torch import Tensor

from salmask_plugin.checks import number

SPLIT_SEED = 0
"""The same images are held out in every run, so that rows and seeds choose under equal terms."""


def held_out_places(labels: Tensor, share: float) -> Tensor:
    """Return a bool (N,): ``share`` of every class, rounded, at least one image of it.

    Raises:
        ValueError: if the share is not in (0, 1), or would leave a class without images.
    """
    number(share, "held_out", above=0, below=1)
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.rand(len(labels), generator=generator)
    judged = torch.zeros(len(labels), dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        members = (labels == label).nonzero().flatten()
        count = max(1, round(len(members) * share))
        if count >= len(members):
            raise ValueError(
                f"held_out={share} leaves class {label} without training images: it has "
                f"{len(members)}."
            )
        judged[members[order[members].argsort()[:count]]] = True
    return judged
