"""Masking for user modules that stay as they are."""

from __future__ import annotations

from functools import partial
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_warn

from salmask_plugin.adapters.lightly.logs import StepLog
from salmask_plugin.adapters.lightly.views import StepMasking, views_of
from salmask_plugin.adapters.recipe import check_masking
from salmask_plugin.fills.special import is_unseen
from salmask_plugin.filters import UNFILTERED_EVALUATION
from salmask_plugin.localizers.needs import innermost
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.warm_up import SaliencyWarmUp


class SaliencyMaskingCallback(Callback):
    """Mask the views of every training batch before the module sees them.

    Works with any module of lightly's examples and benchmarks: the views in ``batch[0]`` are
    replaced on the device. Validation, testing, kNN and linear evaluation are not touched. Hard
    negatives need the loss and the module to know them: use :class:`MaskedMoCoV2`,
    :class:`MaskedSimCLR` or the three lines of docs/lightly.md.

    ``mask_ratio`` and ``foreground_share`` are logged. The step is part of checkpoints, so a
    resumed run draws the masks it would have drawn.

    Args:
        masking: what to do. With a view filter both views are filtered, and evaluation must filter
            as well, which an unmodified module does not.
        query_index: which view is the query. No default, since lightly's own differ: 0 in its
            examples, 1 in its ImageNet benchmark, where 0 would mask the key.
        seed: of the masks.
        warm_up: masks without saliency at first; None: none.

    Raises:
        ValueError: if it is no SaliencyMasking, makes hard negatives, its query is not to be seen,
            or its localizer waits for an encoder.
    """

    def __init__(
        self,
        masking: SaliencyMasking,
        query_index: int,
        seed: int = 0,
        warm_up: SaliencyWarmUp | None = None,
    ) -> None:
        super().__init__()
        check_masking(masking)
        if masking.negative is not None:
            raise ValueError(
                "negative must be None: an unmodified module has no place for hard negatives. Use "
                "MaskedMoCoV2 or MaskedSimCLR, or add the three lines of docs/lightly.md."
            )
        if is_unseen(masking.query):
            raise ValueError(
                "query.fill must show something: an unmodified module encodes its query whole, and "
                "would see the masked places as zeros. Use MaskedMoCoV2, MaskedSimCLR or "
                "visible_only(encoder, views.query_unseen) in your own step."
            )
        if isinstance(innermost(masking.localizer), partial):
            raise ValueError(
                f"localizer={masking.localizer} waits for an encoder; give it your module's: "
                "MomentumLocalizer(encoder=module.backbone_momentum, layer=...)."
            )
        self.step_masking = StepMasking(
            masking, query_index=query_index, seed=seed, warm_up=warm_up
        )
        self.step_log = StepLog(masking)
        self._filters = masking.view_filter is not None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what a view filter asks of the evaluation."""
        if self._filters:
            rank_zero_warn(UNFILTERED_EVALUATION)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the masking how long training is."""
        self.step_masking.start(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Replace the views in the batch's own list.

        Raises:
            TypeError: if ``batch[0]`` is not a list.
        """
        masked = self.step_masking(batch, rank=trainer.global_rank)
        views = views_of(batch)
        query = self.step_masking.query_index
        views[query], views[1 - query] = masked.query, masked.key
        self.step_log.step(pl_module, masked)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the batch; Lightning saves checkpoints after this."""
        self.step_masking.batches_seen += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the step, and the view filter for whoever loads the encoder."""
        return {
            "batches_seen": self.step_masking.batches_seen,
            "salmask_view_filter": self.step_masking.kernel,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the saved step."""
        self.step_masking.batches_seen = state_dict["batches_seen"]
