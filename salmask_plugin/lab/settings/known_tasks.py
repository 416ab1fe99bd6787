"""Which settings the kinds of classification tasks have, and of which type."""

from typing import TypedDict

from salmask_plugin.lab.settings.nodes import Node, Seed


class Knn(TypedDict, total=False):
    """A task of kind knn; what it leaves out is ``evaluation.knn``'s."""

    task: str
    k: int
    temperature: float
    label_share: float


class Finetune(TypedDict, total=False):
    """A task of kind finetune."""

    task: str
    epochs: int
    learning_rate: float
    batch_size: int
    nesterov: bool
    label_share: float


class Linear(TypedDict, total=False):
    """A task of kind linear."""

    task: str
    epochs: int
    learning_rate: float
    learning_rates: list[float]
    held_out: float
    batch_size: int
    milestones: list[int]
    augment: bool
    head_std: float | None
    label_share: float


class Logistic(TypedDict, total=False):
    """A task of kind logistic."""

    task: str
    weight_decays: list[float]
    held_out: float
    label_share: float


class Occlusion(TypedDict, total=False):
    """A task of kind occlusion."""

    task: str
    shares: list[float]
    fills: list[str]
    places: list[str]
    grid: list[int]
    classifiers: list[str]
    k: int
    temperature: float
    weight_decays: list[float]
    held_out: float
    seed: Seed
    localizer: Node | None
    label_share: float
