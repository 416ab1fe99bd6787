"""What must hold before solo-learn builds a model: no silent baseline, no forgotten filter."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from omegaconf import OmegaConf

from salmask_plugin.adapters.solo_learn.adios_check import check_occlusion, is_adios
from salmask_plugin.adapters.solo_learn.adios_settings import ADIOS_RECIPES, RELEASED
from salmask_plugin.adapters.solo_learn.backbone import is_highpass
from salmask_plugin.adapters.solo_learn.parts_by_name import build_masking
from salmask_plugin.adapters.solo_learn.settings import RECIPES, MaskingSettings
from salmask_plugin.filters import kernel_for_view
from salmask_plugin.localizers import UniformLocalizer

PREFIX = "salmask_"
WITH_HARD_NEGATIVES = ("salmask_mocov2plus", "salmask_mocov2", "salmask_simclr")
ONE_NETWORK = (
    "salmask_barlow_twins",
    "salmask_deepclusterv2",
    "salmask_nnclr",
    "salmask_nnsiam",
    "salmask_simclr",
    "salmask_simsiam",
    "salmask_supcon",
    "salmask_swav",
    "salmask_vibcreg",
    "salmask_vicreg",
    "salmask_wmse",
)
"""Methods without a momentum encoder."""
GROUP_OR_NONE = "`+salmask=<recipe>` with one of " + ", ".join(RECIPES)


def check_pretraining(cfg: Any, methods: Container[str]) -> None:
    """Check a pretraining configuration and fill in what follows from it, in place.

    For masked methods the node is completed with its defaults, and recipe and seed are appended to
    ``name`` and to ``checkpoint.dir``. A high-pass backbone gets its kernel, scaled to the crop.
    Configurations that use neither are left as they are.

    Raises:
        ValueError: on a combination that would train something other than it says.
        TypeError: on a value of the wrong type in the node.
    """
    node = OmegaConf.select(cfg, "salmask")
    masked = str(cfg.method).startswith(PREFIX)
    if node is not None and not masked:
        other = PREFIX + str(cfg.method)
        advice = f"Use method={other}" if other in methods else "Use a method of ours"
        raise ValueError(
            f"The configuration has a salmask node, but method={cfg.method} masks nothing: this "
            f"would be the baseline. {advice}, or remove the node."
        )
    if masked and node is None:
        advice = (
            "`+salmask=<recipe>` with one of " + ", ".join(ADIOS_RECIPES)
            if is_adios(str(cfg.method))
            else f"{GROUP_OR_NONE} (none is this method without masks)"
        )
        raise ValueError(f"method={cfg.method} needs a salmask node: add {advice}.")
    if masked:
        _check_crops(cfg)
    if masked and is_adios(str(cfg.method)):
        occlusion = check_occlusion(cfg, view_size(cfg))
        cfg.salmask = occlusion.plain()
        _name_the_run(cfg, occlusion.recipe)
        return
    highpass = is_highpass(str(cfg.backbone.name))
    settings = None
    if masked:
        if isinstance(node, Mapping) and "masks_per_step" in node:
            raise ValueError(
                f"salmask.recipe={node.get('recipe')} learns its masks, but method="
                f"{cfg.method} places them: use method={' or method='.join(RELEASED)}."
            )
        settings = MaskingSettings.from_node(node)
        _check_method(settings, str(cfg.method), highpass, str(cfg.backbone.name))
        build_masking(settings, UniformLocalizer(settings.grid), view_size(cfg))
        cfg.salmask = settings.plain()
        _name_the_run(cfg, settings.recipe)
    if highpass:
        _fill_in_kernel(cfg, scale=settings is None or settings.scale_kernels)


def check_evaluation(cfg: Any) -> None:
    """Refuse a salmask node in a linear evaluation: nothing is masked there.

    Raises:
        ValueError: if there is one.
    """
    if OmegaConf.select(cfg, "salmask") is not None:
        raise ValueError(
            "The configuration of an evaluation has a salmask node. Masking belongs to "
            "pretraining; an evaluation needs backbone.name alone (..._highpass where it was "
            "pretrained so)."
        )


def view_size(cfg: Any) -> int:
    """Return the side of the large crops in pixels."""
    return int(cfg.augmentations[0].crop_size)


def run_tag(recipe: str, seed: int) -> str:
    """Return what tells two runs of one configuration apart."""
    return f"{recipe}-s{seed}"


def _check_crops(cfg: Any) -> None:
    if int(cfg.data.num_large_crops) != 2:
        raise ValueError(
            f"method={cfg.method} needs two large crops of one size; the augmentations make "
            f"{cfg.data.num_large_crops}."
        )


def _check_method(
    settings: MaskingSettings, method: str, highpass_backbone: bool, backbone: str
) -> None:
    if settings.view_filter == "highpass" and not highpass_backbone:
        raise ValueError(
            f"salmask.recipe={settings.recipe} has view_filter=highpass, but backbone.name="
            f"{backbone} does not filter. Use backbone.name={backbone}_highpass."
        )
    if settings.view_filter is None and highpass_backbone:
        raise ValueError(
            f"backbone.name={backbone} filters its input, but salmask.recipe={settings.recipe} "
            f"has view_filter=null. Use backbone.name={backbone.removesuffix('_highpass')}, or "
            "salmask.view_filter=highpass if that is meant."
        )
    if settings.negative is not None and method not in WITH_HARD_NEGATIVES:
        raise ValueError(
            f"method={method} cannot take hard negatives (only {', '.join(WITH_HARD_NEGATIVES)}): "
            "add salmask.negative=null for masks without them."
        )
    own_loss = method in WITH_HARD_NEGATIVES and (settings.masks or method == "salmask_mocov2")
    if not settings.positive_in_denominator and not own_loss:
        raise ValueError(
            f"salmask.positive_in_denominator=false would change nothing: method={method} with "
            f"salmask.recipe={settings.recipe} computes solo-learn's own loss. Remove it."
        )
    if settings.localizer == "momentum" and settings.masks and method in ONE_NETWORK:
        raise ValueError(
            f"salmask.localizer=momentum needs a momentum encoder; method={method} has none."
        )


def _name_the_run(cfg: Any, recipe: str) -> None:
    tag = run_tag(recipe, int(cfg.seed))
    # A configuration read back from args.json has its tag already.
    if not str(cfg.name).endswith(f"-{tag}"):
        cfg.name = f"{cfg.name}-{tag}"
    folder = OmegaConf.select(cfg, "checkpoint.dir")
    if folder is not None and not str(folder).endswith(f"/{tag}"):
        cfg.checkpoint.dir = f"{folder}/{tag}"


def _fill_in_kernel(cfg: Any, scale: bool) -> None:
    kwargs = OmegaConf.select(cfg, "backbone.kwargs") or {}
    given = [key for key in ("highpass_kernel_size", "highpass_sigma") if key in kwargs]
    if len(given) == 1:
        raise ValueError(
            f"backbone.kwargs.{given[0]} is given alone; give both highpass_kernel_size and "
            "highpass_sigma, or neither."
        )
    if not given:
        size, sigma = kernel_for_view(11, 5.0, view_size(cfg)) if scale else (11, 5.0)
        kernel = {"highpass_kernel_size": size, "highpass_sigma": sigma}
        cfg.backbone.kwargs = {**kwargs, **kernel}
