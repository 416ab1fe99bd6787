"""Settings as the code reads them: by attribute, typed, unknown ones refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, get_origin, get_type_hints

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.groups import (
    GROUPS,
    Checkpoints,
    Compare,
    Loader,
    Workers,
    required,
)
from salmask_plugin.lab.settings.nodes import Node, Seed, Side, built_by
from salmask_plugin.lab.settings.unknown_keys import unknown_setting
from salmask_plugin.lab.settings.value_types import ABSENT, fitted, in_words

Group = TypeVar("Group")
Kind = TypeVar("Kind", int, str)


@dataclass(frozen=True)
class Settings:
    """A composed configuration.

    Attributes:
        values: the resolved configuration as plain containers, as records keep it.
        choices: which leaf each group took, e.g. {"masking": "mean", "data": "cifar10"}.
        overrides: what the user typed.
        unused: what of it acts on nothing, each with a sentence that says why.
    """

    values: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...] = ()
    unused: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        """Return a top-level value whose name is not known before, such as a task's kind.

        Raises:
            UserError: naming the settings that are most like it, if there is none of that name.
        """
        if key not in self.values:
            raise UserError(unknown_setting(key, tuple(self.values), ()))
        return self.values[key]

    @property
    def seed(self) -> int:
        """Of the run; everything that is drawn depends on it."""
        return self._typed("seed", int, Seed)

    @property
    def view_size(self) -> int:
        """Side of the views in pixels."""
        return self._typed("view_size", int, Side)

    @property
    def localizer_size(self) -> int:
        """Side in pixels that views are resized to for the localizer alone."""
        return self._typed("localizer_size", int, Side)

    @property
    def out(self) -> str:
        """The folder that run folders are in."""
        return self._typed("out", str)

    @property
    def name(self) -> str | None:
        """The run's folder below ``out``; None: made from the choices."""
        return None if self["name"] is None else str(self["name"])

    @property
    def recipe(self) -> str | None:
        """What tables call the run; None: the choice of ``masking``."""
        return None if self["recipe"] is None else str(self["recipe"])

    @cached_property
    def loader(self) -> Loader:
        """How batches are made."""
        return read_group(Loader, self["loader"], "loader")

    @property
    def workers(self) -> int:
        """Processes that read pictures, which every command's loader has."""
        given = self["loader"]
        own = {"workers": given["workers"]} if "workers" in given else {}
        return read_group(Workers, own, "loader").workers

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """How many checkpoints stay, and how often one is written."""
        return read_group(Checkpoints, self["checkpoints"], "checkpoints")

    @cached_property
    def compare(self) -> Compare:
        """The rows of a study, and what is said of them."""
        return read_group(Compare, self["compare"], "compare")

    @property
    def data(self) -> Node:
        """The data set."""
        return self._node("data")

    @property
    def backbone(self) -> Node:
        """The encoder."""
        return self._node("backbone")

    @property
    def localizer(self) -> Node:
        """Where saliency comes from."""
        return self._node("localizer")

    @property
    def masking(self) -> Node:
        """The recipe; empty for the host's baseline."""
        return self._node("masking")

    @property
    def method(self) -> Node:
        """The host's method."""
        return self._node("method")

    @property
    def views(self) -> Node:
        """The augmentation."""
        return self._node("views")

    @property
    def crops(self) -> Node:
        """How the views' boxes are chosen; empty where the host draws them, as it did before."""
        return self._node("crops") if "crops" in self.values else {}

    @property
    def trainer(self) -> Node:
        """Lightning's trainer."""
        return self._node("trainer")

    @property
    def evaluation(self) -> dict[str, Any]:
        """The tasks and their settings."""
        return self._node("evaluation")

    @property
    def is_supervised(self) -> bool:
        """Whether the method trains on labels, one view per image."""
        return built_by(self.method) == "SupervisedClassifier"

    @property
    def is_adios(self) -> bool:
        """Whether the method learns its masks."""
        return built_by(self.method).startswith("ADIOS")

    def _typed(self, name: str, kind: type[Kind], hint: Any = None) -> Kind:
        value = self[name]
        if type(value) is not kind or fitted(value, hint or kind) is ABSENT:
            raise UserError(f"{name}={value!r:.100} must be {in_words(hint or kind)}.")
        return value

    def _node(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self[name] or {}
        return found


def read_group(group: type[Group], values: Any, path: str) -> Group:
    """Return the group of settings that plain values are.

    Args:
        group: a dataclass of ``groups.py``.
        values: a mapping, of a run that may come from somebody else.
        path: of the group.

    Raises:
        UserError: naming a key that the group does not have or lacks, or a value of another type.
    """
    hints = get_type_hints(group, include_extras=True)
    if not isinstance(values, Mapping):
        raise UserError(f"{path}={values!r:.100} must be {in_words(group)}.")
    inner = {}
    for key, value in values.items():
        if key not in hints:
            raise UserError(unknown_setting(f"{path}.{key}", tuple(hints), ()))
        if hints[key] in GROUPS:
            inner[key] = read_group(hints[key], value, f"{path}.{key}")
            continue
        if get_origin(hints[key]) is dict:
            fits = isinstance(value, dict)
        else:
            fits = fitted(value, hints[key]) is not ABSENT
        if not fits:
            raise UserError(f"{path}.{key}={value!r:.100} must be {in_words(hints[key])}.")
    for name in sorted(required(group) - values.keys()):
        raise UserError(f"the setting {path}.{name} is missing: the command reads it.")
    return group(**{**values, **inner})
