"""The groups of settings that code reads by attribute: one dataclass a group.

A field with a default may be missing, as it is in runs from before there was the setting.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Literal

from salmask_plugin.lab.results.study import Planned
from salmask_plugin.lab.settings.nodes import PathText, Seed


@dataclass(frozen=True, kw_only=True)
class Loader:
    """``loader`` of a run.

    Attributes:
        batch_size: views per process and step.
        workers: processes that read pictures.
        input: where views are made.
        decode_size: side in pixels that pictures are first resized to, on the device.
        keep: whether pictures stay on the device.
    """

    batch_size: int
    workers: int
    input: Literal["host", "device"] = "host"
    decode_size: int | None = None
    keep: bool = True


@dataclass(frozen=True, kw_only=True)
class TransferLoader:
    """``loader`` of a transfer."""

    batch_size: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class Workers:
    """``loader`` of detection and depth."""

    workers: int


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """``checkpoints``: how many of the newest stay, and how often one is written."""

    keep: int
    every_n_epochs: int


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """``compare.slurm``: what the job of a run asks SLURM for; ranges are in lab/study/slurm.py.

    Attributes:
        partition: in which it waits; None: the cluster's own choice, as for the next two.
        account: that pays.
        qos: quality of service.
        minutes: after which it is put back into the queue, to go on from its newest checkpoint.
        requeues: how often that may happen.
        gpus: of its node.
        cpus: cores.
        memory_gb: of the node's memory; None: the cluster's own choice.
        at_once: jobs of the study that run at a time.
        extra: further options of sbatch by their long names; true for one without a value.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    minutes: int = 720
    requeues: int = 20
    gpus: int = 1
    cpus: int = 8
    memory_gb: int | None = None
    at_once: int = 16
    extra: dict[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Compare:
    """``compare``; configs/run.yaml says what each is."""

    seeds: list[Seed]
    baseline: str | None
    rows: dict[str, list[str]]
    parallel: int = 1
    launcher: Literal["here", "slurm"] = "here"
    wait: bool = True
    slurm: Slurm = field(default_factory=Slurm)
    only: list[str] | None
    plan: dict[str, Planned] = field(default_factory=dict)
    gate: float = 10.0
    include: list[PathText]
    duration: str | None
    notes: list[str]
    study: str | None
    row: str | None
    left_out: dict[str, str]
    preset: str
    targets: dict[str, dict[str, float]]
    open: list[str]


GROUPS = (Loader, TransferLoader, Workers, Checkpoints, Compare, Slurm, Planned)
"""Dataclasses that are mappings in a configuration; any other one is built by a node."""


def required(group: type) -> frozenset[str]:
    """Names of a group's fields that have no default."""
    return frozenset(
        entry.name
        for entry in fields(group)
        if entry.default is MISSING and entry.default_factory is MISSING
    )
