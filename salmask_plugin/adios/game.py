"""The rules of ADIOS: which masks are played, and what each player minimises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from salmask_plugin.adios.accumulation import Term
from salmask_plugin.adios.masking import all_slots, mask_areas, occlude, random_slots, select_masks
from salmask_plugin.adios.objective import occluder_regularizer
from salmask_plugin.checks import check_choice, check_flag, number
from salmask_plugin.running_statistics import frozen_running_statistics

MasksPerStep = Literal["all", "one"]


class OcclusionGame:
    """The rules all ADIOS methods share: which masks are played, and each player's terms.

    Not a module and without state: hosts count the batches and make the generator.

    Args:
        masks_per_step: "all" N masks of every image (ADIOS), or "one", drawn for every image on
            its own (ADIOS-s).
        mean_over_masks: average the contrastive terms over the masks that are played; False sums
            them, as in the released code.
        sparsity: lambda, weight of the penalty on all N masks.
        entropy: alpha_e, weight of the released area term.

    Raises:
        ValueError: on a value out of range.
    """

    def __init__(
        self,
        *,
        masks_per_step: MasksPerStep,
        mean_over_masks: bool,
        sparsity: float,
        entropy: float,
    ) -> None:
        check_choice(masks_per_step, "masks_per_step", MasksPerStep)
        check_flag(mean_over_masks, "mean_over_masks")
        self.masks_per_step = masks_per_step
        self.mean_over_masks = mean_over_masks
        self.sparsity = number(sparsity, "sparsity", at_least=0)
        self.entropy = number(entropy, "entropy")

    def choose(self, masks: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Return the choices to play, each (B,) int64."""
        if self.masks_per_step == "all":
            return all_slots(masks)
        return random_slots(masks, generator)

    def encoder_terms(
        self,
        images: Tensor,
        masks: Tensor,
        choices: Sequence[Tensor],
        term: Callable[[Tensor, Tensor], Tensor],
        networks: Sequence[nn.Module],
        *,
        step: int,
    ) -> list[Term]:
        """Return the terms that the encoder minimises.

        One masked forward per batch updates running statistics, a different mask each time: N of
        them would drown the clean view's in the statistics that the encoder is evaluated with.

        Args:
            images: (B, C, H, W), the view that is occluded.
            masks: (B, N, H, W), without graph.
            choices: of :meth:`choose`.
            term: (clean projections, occluded images) -> scalar.
            networks: whose statistics are meant.
            step: training batches seen so far.
        """
        turn = step % len(choices)

        def make(index: int, choice: Tensor) -> Term:
            def play(clean: Tensor) -> Tensor:
                with statistics(networks, update=index == turn):
                    return term(clean, occlude(images, select_masks(masks, choice)))

            return play

        weight = self._weight(choices)
        return [_scaled(make(*item), weight) for item in enumerate(choices)]

    def occluder_terms(
        self, images: Tensor, choices: Sequence[Tensor], term: Callable[[Tensor], Tensor]
    ) -> list[Term]:
        """Return the terms that the occluder minimises: minus the encoder's, and the penalty.

        Args:
            images: (B, C, H, W), the view that is occluded.
            choices: of :meth:`choose`.
            term: occluded images -> scalar.
        """

        def make(choice: Tensor) -> Term:
            return lambda masks: term(occlude(images, select_masks(masks, choice)))

        def penalty(masks: Tensor) -> Tensor:
            return -occluder_regularizer(
                mask_areas(masks), sparsity=self.sparsity, entropy=self.entropy
            )

        weight = -self._weight(choices)
        return [*(_scaled(make(choice), weight) for choice in choices), penalty]

    def mean_term(self, total: Tensor, choices: Sequence[Tensor]) -> Tensor:
        """Return the mean over the masks played of terms whose weighted sum is ``total``."""
        return total / (self._weight(choices) * len(choices))

    def _weight(self, choices: Sequence[Tensor]) -> float:
        return 1 / len(choices) if self.mean_over_masks else 1.0


def _scaled(term: Term, weight: float) -> Term:
    return lambda shared: weight * term(shared)


def statistics(networks: Sequence[nn.Module], *, update: bool) -> AbstractContextManager[None]:
    """Let forwards inside update running statistics, or not."""
    return nullcontext() if update else frozen_running_statistics(*networks)
