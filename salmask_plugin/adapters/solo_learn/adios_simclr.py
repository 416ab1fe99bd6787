"""ADIOS and ADIOS-s on solo-learn's SimCLR."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from solo.methods.simclr import SimCLR
from solo.utils.misc import gather, get_rank
from torch import Tensor

from salmask_plugin.adapters.solo_learn.adios_mixin import OcclusionMixin
from salmask_plugin.adapters.solo_learn.losses import nt_xent_rows
from salmask_plugin.precision import in_float


class SalmaskADIOSSimCLR(OcclusionMixin, SimCLR):
    """SimCLR of solo-learn whose view 1 is occluded by a model that learns to make the task hard.

    The encoder lowers sum_n L(z(x1), z(x2 occluded by mask n)), L being solo-learn's NT-Xent over
    all processes, and the occluder raises it less the sparsity penalty.

    References:
        Shi et al., ICML 2022, https://arxiv.org/abs/2201.13100. Departures in docs/adios.md.
    """

    mean_over_masks = False

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Take the encoder's and the occluder's step on one batch.

        Raises:
            ValueError: if the batch is a single image, which has no negatives.
        """
        indexes, (first, second), _ = batch
        if len(first) * self.trainer.world_size == 1:
            raise ValueError("a batch of 1 has no negatives: use more images.")
        generator = self.generator(first.device)
        term = partial(self.term, indexes.repeat(2))

        clean, class_loss = self.clean_step(batch, batch_idx)
        self.encoder_turn(second, clean, term, class_loss, generator)
        with self.networks_still():
            # Anew: the encoder has moved.
            fixed = self(first)["z"]
            self.occluder_turn(second, partial(term, fixed), generator)
        self.end_batch()

    def term(self, indexes: Tensor, clean: Tensor, occluded: Tensor) -> Tensor:
        """L(z1, z2): both players' term.

        Args:
            indexes: (2B,), the image that each row of the two views shows.
            clean: (B, D) embeddings of the clean view.
            occluded: (B, C, H, W).
        """
        z = torch.cat((in_float(clean), in_float(self(occluded)["z"])))
        rows = nt_xent_rows(
            z,
            indexes,
            gather(z),
            gather(indexes),
            first=len(z) * get_rank(),
            temperature=self.temperature,
        )
        return rows.losses.mean()
