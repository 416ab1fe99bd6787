"""The node ``salmask:`` of a solo-learn configuration, validated key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, get_args

from omegaconf import OmegaConf

from salmask_plugin.checks import height_and_width, number
from salmask_plugin.negatives import NegativeEncoding
from salmask_plugin.warm_up import SaliencyWarmUp

LocalizerName = Literal["resnet50", "efficientnet_lite0", "coco", "momentum", "uniform", "center"]
RECIPES = (
    *("mean", "blur", "highpass", "mscn", "random", "sparse"),
    *("label_free", "label_free_warmup", "none"),
)


@dataclass(frozen=True)
class MaskingSettings:
    """What ``+salmask=mean`` puts into the configuration; defaults are the paper's.

    Args:
        recipe: name of the run's masking; enters the run's name and folder.
        localizer: where saliency comes from: "resnet50" (the paper's, ImageNet labels; downloaded
            or ``localizer_weights``), "efficientnet_lite0" (the same labels, embedded), "coco" (a
            detector's ResNet-50), "momentum" (the method's own key encoder), "uniform" (none) or
            "center" (a fixed centre).
        localizer_weights: file with the weights of "resnet50" or "coco".
        localizer_input_size: shorter side in pixels to which views are resized for the localizer
            alone; None leaves them as they are.
        momentum_layer: the key encoder's layer that "momentum" reads.
        grid: (h, w) cells of "uniform" and "center".
        query: {sampler, fill} of the views that ``branch`` names, or None for no masks.
        negative: {sampler, fill} of the hard negatives, or None for none.
        negative_source: the view hard negatives are made from, "key" or "query".
        num_negatives: hard negatives per image.
        branch: the masked view: "query", "key" or "both".
        probability: chance that a view is masked at all.
        view_filter: None, or "highpass", which needs a backbone ``..._highpass``: there the filter
            lives. Stated here so that neither can be forgotten.
        scale_kernels: scale the kernels of fills and of the filter from the paper's 224 px to the
            pretraining crop; False takes them as pixels of the crop.
        rho: factor on the hard negatives' similarity.
        hard_negative_bias: added to their logits.
        positive_in_denominator: False is Eq. 2 as printed.
        warm_up: {uniform, ramp} of :class:`~salmask_plugin.warm_up.SaliencyWarmUp`, on ``grid``:
            masks without saliency and without hard negatives at first. None: none.
        negative_encoding: {side, every, share} of :class:`~salmask_plugin.NegativeEncoding`: what
            is encoded of the hard negatives. None: all, as in the paper.

    Raises:
        ValueError: on a value outside its range.
        TypeError: on a value of the wrong type.
    """

    recipe: str
    localizer: LocalizerName = "resnet50"
    localizer_weights: str | None = None
    localizer_input_size: int | None = 224
    momentum_layer: str = "layer4"
    grid: tuple[int, int] = (7, 7)
    query: Mapping[str, Any] | None = None
    negative: Mapping[str, Any] | None = None
    negative_source: Literal["key", "query"] = "key"
    num_negatives: int = 1
    branch: Literal["query", "key", "both"] = "query"
    probability: float = 1.0
    view_filter: Literal["highpass"] | None = None
    scale_kernels: bool = True
    rho: float = 2.0
    hard_negative_bias: float = 0.0
    positive_in_denominator: bool = True
    warm_up: Mapping[str, Any] | None = None
    negative_encoding: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_types(self, _TYPES)
        check_recipe(self.recipe)
        for name, allowed in (
            ("localizer", get_args(LocalizerName)),
            ("negative_source", ("key", "query")),
            ("branch", ("query", "key", "both")),
            ("view_filter", (None, "highpass")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"salmask.{name}={getattr(self, name)!r} must be one of {allowed}."
                )
        height_and_width(self.grid, "salmask.grid")
        if self.localizer_input_size is not None and self.localizer_input_size < 32:
            raise ValueError(
                f"salmask.localizer_input_size={self.localizer_input_size} must be null or at "
                "least 32."
            )
        if self.localizer_weights is not None and self.localizer not in ("resnet50", "coco"):
            raise ValueError(
                f"salmask.localizer_weights belongs to localizer resnet50 or coco, not "
                f"{self.localizer!r}."
            )
        for name in ("rho", "hard_negative_bias"):
            number(getattr(self, name), f"salmask.{name}")
        if self.saliency_warm_up is not None and not self.masks:
            raise ValueError("salmask.warm_up needs a masking to lead to: query or negative.")
        if self.encoding != NegativeEncoding() and self.negative is None:
            raise ValueError("salmask.negative_encoding needs hard negatives: salmask.negative.")

    @classmethod
    def from_node(cls, node: Any) -> MaskingSettings:
        """Return the settings of a configuration node, OmegaConf's or plain.

        Raises:
            ValueError: if the node is no mapping, or has a key that is not known.
            TypeError: on a value of the wrong type.
        """
        values = node_values(node, RECIPES)
        refuse_unknown(values, [field.name for field in fields(cls)], "salmask")
        if isinstance(values.get("grid"), list):
            values["grid"] = tuple(values["grid"])
        return cls(**values)

    @property
    def saliency_warm_up(self) -> SaliencyWarmUp | None:
        """What the masking is at first; None where it is itself from the start."""
        if self.warm_up is None:
            return None
        numbers = _numbers(self.warm_up, ["uniform", "ramp"], "salmask.warm_up")
        try:
            return SaliencyWarmUp(**numbers, grid=self.grid)
        except ValueError as error:
            raise ValueError(f"salmask.warm_up.{error}") from error

    @property
    def encoding(self) -> NegativeEncoding:
        """What is encoded of the hard negatives."""
        known = ["side", "every", "share"]
        numbers = _numbers(self.negative_encoding or {}, known, "salmask.negative_encoding")
        try:
            return NegativeEncoding(**numbers)
        except ValueError as error:
            raise ValueError(f"salmask.negative_encoding.{error}") from error

    @property
    def masks(self) -> bool:
        """Whether anything is masked at all; without it the host's own loss is computed."""
        return self.query is not None or self.negative is not None

    def plain(self) -> dict[str, Any]:
        """Return the settings as YAML and JSON know them, defaults filled in."""
        return {**asdict(self), "grid": list(self.grid)}


def node_values(node: Any, recipes: tuple[str, ...]) -> dict[str, Any]:
    """Return the node as a plain mapping.

    Args:
        node: OmegaConf's or plain.
        recipes: for the message.

    Raises:
        ValueError: if the node is no mapping, or has no name.
    """
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if not isinstance(node, Mapping):
        raise ValueError(
            f"salmask: {node!r} must be a mapping. A recipe comes in with `+salmask={recipes[0]}` "
            f"on the command line or `- salmask: {recipes[0]}` in the defaults list, one of "
            f"{', '.join(recipes)}; if that gave this error, the group salmask is not on "
            "Hydra's search path (docs/solo_learn.md)."
        )
    if "recipe" not in node:
        raise ValueError("salmask.recipe is missing: give this masking a name.")
    return dict(node)


def check_types(settings: Any, types: Mapping[str, tuple[type, ...]]) -> None:
    """Raise TypeError for the first attribute that is not of one of its types."""
    for name, kinds in types.items():
        value = getattr(settings, name)
        wrong = isinstance(value, bool) and bool not in kinds
        if wrong or not isinstance(value, kinds):
            expected = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
            raise TypeError(f"salmask.{name}={value!r} must be {expected}.")


def check_recipe(recipe: str) -> None:
    """Raise ValueError unless the name can become part of a folder's name."""
    if not recipe.replace("-", "").replace("_", "").isalnum():
        raise ValueError(
            f"salmask.recipe={recipe!r} must be letters, digits, '-' and '_': "
            "it becomes part of a folder's name."
        )


def refuse_unknown(node: Mapping[Any, Any], known: list[str], path: str) -> None:
    """Raise ValueError for the first key of ``node`` that is not in ``known``."""
    for key in node:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{path}.{key} is not a setting.{hint} Known: {', '.join(known)}.")


def _numbers(node: Mapping[Any, Any], known: list[str], path: str) -> dict[str, Any]:
    """Return the node's numbers; raise for a key that is not known, or another kind of value."""
    refuse_unknown(node, known, path)
    for name, value in node.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{path}.{name}={value!r} must be float or int.")
    return dict(node)


_TYPES: dict[str, tuple[type, ...]] = {
    "recipe": (str,),
    "localizer": (str,),
    "localizer_weights": (str, type(None)),
    "localizer_input_size": (int, type(None)),
    "momentum_layer": (str,),
    "grid": (tuple,),
    "query": (Mapping, type(None)),
    "negative": (Mapping, type(None)),
    "negative_source": (str,),
    "num_negatives": (int,),
    "branch": (str,),
    "probability": (float, int),
    "view_filter": (str, type(None)),
    "scale_kernels": (bool,),
    "rho": (float, int),
    "hard_negative_bias": (float, int),
    "positive_in_denominator": (bool,),
    "warm_up": (Mapping, type(None)),
    "negative_encoding": (Mapping, type(None)),
}
