"""Which settings there are, and of which type: what the command reads, node by node.

A node with a ``_target_`` is not described here: its constructor's signature says what it takes.
"""

from typing import Any, Literal, NotRequired, TypedDict

from salmask_plugin.lab.settings.groups import Checkpoints, Compare, Loader, TransferLoader, Workers
from salmask_plugin.lab.settings.known_tasks import Finetune, Knn, Linear, Logistic, Occlusion
from salmask_plugin.lab.settings.nodes import DataNode, Node, PathText, Seed, Side


class Trainer(TypedDict):
    """The arguments of Lightning's trainer that are read beside it."""

    _target_: str
    max_epochs: int
    accelerator: str
    devices: list[int] | str | int
    num_nodes: int
    strategy: Any
    precision: Any
    sync_batchnorm: bool
    deterministic: Any
    log_every_n_steps: int


class Detection(TypedDict):
    """``detection``, and a task of that kind."""

    task: str
    data: DataNode
    model: Node
    schedule: Node


class Depth(TypedDict):
    """``depth``, and a task of that kind."""

    task: str
    data: DataNode
    model: Node
    schedule: Node
    test: Node


class Evaluation(TypedDict):
    """``evaluation``; every further name is a task."""

    tasks: list[str]
    data: dict[str, Node]
    reestimate_batch_norm: bool
    knn: Knn
    linear: Linear
    finetune: Finetune
    logistic: Logistic
    occlusion: Occlusion


class Run(TypedDict):
    """``configs/run.yaml``."""

    seed: Seed
    view_size: Side
    localizer_size: Side
    out: PathText
    name: str | None
    recipe: str | None
    memory_format: Literal["contiguous", "channels_last"]
    logger: Literal["csv", "tensorboard", "wandb"]
    loader: Loader
    checkpoints: Checkpoints
    compare: Compare
    data: Node
    backbone: Node
    localizer: NotRequired[Node]
    masking: Node
    crops: NotRequired[Node]
    trainer: Trainer
    method: Node
    views: Node
    evaluation: Evaluation
    scale: NotRequired[Node]  # groups whose files set other settings leave an empty node
    experiment: NotRequired[Node]
    transfers: NotRequired[Node]


class TransferTrainer(TypedDict):
    """``trainer`` of a transfer."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda"]


class Transfer(TypedDict):
    """``configs/transfer.yaml``."""

    seed: Seed
    view_size: Side | None
    out: PathText
    name: str | None
    architecture: str | None
    part: str | None
    filter: str | list[float] | None
    method: str | None
    recipe: str | None
    loader: TransferLoader
    trainer: TransferTrainer
    data: Node
    evaluation: Evaluation


class Detect(TypedDict):
    """``configs/detect.yaml``."""

    seed: Seed
    out: PathText
    name: str | None
    architecture: str | None
    part: str | None
    loader: Workers
    detection: Detection
    trainer: Trainer


class MeasureDepth(TypedDict):
    """``configs/depth.yaml``."""

    seed: Seed
    out: PathText
    name: str | None
    architecture: str | None
    part: str | None
    loader: Workers
    depth: Depth
    trainer: Trainer


ROOTS: dict[str, type] = {
    "run": Run,
    "transfer": Transfer,
    "detect": Detect,
    "depth": MeasureDepth,
}
"""File of ``configs/`` -> its settings."""
KINDS: dict[str, type] = {
    "knn": Knn,
    "linear": Linear,
    "finetune": Finetune,
    "logistic": Logistic,
    "occlusion": Occlusion,
    "detection": Detection,
    "depth": Depth,
}
"""Kind of a task -> its settings."""
