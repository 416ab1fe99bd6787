"""What ADIOS' methods share in lightly's host: two players taking turns on each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from lightly.utils.benchmarking import OnlineLinearClassifier
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.finite import FiniteWatch, mean_over_processes
from salmask_plugin.adapters.lightly.online import online_features
from salmask_plugin.adapters.lightly.refusals import check_module, refuse_split_weights
from salmask_plugin.adapters.lightly.views import StepMasking
from salmask_plugin.adios import OcclusionModel, frozen
from salmask_plugin.adios.accumulation import Term
from salmask_plugin.adios.game import OcclusionGame, statistics
from salmask_plugin.adios.players import Players
from salmask_plugin.adios.turns import take_turn, turn_metrics
from salmask_plugin.checks import check_flag
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.seeding import step_generator


class Played(NamedTuple):
    """What the encoder played against on its turn.

    Attributes:
        loss: mean of the term over the masks played, detached.
        masks: (B, N, H, W), without graph.
        choices: the masks played, each (B,) int64.
    """

    loss: Tensor
    masks: Tensor
    choices: list[Tensor]


class OcclusionModule(LightningModule):
    """Train an encoder against a model that learns what to occlude, optimised by hand.

    Per batch the encoder's optimiser takes a step, then the occluder's, each player's parameters
    frozen on the other's turn. A subclass sets the networks and plays the turns.

    Args:
        masking: must be None.
        seed: of the drawn masks.
        players: their optimisers and schedules.
        game: its rules.
        occluder_updates_statistics: whether running statistics see the occluder's turn.

    Attributes:
        backbone: the encoder that is kept.
        projection_head: behind it.
        online_classifier: lightly's, or None.
        occluder: the other player.

    Raises:
        ValueError: if there is a masking: one that is silently unused would mislead.
    """

    backbone: nn.Module
    projection_head: nn.Module
    online_classifier: OnlineLinearClassifier | None
    occluder: OcclusionModel

    def __init__(
        self,
        masking: SaliencyMasking | None,
        *,
        seed: int,
        players: Players,
        game: OcclusionGame,
        occluder_updates_statistics: bool,
    ) -> None:
        super().__init__()
        if masking is not None:
            raise ValueError(
                "masking must be None for ADIOS, which learns its masks: choose masking=none."
            )
        check_flag(occluder_updates_statistics, "occluder_updates_statistics")
        self.automatic_optimization = False
        self.players = players
        self.game = game
        self.occluder_updates_statistics = occluder_updates_statistics
        self.steps = StepMasking(None, query_index=0, seed=seed)
        self.finite = FiniteWatch()

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Everything that stands still on the occluder's turn, and whose statistics are meant."""
        return (self.backbone, self.projection_head)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, feature_dim) of clean images."""
        features: Tensor = self.backbone(images).flatten(1)
        return features

    def setup(self, stage: str) -> None:
        """Refuse a module that was compiled whole, and strategies that split parameters."""
        check_module(self)
        refuse_split_weights(self, "two players take turns on whole ones")

    def configure_optimizers(self) -> tuple[list[Any], list[Any]]:
        """One optimiser and one schedule per player, encoder first, for the trainer's run."""
        trainer = self.trainer
        configured: tuple[list[Any], list[Any]] = self.players.configure(
            [self.backbone, self.projection_head],
            self.occluder,
            self.online_classifier,
            batches_per_epoch=lambda: trainer.num_training_batches,
            max_epochs=trainer.max_epochs or -1,
        )
        return configured

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the generator of this batch: its first draw is the encoder's masks."""
        steps = self.steps
        return step_generator(steps.seed, self.global_rank, steps.batches_seen, device)

    def encoder_turn(
        self,
        images: Tensor,
        clean: Tensor,
        term: Callable[[Tensor, Tensor], Tensor],
        online: Tensor,
        generator: torch.Generator,
    ) -> Played:
        """Let the encoder learn to recognise ``images`` behind masks that are held fixed.

        Args:
            images: (B, C, H, W), the view that is occluded.
            clean: (B, D), with a graph.
            term: (clean, occluded images) -> scalar.
            online: loss of the online classifier, which learns on this turn.
            generator: of the batch.
        """
        with frozen(self.occluder):
            masks = self.occluder(images).detach()
            choices = self.game.choose(masks, generator)
            seen = self.steps.batches_seen
            terms = self.game.encoder_terms(images, masks, choices, term, self.networks, step=seen)
            if self.online_classifier is not None:
                terms.append(lambda _: online)
            total = self._take(0, clean, terms)
        return Played(self.game.mean_term(total - online.detach(), choices), masks, choices)

    def occluder_turn(
        self, images: Tensor, term: Callable[[Tensor], Tensor], generator: torch.Generator
    ) -> Tensor:
        """Let the occluder learn to make that hard, with :meth:`networks_still` around it.

        Args:
            images: (B, C, H, W), the view that is occluded.
            term: occluded images -> scalar.
            generator: of the batch.

        Returns:
            Its loss, detached.
        """
        masks = self.occluder(images)
        choices = self.game.choose(masks, generator)
        return self._take(1, masks, self.game.occluder_terms(images, choices, term))

    @contextmanager
    def networks_still(self) -> Iterator[None]:
        """Inside, no network but the occluder takes gradients or updates running statistics."""
        update = self.occluder_updates_statistics
        with frozen(*self.networks), statistics(self.networks, update=update):
            yield

    def online_loss(self, batch: Sequence[Any], batch_idx: int) -> Tensor:
        """Loss of the online classifier on clean first views, its accuracy logged; 0 without."""
        if self.online_classifier is None:
            return torch.zeros((), device=self.device)
        features = online_features(self.backbone, self.steps, batch)
        loss, metrics = self.online_classifier.training_step((features, batch[1]), batch_idx)
        self.log_dict(metrics, sync_dist=True, batch_size=len(features))
        return loss

    def end_batch(self, played: Played, occluder_loss: Tensor) -> None:
        """Log both turns, averaged over the processes in one collective; move on.

        Logged are ``train_loss`` (mean over the masks played) and :func:`turn_metrics`.

        Raises:
            FloatingPointError: every ``log_every_n_steps`` steps and in the last of an epoch, if a
                loss of any step so far was not finite.
        """
        metrics = {"train_loss": played.loss, **turn_metrics(played.masks, played.choices)}
        values = [value.float() for value in (*metrics.values(), occluder_loss)]
        *means, occluder = mean_over_processes(torch.stack(values)).unbind()
        for name, value in zip(metrics, means, strict=True):
            self.log(name, value, prog_bar=name == "train_loss", batch_size=len(played.masks))
        trainer, step = cast(Any, self.trainer), self.steps.batches_seen
        self.finite.add(means[0] + occluder, step=step)
        if (step + 1) % trainer.log_every_n_steps == 0 or trainer.is_last_batch:
            self.finite.check()
        for schedule in cast(Any, self.lr_schedulers()):
            schedule.step()
        self.steps.batches_seen += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the step, so that draws and key shuffles go on where they stopped."""
        self.finite.check()
        checkpoint["salmask_batches_seen"] = self.steps.batches_seen
        checkpoint["salmask_view_filter"] = None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on at the saved step."""
        self.steps.batches_seen = checkpoint["salmask_batches_seen"]

    def on_train_end(self) -> None:
        """Look at the last losses, where ``max_steps`` ends a run inside an epoch."""
        self.finite.check()

    def _take(self, player: int, shared: Tensor, terms: Sequence[Term]) -> Tensor:
        """Take one player's turn by Lightning's own means; see :func:`take_turn`."""
        strategy = self.trainer.strategy
        return take_turn(
            cast(Any, self.optimizers())[player],
            shared,
            terms,
            backward=self.manual_backward,
            unreduced=strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else None,
        )
