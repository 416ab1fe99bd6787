"""Fill solo-learn's registries: the one place that changes anything inside the host."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import wraps
from typing import Any

from torch import nn

from salmask_plugin.adapters.solo_learn.backbone import highpass_factories
from salmask_plugin.adapters.solo_learn.config_check import check_evaluation, check_pretraining
from salmask_plugin.adapters.solo_learn.guard import guard_checkpoints

PREFIX = "salmask_"
NOT_TWO_VIEWS = ("base", "linear", "mae")
"""Entries of solo-learn's METHODS that have no two views to mask."""


def register() -> None:
    """Make solo-learn know our methods, backbones and checks. Doing it twice changes nothing.

    What solo-learn does for its own methods stays as it is; where it would go on with a wrong
    combination (a masking node without a masking method, a high-pass checkpoint in a plain
    backbone), an error is raised.

    Raises:
        ImportError: if solo-learn cannot be imported.
    """
    from solo.methods import METHODS
    from solo.methods.base import BaseMethod
    from solo.methods.linear import LinearModel
    from solo.utils.auto_resumer import AutoResumer
    from solo.utils.knn import WeightedKNNClassifier

    from salmask_plugin.adapters.solo_learn.adios_moco import SalmaskADIOSMoCoV2Plus
    from salmask_plugin.adapters.solo_learn.adios_simclr import SalmaskADIOSSimCLR
    from salmask_plugin.adapters.solo_learn.generic import masked
    from salmask_plugin.adapters.solo_learn.knn import repair
    from salmask_plugin.adapters.solo_learn.moco import SalmaskMoCoV2, SalmaskMoCoV2Plus
    from salmask_plugin.adapters.solo_learn.simclr import SalmaskSimCLR

    METHODS.setdefault("salmask_mocov2plus", SalmaskMoCoV2Plus)
    METHODS.setdefault("salmask_mocov2", SalmaskMoCoV2)
    METHODS.setdefault("salmask_simclr", SalmaskSimCLR)
    METHODS.setdefault("salmask_adios_mocov2plus", SalmaskADIOSMoCoV2Plus)
    METHODS.setdefault("salmask_adios_simclr", SalmaskADIOSSimCLR)
    for name, method in list(METHODS.items()):
        two_views = not name.startswith(PREFIX) and name not in NOT_TWO_VIEWS
        if two_views and PREFIX + name not in METHODS:
            METHODS[PREFIX + name] = masked(method)
    register_backbones(BaseMethod._BACKBONES)
    _check_first(BaseMethod, lambda cfg: check_pretraining(cfg, METHODS))
    _check_first(LinearModel, check_evaluation)
    if "salmask" not in AutoResumer.SHOULD_MATCH:
        AutoResumer.SHOULD_MATCH.append("salmask")
    repair(WeightedKNNClassifier)


def register_backbones(backbones: MutableMapping[str, Callable[..., nn.Module]]) -> None:
    """Add the high-pass backbones, and make every factory's networks check what they load."""
    for name, factory in highpass_factories(backbones).items():
        backbones.setdefault(name, factory)
    for name, factory in list(backbones.items()):
        backbones[name] = guard_checkpoints(name, factory)


def _check_first(owner: Any, check: Callable[[Any], None]) -> None:
    """Run ``check(cfg)`` before ``owner.add_and_assert_specific_cfg``, which every method calls."""
    original = owner.__dict__["add_and_assert_specific_cfg"].__func__
    if getattr(original, "salmask", False):
        return

    @wraps(original)
    def checked(cfg: Any) -> Any:
        check(cfg)
        return original(cfg)

    checked.salmask = True  # type: ignore[attr-defined]
    owner.add_and_assert_specific_cfg = staticmethod(checked)
