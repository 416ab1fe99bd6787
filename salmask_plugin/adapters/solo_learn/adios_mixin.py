"""What ADIOS's methods share in solo-learn's trainer: two players taking turns on each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from solo.methods.base import BaseMethod
from torch import Tensor, nn

from salmask_plugin.adapters.solo_learn.adios_settings import OcclusionSettings
from salmask_plugin.adapters.solo_learn.config_check import view_size
from salmask_plugin.adapters.solo_learn.masking_in_words import describe_occlusion
from salmask_plugin.adapters.solo_learn.one_view import one_view
from salmask_plugin.adapters.solo_learn.resume import batches_seen, remember
from salmask_plugin.adios.accumulation import Term, frozen
from salmask_plugin.adios.game import statistics
from salmask_plugin.adios.players import player_optimizer
from salmask_plugin.adios.schedule import cosine_per_batch
from salmask_plugin.adios.turns import take_turn, turn_metrics
from salmask_plugin.seeding import step_generator


class OcclusionMixin:
    """Train a method of solo-learn against a model that learns what to occlude.

    Put before the method's class. Optimisation is manual: per batch the encoder's optimiser, which
    is solo-learn's own, takes a step, then the occluder's. Each player's parameters are frozen on
    the other's turn. Lightning's ``global_step`` therefore advances by two per batch; everything
    here counts batches.

    View 0 is the clean one and view 1 is occluded, on both turns. solo-learn's online classifier
    and k-NN bank see view 0 alone.

    Attributes:
        mean_over_masks: whether contrastive terms are averaged over the masks played, or summed.
    """

    mean_over_masks: bool

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)  # type: ignore[call-arg]
        self.salmask = OcclusionSettings.from_node(cfg.salmask, str(cfg.method))
        self.game = self.salmask.game(mean_over_masks=self.mean_over_masks)
        self.occluder = self.salmask.occluder(view_size(cfg))
        self.automatic_optimization = False
        self._batches_seen = 0

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Everything that stands still on the occluder's turn, and whose statistics are meant."""
        return (self.backbone, self.projector)  # type: ignore[attr-defined]

    def setup(self, stage: str) -> None:
        """Refuse strategies that split parameters over processes."""
        super().setup(stage)  # type: ignore[misc]
        # Here, not above: registration runs where Lightning may be missing.
        from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

        strategy = self.trainer.strategy  # type: ignore[attr-defined]
        if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
            raise ValueError(
                f"strategy={type(strategy).__name__} is not supported by ADIOS: its two players "
                "take turns on whole parameters. Use strategy=auto on one device, or strategy=ddp."
            )
        self._ddp = isinstance(strategy, DDPStrategy)

    def on_fit_start(self) -> None:
        """Say what is played."""
        super().on_fit_start()  # type: ignore[misc]
        cfg: Any = self.cfg  # type: ignore[attr-defined]
        if self.trainer.is_global_zero:  # type: ignore[attr-defined]
            # Not self.print: Lightning's progress bar swallows it before the first batch.
            line = describe_occlusion(self.salmask, method=cfg.method, seed=cfg.seed)
            print(line, flush=True)

    def configure_optimizers(self) -> tuple[list[Any], list[Any]]:
        """solo-learn's optimiser and schedule for the encoder, and one of each for the occluder."""
        configured = super().configure_optimizers()  # type: ignore[misc]
        optimizers, schedules = configured if isinstance(configured, tuple) else ([configured], [])
        trainer: Any = self.trainer  # type: ignore[attr-defined]
        occluder = player_optimizer(
            self.salmask.mask_optimizer,
            [{"params": list(self.occluder.parameters())}],
            learning_rate=self.salmask.mask_learning_rate,
            weight_decay=self.salmask.mask_weight_decay,
            trust_coefficient=self.salmask.trust_coefficient,
        )
        cosine = cosine_per_batch(
            occluder,
            batches_per_epoch=lambda: trainer.num_training_batches,
            max_epochs=trainer.max_epochs or -1,
            warmup_epochs=self.salmask.mask_warmup_epochs,
            warmup_start=self.salmask.mask_warmup_start,
        )
        return [*optimizers, occluder], [*schedules, {"scheduler": cosine, "interval": "step"}]

    def clean_step(self, batch: Sequence[Any], batch_idx: int) -> tuple[Tensor, Tensor]:
        """Return the clean view's embeddings (B, D) and the online classifier's loss on it."""
        indexes, views, targets = batch
        with one_view(self):
            out = BaseMethod.training_step(self, [indexes, views[:1], targets], batch_idx)
        return out["z"][0], out["loss"]

    def encoder_turn(
        self,
        images: Tensor,
        clean: Tensor,
        term: Callable[[Tensor, Tensor], Tensor],
        class_loss: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Let the encoder learn to recognise ``images`` behind masks that are held fixed.

        Args:
            images: (B, C, H, W), the view that is occluded.
            clean: (B, D), with a graph.
            term: (clean, occluded images) -> scalar.
            class_loss: of the online classifier, which learns on this turn.
            generator: of the batch.
        """
        with frozen(self.occluder):
            masks = self.occluder(images).detach()
            choices = self.game.choose(masks, generator)
            step = self._batches_seen
            terms = self.game.encoder_terms(images, masks, choices, term, self.networks, step=step)
            total = self._take(0, clean, [*terms, lambda _: class_loss])
        loss = self.game.mean_term(total - class_loss.detach(), choices)
        self.log("train_nce_loss", loss, on_epoch=True, sync_dist=True)  # type: ignore[attr-defined]
        metrics = turn_metrics(masks, choices)
        self.log_dict(metrics, on_step=False, on_epoch=True, sync_dist=True)  # type: ignore[attr-defined]

    def occluder_turn(
        self, images: Tensor, term: Callable[[Tensor], Tensor], generator: torch.Generator
    ) -> None:
        """Let the occluder learn to make that hard, with :meth:`networks_still` around it.

        Args:
            images: (B, C, H, W), the view that is occluded.
            term: occluded images -> scalar.
            generator: of the batch.
        """
        masks = self.occluder(images)
        choices = self.game.choose(masks, generator)
        self._take(1, masks, self.game.occluder_terms(images, choices, term))

    @contextmanager
    def networks_still(self) -> Iterator[None]:
        """Inside, no network but the occluder takes gradients or updates running statistics."""
        update = self.salmask.occluder_updates_statistics
        with frozen(*self.networks), statistics(self.networks, update=update):
            yield

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the generator of this batch: its first draw is the encoder's masks."""
        cfg: Any = self.cfg  # type: ignore[attr-defined]
        rank = int(self.global_rank)  # type: ignore[attr-defined]
        return step_generator(int(cfg.seed), rank, self._batches_seen, device)

    def end_batch(self) -> None:
        """Move the schedules, which Lightning leaves alone here, and count the batch."""
        trainer: Any = self.trainer  # type: ignore[attr-defined]
        for config in trainer.lr_scheduler_configs:
            # Before solo-learn's checkpoint of the epoch is written.
            if config.interval == "step" or trainer.is_last_batch:
                config.scheduler.step()
        self._batches_seen += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what an exact and honest resume needs beside weights and optimisers."""
        super().on_save_checkpoint(checkpoint)  # type: ignore[misc]
        remember(checkpoint, self.salmask.plain(), self._batches_seen, "none")

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on counting batches where the checkpoint stopped.

        Raises:
            ValueError: if the checkpoint was trained with other masking, or with none.
        """
        super().on_load_checkpoint(checkpoint)  # type: ignore[misc]
        self._batches_seen = batches_seen(checkpoint, self.salmask.plain())

    def _take(self, player: int, shared: Tensor, terms: Sequence[Term]) -> Tensor:
        trainer: Any = self.trainer  # type: ignore[attr-defined]
        return take_turn(
            self.optimizers()[player],  # type: ignore[attr-defined]
            shared,
            terms,
            batch=self._batches_seen,
            backward=self.manual_backward,  # type: ignore[attr-defined]
            unreduced=trainer.strategy.block_backward_sync() if self._ddp else None,
        )
