"""The node ``salmask:`` of an ADIOS method, validated key by key."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

import torch

from salmask_plugin.adapters.solo_learn.settings import (
    check_recipe,
    check_types,
    node_values,
    refuse_unknown,
)
from salmask_plugin.adios import OcclusionModel
from salmask_plugin.adios.game import MasksPerStep, OcclusionGame
from salmask_plugin.adios.occlusion import Norm
from salmask_plugin.adios.players import OptimizerName
from salmask_plugin.checks import number

ADIOS_RECIPES = ("adios", "adios_s")
RELEASED: dict[str, dict[str, Any]] = {
    "salmask_adios_simclr": {
        "num_masks": 4,
        "width": 8,
        "sparsity": 0.75,
        "mask_learning_rate": 0.49876,
        "mask_weight_decay": 1e-4,
    },
    "salmask_adios_mocov2plus": {
        "num_masks": 6,
        "width": 32,
        "sparsity": 1.0,
        "mask_learning_rate": 0.12952,
        "mask_weight_decay": 1e-5,
    },
}
"""What null stands for, per method: the released ADIOS-s settings for ResNet-18 and ImageNet-100,
SimCLR's own, and BYOL's for MoCo, which has none."""
_NAME_OF = {"all": "adios", "one": "adios_s"}


@dataclass(frozen=True)
class OcclusionSettings:
    """What ``+salmask=adios_s`` puts into the configuration, null replaced by the method's value.

    The encoder's settings are solo-learn's own ``optimizer`` and ``scheduler``; these are the
    game's and the occluder's.

    Args:
        recipe: name of the run's masking; enters the run's name and folder. "adios" and "adios_s"
            must be what they say.
        num_masks: N.
        width: of the occlusion model.
        sparsity: lambda, weight of the penalty on all N masks.
        mask_learning_rate: of the occluder, for the whole batch: not scaled by it.
        mask_weight_decay: of the occluder.
        masks_per_step: "one" random mask per image (ADIOS-s), or "all" N of them (ADIOS).
        norm: of the occlusion model.
        entropy: alpha_e, weight of the released area term.
        mask_optimizer: "lars" (clipped) or "sgd".
        trust_coefficient: of the occluder's LARS.
        mask_warmup_epochs: of the occluder, linear; then half a cosine to 0.
        mask_warmup_start: its first rate.
        occluder_updates_statistics: True is the released behaviour, in which the encoder's running
            statistics also see the images of the occluder's turn.

    Raises:
        ValueError: on a value outside its range.
        TypeError: on a value of the wrong type.

    References:
        Shi et al., ICML 2022, https://arxiv.org/abs/2201.13100; released settings in
        https://github.com/YugeTen/adios/tree/21c6f23/bash_files/training/imagenet100/resnet18.
    """

    recipe: str
    num_masks: int
    width: int
    sparsity: float
    mask_learning_rate: float
    mask_weight_decay: float
    masks_per_step: MasksPerStep = "one"
    norm: Norm = "group"
    entropy: float = 0.0
    mask_optimizer: OptimizerName = "lars"
    trust_coefficient: float = 0.02
    mask_warmup_epochs: int = 10
    mask_warmup_start: float = 0.003
    occluder_updates_statistics: bool = False

    def __post_init__(self) -> None:
        check_types(self, _TYPES)
        check_recipe(self.recipe)
        for name, allowed in (
            ("masks_per_step", get_args(MasksPerStep)),
            ("norm", get_args(Norm)),
            ("mask_optimizer", get_args(OptimizerName)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"salmask.{name}={getattr(self, name)!r} must be one of {allowed}."
                )
        if self.recipe in ADIOS_RECIPES and self.recipe != _NAME_OF[self.masks_per_step]:
            raise ValueError(
                f"salmask.recipe={self.recipe} has masks_per_step={self.masks_per_step}, which is "
                f"{_NAME_OF[self.masks_per_step]}: use salmask={_NAME_OF[self.masks_per_step]}."
            )
        for name in ("sparsity", "mask_weight_decay", "mask_warmup_epochs", "mask_warmup_start"):
            number(getattr(self, name), f"salmask.{name}", at_least=0)
        for name in ("mask_learning_rate", "trust_coefficient"):
            number(getattr(self, name), f"salmask.{name}", above=0)
        number(self.entropy, "salmask.entropy")
        if self.mask_warmup_epochs and self.mask_warmup_start > self.mask_learning_rate:
            raise ValueError(
                f"salmask.mask_warmup_start={self.mask_warmup_start} must be at most "
                f"mask_learning_rate={self.mask_learning_rate}."
            )

    @classmethod
    def from_node(cls, node: Any, method: str) -> OcclusionSettings:
        """Return the settings of a configuration node, OmegaConf's or plain.

        Args:
            node: the mapping; a key of :data:`RELEASED` that is null or missing gets its value.
            method: one of :data:`RELEASED`.

        Raises:
            ValueError: if the node is no mapping, or has a key that is not known.
            TypeError: on a value of the wrong type.
        """
        values = node_values(node, ADIOS_RECIPES)
        if "localizer" in values:
            raise ValueError(
                f"method={method} learns its masks, but salmask.recipe={values.get('recipe')} "
                f"places them by saliency: use salmask={' or salmask='.join(ADIOS_RECIPES)}."
            )
        refuse_unknown(values, [field.name for field in fields(cls)], "salmask")
        for key, released in RELEASED[method].items():
            if values.get(key) is None:
                values[key] = released
        return cls(**values)

    def plain(self) -> dict[str, Any]:
        """Return the settings as YAML and JSON know them, nothing left open."""
        return asdict(self)

    def game(self, *, mean_over_masks: bool) -> OcclusionGame:
        """Return the rules of the game."""
        return OcclusionGame(
            masks_per_step=self.masks_per_step,
            mean_over_masks=mean_over_masks,
            sparsity=self.sparsity,
            entropy=self.entropy,
        )

    def occluder(self, view_size: int) -> OcclusionModel:
        """Return an occluder for views of this side in pixels; the random state is left as it was.

        Raises:
            ValueError: if the view has no such U-Net, or a setting of it is out of range.
        """
        with torch.random.fork_rng():
            return OcclusionModel(
                view_size, num_masks=self.num_masks, width=self.width, norm=self.norm
            )


_TYPES: dict[str, tuple[type, ...]] = {
    "recipe": (str,),
    "num_masks": (int,),
    "width": (int,),
    "sparsity": (float, int),
    "mask_learning_rate": (float, int),
    "mask_weight_decay": (float, int),
    "masks_per_step": (str,),
    "norm": (str,),
    "entropy": (float, int),
    "mask_optimizer": (str,),
    "trust_coefficient": (float, int),
    "mask_warmup_epochs": (int,),
    "mask_warmup_start": (float, int),
    "occluder_updates_statistics": (bool,),
}
