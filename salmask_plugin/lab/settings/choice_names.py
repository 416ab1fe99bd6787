"""What a run's choices are called where the choice alone does not say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salmask_plugin.file_names import safe_name
from salmask_plugin.lab.settings.nodes import Node, built_by
from salmask_plugin.lab.settings.settings import Settings

ANYWHERE = "uniform"
_BROUGHT = {"UniformLocalizer": ANYWHERE, "MomentumLocalizer": "momentum"}
"""Localizers that recipes bring themselves, whatever was chosen beside them."""
LIBRARIES = ("timm", "torchvision")
"""Choices of the backbone that leave its name to the settings."""
OWN_PICTURES = "folder"


def backbone_name(settings: Settings) -> str:
    """The choice of the backbone; for a library's networks also which: "timm/convnext_tiny"."""
    name = settings.choices["backbone"]
    return f"{name}/{settings.backbone['name']}" if name in LIBRARIES else name


def data_name(settings: Settings) -> str:
    """The choice of the data; for the user's own pictures also what their folder is called."""
    name = settings.choices["data"]
    if name != OWN_PICTURES:
        return name
    return f"{name}-{safe_name(Path(settings.data['root']).expanduser().resolve().name)}"


def localizer_name(settings: Settings) -> str:
    """Whom the recipe asks for saliency: the choice, or what it brings itself; "none" without."""
    masking = settings.masking or {}
    if "_target_" not in masking:
        return "none"
    return _asked(masking.get("localizer"), settings)


def _asked(node: Any, settings: Settings) -> str:
    """What a localizer's node is called: the choice, where that is it or lies inside."""
    brought = _BROUGHT.get(built_by(node))
    if brought or not isinstance(node, dict) or _holds(node, settings.localizer):
        return brought or settings.choices["localizer"]
    return built_by(node)


def _holds(node: Any, wanted: Node) -> bool:
    inner = node.values() if isinstance(node, dict) else ()
    return bool(node == wanted) or any(_holds(value, wanted) for value in inner)


def placed_by_chance(settings: Settings) -> bool:
    """Whether the recipe itself places its masks anywhere, whatever localizer was chosen."""
    return localizer_name(settings) == ANYWHERE != settings.choices["localizer"]


def recipe_name(settings: Settings) -> str:
    """Return what tables call the run: its own name, ADIOS, or the choice of masking."""
    if settings.recipe:
        return settings.recipe
    if settings.is_adios:
        return "adios" if settings.method["masks_per_step"] == "all" else "adios_s"
    masking = settings.choices["masking"]
    crops = crops_name(settings)
    if not crops:
        return masking
    return crops if masking == "none" else f"{masking}_{crops}"


def crops_name(settings: Settings) -> str:
    """Name how the views' boxes are chosen, in folders and tables; "" where the host draws them."""
    if not settings.crops:
        return ""
    return f"crops_{settings.crops['rule']}{'' if crops_ask(settings) else '_anywhere'}"


def crops_ask(settings: Settings) -> bool:
    """Whether a localizer is asked where views are cut."""
    node = settings.crops
    return bool(node) and built_by(node["localizer"]) != "UniformLocalizer"


def crops_localizer(settings: Settings) -> str:
    """Whom the crops ask, of a run whose settings have some."""
    return _asked(settings.crops["localizer"], settings)


def crops_in_words(settings: Settings) -> str:
    """How the views' boxes are chosen, of a run whose settings have crops."""
    node = settings.crops
    number, whose = node["candidates"], crops_localizer(settings)
    if node["rule"] == "most":
        return f"of {number} boxes a view the one with the most foreground by localizer={whose}"
    if not crops_ask(settings):
        return f"of {number} boxes a view the pair that overlaps least, wherever the object is"
    return (
        f"of {number} boxes a view the pair that overlaps least with {node['enough']:g} of the "
        f"picture's foreground by localizer={whose}"
    )
