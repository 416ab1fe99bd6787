"""The encoder that is being trained as its own localizer: no labels, no second network."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from salmask_plugin.localizers.needs import Needs
from salmask_plugin.localizers.scda import channel_sum
from salmask_plugin.module_modes import kept_modes
from salmask_plugin.types import Images, Saliency, ViewFilter, check_images


@dataclass(frozen=True, eq=False)
class MomentumLocalizer:
    """Sum the channels of the host's own key encoder at one of its layers.

    Holds a reference: the encoder stays the host's, wherever it is moved. The extra forward runs in
    eval mode without gradient and leaves no trace: no running statistics change, each submodule's
    mode comes back, the hook is removed. In the first steps, the encoder knows nothing yet and
    neither do the maps.

    A ``deepcopy`` of a module that owns both encoder and localizer gives a localizer that looks at
    the copied encoder; a copy of the localizer alone copies the encoder.

    Args:
        encoder: any module that takes the views; for momentum methods the key encoder.
        layer: the submodule whose output (B, D, h, w) is summed, as in ``named_modules()``:
            "layer4", or an earlier one where the views are so small that its map is 1 x 1.
        view_filter: applied to the views first: whatever the encoder is trained on (high-pass).

    Raises:
        ValueError: if the encoder has no such layer.
    """

    encoder: nn.Module
    layer: str
    view_filter: ViewFilter | None = None
    needs: ClassVar[Needs] = "an encoder in training"

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, nn.Module):
            raise ValueError(f"encoder={self.encoder!r:.80} must be an nn.Module.")
        names = [name for name, _ in self.encoder.named_modules() if name]
        if self.layer not in names:
            near = difflib.get_close_matches(self.layer, names, n=3, cutoff=0.4)
            top = [name for name, _ in self.encoder.named_children()]
            raise ValueError(
                f"layer={self.layer!r} is no submodule of {type(self.encoder).__name__}; "
                f"near to it: {near}; its children: {top}."
            )

    @property
    def trained_on(self) -> str:
        """The run's own images."""
        return "the run's own images (no labels)"

    @torch.no_grad()
    def __call__(self, images: Images) -> Saliency:
        """Return the maps of views (B, C, H, W): float32, (B, h, w).

        Raises:
            ValueError: if the images are no views, or the layer's output is no map or a 1 x 1 map.
        """
        check_images(images)
        views = images if self.view_filter is None else self.view_filter(images)
        hint = (
            f"layer={self.layer!r} at {views.shape[-2]} x {views.shape[-1]} px; name an earlier "
            "layer, such as layer3"
        )
        found: list[Saliency] = []
        # Summed at once: an activation behind the layer may work in place, on its output.
        hook = self.encoder.get_submodule(self.layer).register_forward_hook(
            lambda module, args, output: found.append(channel_sum(output, hint=hint))
        )
        try:
            with kept_modes(self.encoder):
                for module in self.encoder.modules():
                    module.training = False
                self.encoder(views)
        finally:
            hook.remove()
        if len(found) != 1:
            raise ValueError(
                f"layer={self.layer!r} ran {len(found)} times in one forward; it must run once."
            )
        return found[0]

    def __repr__(self) -> str:
        return (
            f"MomentumLocalizer({type(self.encoder).__name__}, layer={self.layer!r}, "
            f"view_filter={self.view_filter!r})"
        )
