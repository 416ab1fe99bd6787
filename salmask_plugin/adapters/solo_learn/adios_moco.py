"""ADIOS and ADIOS-s on solo-learn's MoCo v2+: this project's port, there is no reference."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from solo.methods.mocov2plus import MoCoV2Plus
from solo.utils.misc import gather
from torch import Tensor, nn

from salmask_plugin.adapters.solo_learn.adios_mixin import OcclusionMixin
from salmask_plugin.adios import moco_occluder_term, moco_term


class SalmaskADIOSMoCoV2Plus(OcclusionMixin, MoCoV2Plus):
    """solo-learn's MoCo v2+ against a model that learns what to occlude.

    There is no reference implementation of ADIOS on MoCo; this port mirrors ADIOS on BYOL. The
    symmetric loss of MoCo v2+ fits it: both views pass both encoders, view 1 occluded; see
    :func:`~salmask_plugin.adios.moco_term`, averaged over the masks played. One queue of clean keys
    f_k(x1) serves both directions (solo-learn has one per view) and takes them once, after both
    turns. The key encoder moves as in solo-learn, after the batch, and its tau counts batches.

    References:
        Shi et al., ICML 2022, https://arxiv.org/abs/2201.13100; Chin et al., WACV 2024, section
        A.2. Departures in docs/adios.md.
    """

    mean_over_masks = True

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.register_buffer("queue", self.queue[:1].clone())

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The momentum encoder also stands still on the occluder's turn."""
        return (*super().networks, self.momentum_backbone, self.momentum_projector)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Take the encoder's and the occluder's step on one batch."""
        _, (first, second), targets = batch
        generator = self.generator(first.device)

        query, class_loss = self.clean_step(batch, batch_idx)
        keys = self._shared_step_momentum(first, targets)
        if "loss" in keys:  # solo-learn's momentum classifier, where it is on
            class_loss = class_loss + keys["loss"]
        term = partial(self.encoder_term, keys["z"])
        self.encoder_turn(second, query, term, class_loss, generator)
        with self.networks_still():
            self.occluder_turn(second, partial(self.occluder_term, keys["z"]), generator)
        # Only now: in the queue, this batch's keys would be negatives of their own images.
        self._dequeue_and_enqueue(gather(keys["z"])[None])
        self.end_batch()

    def encoder_term(self, clean_key: Tensor, clean_query: Tensor, occluded: Tensor) -> Tensor:
        """L of one mask: both directions of the symmetric loss."""
        return moco_term(
            clean_query,
            clean_key,
            self(occluded)["z"],
            self.momentum_forward(occluded)["z"],
            self.queue[0].T,
            temperature=self.temperature,
        )

    def occluder_term(self, clean_key: Tensor, occluded: Tensor) -> Tensor:
        """The direction of L that has a gradient for the masks."""
        query = self(occluded)["z"]
        return moco_occluder_term(query, clean_key, self.queue[0].T, temperature=self.temperature)

    def on_train_start(self) -> None:
        """Set tau to where a resumed run stopped; solo-learn would begin at its base value."""
        super().on_train_start()
        self._move_tau()

    def on_train_batch_end(self, outputs: Any, batch: Sequence[Any], batch_idx: int) -> None:
        """Move the momentum encoder once per batch, as solo-learn does, and tau by batches.

        solo-learn's own hook counts optimiser steps, of which a batch has two here: tau would reach
        its end half-way and turn back.
        """
        for online, momentum in self.momentum_pairs:
            self.momentum_updater.update(online, momentum)
        self.log("tau", self.momentum_updater.cur_tau)
        self._move_tau()

    def _move_tau(self) -> None:
        self.momentum_updater.update_tau(
            cur_step=self._batches_seen, max_steps=self.trainer.estimated_stepping_batches
        )
