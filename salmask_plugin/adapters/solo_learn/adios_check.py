"""What must hold before solo-learn builds an ADIOS method."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from salmask_plugin.adapters.solo_learn.adios_settings import RELEASED, OcclusionSettings
from salmask_plugin.adapters.solo_learn.backbone import is_highpass

AUTOMATIC = {"accumulate_grad_batches": (None, 1), "gradient_clip_val": (None, 0)}
"""Trainer settings that Lightning refuses under manual optimisation, and what they may be."""


def is_adios(method: str) -> bool:
    """Whether a method learns its masks."""
    return method in RELEASED


def check_occlusion(cfg: Any, view_size: int) -> OcclusionSettings:
    """Check the configuration of an ADIOS method, before Lightning or solo-learn would stumble.

    Raises:
        ValueError: on a combination that cannot be trained, or not as it says.
        TypeError: on a value of the wrong type in the node.
    """
    method = str(cfg.method)
    settings = OcclusionSettings.from_node(cfg.salmask, method)
    if is_highpass(str(cfg.backbone.name)):
        raise ValueError(
            f"method={method} occludes unfiltered views, but backbone.name={cfg.backbone.name} "
            f"filters its input. Use backbone.name={cfg.backbone.name.removesuffix('_highpass')}."
        )
    if int(OmegaConf.select(cfg, "data.num_small_crops") or 0):
        raise ValueError(f"method={method} takes two large crops alone, no small ones.")
    for name, allowed in AUTOMATIC.items():
        if OmegaConf.select(cfg, name) not in allowed:
            raise ValueError(
                f"{name}={cfg[name]} is not possible with method={method}: its two players are "
                "optimised by hand, where Lightning neither accumulates nor clips gradients. "
                f"Remove {name}."
            )
    if OmegaConf.select(cfg, "max_steps") not in (None, -1):
        raise ValueError(
            f"max_steps={cfg.max_steps} would count both players' steps, two per batch, with "
            f"method={method}. Use max_epochs."
        )
    try:
        settings.occluder(view_size)
    except ValueError as error:
        raise ValueError(f"method={method} at augmentations.0.crop_size: {error}") from error
    return settings
