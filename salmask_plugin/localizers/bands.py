"""Some of the views' channels for a localizer that knows only those."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from salmask_plugin.checks import whole_numbers
from salmask_plugin.localizers.needs import needs_of
from salmask_plugin.types import Images, Localizer, Saliency, check_images, check_part


@dataclass(frozen=True)
class BandsLocalizer:
    """Show a localizer some channels of the views: the visible ones of a satellite's, say.

    A pretrained network takes red, green and blue. Of Sentinel-2's 13 bands these are
    ``bands=(3, 2, 1)``; one channel of an X-ray is shown three times, ``bands=(0, 0, 0)``; of
    colour with depth ``(0, 1, 2)``. The network's ``view_mean`` and ``view_std`` are then what the
    host normalised these channels by.

    Args:
        localizer: sees the chosen channels alone.
        bands: which channels, counted from 0, in the order that the localizer expects; one may be
            there more than once.
    """

    localizer: Localizer
    bands: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        check_part(self.localizer, "localizer")
        object.__setattr__(self, "bands", whole_numbers(self.bands, "bands", at_least=0))
        if (needs := needs_of(self.localizer)) != "views":
            raise ValueError(
                f"localizer={self.localizer!r:.80} needs {needs}, not some of the views' channels: "
                "it goes without BandsLocalizer."
            )

    @property
    def trained_on(self) -> str:
        """Of the localizer inside."""
        return str(getattr(self.localizer, "trained_on", "unknown"))

    def __call__(self, images: Images) -> Saliency:
        """Return the maps of views (B, C, H, W): (B, h, w).

        Raises:
            ValueError: if the images are no views, or have fewer channels.
        """
        check_images(images)
        if max(self.bands) >= images.shape[1]:
            raise ValueError(
                f"bands={self.bands}: the views have channels 0 to {images.shape[1] - 1}."
            )
        # Not images[:, list]: a list of the host's becomes a tensor of the device, and it waits.
        return self.localizer(torch.stack([images[:, band] for band in self.bands], 1))
