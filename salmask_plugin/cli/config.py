"""From overrides to a checked configuration: Hydra composition and our resolvers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import salmask_plugin
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.processor import fastest_memory_format, fastest_precision
from salmask_plugin.cli.study import expand_row
from salmask_plugin.cli.targets import Trust, check_targets
from salmask_plugin.filters import kernel_for_view

CONFIGS = Path(salmask_plugin.__file__).resolve().parent / "configs"
PAPER_QUEUE = 65536


@dataclass(frozen=True)
class Settings:
    """A composed configuration.

    Attributes:
        values: the resolved configuration as plain containers.
        choices: which leaf each group took, e.g. {"masking": "mean", "data": "cifar10"}.
        overrides: what the user typed.
    """

    values: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...]

    def __getitem__(self, key: str) -> Any:
        """Return a top-level value."""
        return self.values[key]


def compose_settings(
    overrides: Sequence[str],
    *,
    root: str = "run",
    config_dir: str | None = None,
    trust: Trust = False,
) -> Settings:
    """Compose ``configs/run.yaml`` with the user's overrides and check it.

    Args:
        overrides: Hydra overrides, ``key=value``. ``experiment=STUDY/ROW`` is one row of a study.
        root: another file of ``configs/``, such as "transfer".
        config_dir: a folder whose groups come before ours.
        trust: what may be built besides what our configurations name.

    Raises:
        UserError: for an unknown key or choice, a missing value, a target that is not allowed.
    """
    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            raise UserError(f"'{text}' is not a setting; settings are key=value.")
    own = None if config_dir is None else Path(config_dir).resolve()

    def composed(given: Sequence[str], *, complete: bool = True) -> Settings:
        return _compose(given, own, root=root, trust=trust, complete=complete)

    folders = [CONFIGS] if own is None else [own, CONFIGS]
    # A study says its rows although values that every run needs are given to the row alone.
    given = expand_row(overrides, folders, partial(composed, complete=False))
    return replace(composed(given), overrides=tuple(overrides))


def _compose(
    overrides: Sequence[str], own: Path | None, *, root: str, trust: Trust, complete: bool
) -> Settings:
    register_resolvers()
    extra = [] if own is None else [f"hydra.searchpath=[file://{own}]"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = compose(root, [*extra, *overrides], return_hydra_config=True)
        choices = dict(composed.hydra.runtime.choices)
        values = _without_hydra(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error)) from error
    missing = sorted(_missing(values)) if complete else []
    if missing:
        raise UserError(
            "these settings have no value yet; give them on the command line: "
            + " ".join(f"{key}=VALUE" for key in missing)
        )
    check_targets(values, trust=trust)
    ours = {key: str(value) for key, value in choices.items() if not key.startswith("hydra/")}
    return Settings(values, ours, tuple(overrides))


def register_resolvers() -> None:
    """Make our interpolations known to OmegaConf; safe to call again."""
    resolvers: dict[str, Callable[..., Any]] = {
        "kernel_size_for_view": lambda size, view: kernel_for_view(int(size), 1.0, int(view))[0],
        "sigma_for_view": lambda sigma, view: kernel_for_view(3, float(sigma), int(view))[1],
        "bias_for_queue": lambda queue: math.log(int(queue) / PAPER_QUEUE),
        "bias_for_batch": lambda batch: math.log((2 * int(batch) - 2) / PAPER_QUEUE),
        "fastest_precision": fastest_precision,
        "fastest_memory_format": fastest_memory_format,
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def _without_hydra(composed: DictConfig) -> dict[str, Any]:
    OmegaConf.set_struct(composed, False)
    del composed["hydra"]
    values = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _missing(node: Any, path: str = "") -> list[str]:
    if node == "???":
        return [path]
    items = node.items() if isinstance(node, dict) else ()
    return [key for name, value in items for key in _missing(value, f"{path}.{name}".lstrip("."))]


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split()).split(" Config search path:")[0]
    if "is not in struct" in text or "Could not override" in text:
        text += ". Unknown keys are errors; `salmask explain` prints the settings that exist."
    return text


def apply_overrides(settings: Settings, overrides: Sequence[str], *, trust: Trust) -> Settings:
    """Return kept settings with plain ``key=value`` changes to keys that exist.

    Raises:
        UserError: for a key that does not exist, or a group's choice, which is fixed by then.
    """
    config = OmegaConf.create(settings.values)
    OmegaConf.set_struct(config, True)
    for text in overrides:
        key, separator, _ = text.partition("=")
        if not separator or OmegaConf.select(config, key, default=_ABSENT) is _ABSENT:
            raise UserError(f"'{text}' is not a setting of this run; it must be key=value.")
        try:
            config.merge_with_dotlist([text])
        except OmegaConfBaseException as error:
            raise UserError(f"'{text}': {error}") from error
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    plain = {str(key): value for key, value in values.items()}
    check_targets(plain, trust=trust)
    return Settings(plain, settings.choices, tuple(overrides))


_ABSENT = object()
