"""Which settings of a run's configuration act on its result: all but an explicit list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from salmask_plugin.lab.results.codec import Scalar
from salmask_plugin.lab.results.record import RunRecord

Items = tuple[tuple[str, Scalar], ...]

PLACES = ("root", "folder")
"""Last parts of names that say where files lie."""
IDLE: Mapping[str, tuple[str, ...]] = {
    "lightly": (
        # Which run it is, where it goes, what is looked at.
        *("seed", "name", "recipe", "out", "logger", "checkpoints", "experiment", "compare"),
        *("evaluation", "transfers", "choices", "scale"),
        # How it is computed.
        *("loader.workers", "loader.keep", "trainer.accelerator", "trainer.deterministic"),
        *("trainer.benchmark", "trainer.log_every_n_steps", "trainer.logger"),
        *("trainer.enable_progress_bar", "trainer.enable_model_summary"),
        *("trainer.enable_checkpointing", "trainer.default_root_dir", "trainer.profiler"),
        *("trainer.detect_anomaly", "trainer.num_sanity_val_steps", "trainer.limit_val_batches"),
        *("data.download", "data.boxes", "data.on_unreadable", "data.name"),
        # Said by the record's own fields; the localizer stands in `masking` where it acts.
        *("view_size", "localizer", "trainer.max_epochs", "loader.batch_size"),
        *("method.rho", "method.hard_negative_bias"),
        *("method.warm_up", "method.negative_encoding", "method.temperature"),
        *("method.queue_size", "method.image_size"),
        *("method.learning_rate", "method.weight_decay", "method.warmup_epochs"),
        *("method.momentum", "method.trust_coefficient", "method.decay_every"),
    ),
    "solo-learn": (
        *("seed", "name", "method", "checkpoint", "auto_resume", "resume_from_checkpoint"),
        # The last is the logger's number of the run, with or without wandb.
        *("hydra", "auto_umap", "default_root_dir", "debug_augmentations", "wandb", "wandb_run_id"),
        *("accelerator", "devices", "num_nodes", "num_workers", "data.num_workers"),
        *("data.train_path", "data.val_path", "data.dataset", "data.num_classes", "max_epochs"),
        *("optimizer", "scheduler", "method_kwargs.temperature", "method_kwargs.queue_size"),
        *("salmask.recipe", "salmask.localizer", "salmask.branch", "salmask.rho"),
    ),
    "other": (
        *("seed", "name", "recipe", "method", "out", "choices", "evaluation", "fingerprint"),
        *("view_size", "loader", "trainer", "data.download", "data.boxes", "data.on_unreadable"),
        "data.name",
    ),
}
"""Host -> settings that do not act on the result, or that a record says in fields of its own."""
BEFORE: dict[str, Scalar] = {
    "loader.input": "host",
    "memory_format": "contiguous",
    "data.channels": 3,
    "method.optimizer": "lars",
    "method.projection_batch_norm": False,
    "method.positive_in_denominator": True,
}
"""What runs did before there was a choice; a node that says nothing of it is such a run's."""
OF_THE_RECIPE = (
    *("masking.", "crops.", "salmask.", "localizer_size", "method._target_"),
    "backbone.kwargs.highpass_",  # solo-learn's backbones hold the recipe's filter
)
"""Settings that rows differ in by intent: a baseline need not share them."""
OF_THE_METHOD = ("method.", "method_kwargs.")
"""Settings that a baseline shares where it has them: another occluder has others."""


def acting(record: RunRecord) -> Items:
    """Return the settings that act on the run's result, as sorted pairs of dotted name and value.

    A setting that is null or empty counts as not set. Lists are written as JSON.
    """
    found = {
        name: value
        for name, value in _flat(record.config).items()
        if not _is_idle(name, IDLE[record.host])
        and name.rpartition(".")[2] not in PLACES
        and name.removeprefix("salmask.") not in record.masking  # said there
    }
    if record.host == "solo-learn" and "backbone.name" in found:
        # The filter's own settings stand beside it.
        found["backbone.name"] = str(found["backbone.name"]).removesuffix("_highpass")
    if record.localizer == "none":
        found.pop("localizer_size", None)  # nobody looks at views of that size
    for name, value in BEFORE.items():
        node, dot, _ = name.partition(".")
        if record.config and (not dot or isinstance(record.config.get(node), Mapping)):
            found.setdefault(name, value)
    return tuple(sorted(found.items()))


def differing(one: RunRecord, other: RunRecord) -> list[str]:
    """Return the names of settings that act and differ; a part that one lacks whole is unknown."""
    first, second = dict(acting(one)), dict(acting(other))
    shared = set(one.config) & set(other.config)
    return sorted(
        name
        for name in {*first, *second}
        if first.get(name) != second.get(name) and name.partition(".")[0] in shared
    )


def _is_idle(name: str, idle: tuple[str, ...]) -> bool:
    return any(name == entry or name.startswith(f"{entry}.") for entry in idle)


def _flat(config: Mapping[str, Any]) -> dict[str, Scalar]:
    flat: dict[str, Scalar] = {}
    waiting: list[tuple[str, Any]] = [(str(key), value) for key, value in config.items()]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{name}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            # As many devices are as good as as many others.
            counted = name.endswith(".devices") and value
            flat[name] = len(value) if counted else json.dumps(value, sort_keys=True)
        elif value is not None:
            flat[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return {name: value for name, value in flat.items() if value != "[]"}
