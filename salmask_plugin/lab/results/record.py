"""One run = one record: what ran, under which settings, with which result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from salmask_plugin.lab.results.codec import Number, Scalar, Text, Whole
from salmask_plugin.lab.results.environment import Environment

Host: TypeAlias = Literal["lightly", "solo-learn", "other"]
Branch: TypeAlias = Literal["query", "key", "both"]
Status: TypeAlias = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class DataSet:
    """The images a run saw.

    Args:
        name: such as "cifar10".
        train_images: images used for pretraining (and for fitting the classifiers).
        val_images: images the accuracies are measured on; 0 where there are no labels.
        classes: number of classes; 1 where there are no labels.
        view_size: side of a pretraining view in pixels.
    """

    name: Text
    train_images: Whole
    val_images: Whole
    classes: Whole
    view_size: Whole

    def __post_init__(self) -> None:
        for key in ("train_images", "val_images", "classes", "view_size"):
            least = 0 if key == "val_images" else 1
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)} must be at least {least}.")


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation and the protocol behind its numbers.

    Args:
        metrics: name -> value. Names that begin with "top" ("top1", "top1_last", "top1_best",
            "top5") and "mean_per_class" are shares in [0, 1], not percent. Other names keep their
            own unit.
        protocol: everything that must agree before two values may stand in one column, such as
            ``{"k": 20, "temperature": 0.07}``.
        curves: name -> one value per epoch of the evaluation, in the unit of the metric.
        seconds: wall-clock of the evaluation, or None where it was not taken.
        settings: what was asked for, as plain values: a command that asks for the same finds its
            result here. Empty where nothing was asked by configuration.
    """

    metrics: Mapping[str, Number]
    protocol: Mapping[str, Scalar] = field(default_factory=dict)
    curves: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    seconds: Number | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.metrics.items():
            if is_share(name) and not 0 <= value <= 1:
                raise ValueError(f"metrics[{name!r}]={value} is a share and must be in [0, 1].")


@dataclass(frozen=True)
class Timing:
    """Wall-clock of a run; None where it was not taken.

    Args:
        pretrain_seconds: the whole pretraining, data loading included.
        images_per_second: images (not views) per second of pretraining.
        evaluation_seconds: all evaluations together.
    """

    pretrain_seconds: Number | None = None
    images_per_second: Number | None = None
    evaluation_seconds: Number | None = None


@dataclass(frozen=True)
class RunRecord:
    """Everything needed to compare a run with others and to repeat it.

    Args:
        name: of the run, unique in its study.
        host: the library that trained; "other" for a checkpoint of which nothing more is known.
        method: the host's method without masking, such as "mocov2" or "simclr".
        recipe: the masking recipe; "none" is the baseline.
        seed: of the run, >= 0.
        data: the images.
        backbone: the encoder with its stem, such as "resnet18".
        epochs: pretraining epochs that ran, >= 1, the last cut short if the run was stopped in it;
            0 of the host "other": not known.
        batch_size: images per optimisation step over all devices, >= 1; 0 as for epochs.
        localizer: what made the saliency; "none" without masking.
        localizer_trained_on: what the localizer had learned from, such as "ImageNet-1k labels".
        branch: the masked view; None where no view is masked.
        rho: weight of the hard negative; None without hard negatives.
        temperature: of the loss; None where the method has none.
        queue_size: keys in the queue; None where the method has none.
        masking: further settings of the masking, such as ``{"hard_negative_bias": 0.0}``.
        optimizer: name, learning rate, schedule and so on, as plain values.
        evaluations: name ("knn", "linear") -> result.
        history: name -> one value per finished epoch: "loss", "mask_ratio", "foreground_share",
            "similarity_positive", "similarity_hard", "hard_negative_share", and the bins
            "foreground_0.00_to_0.05", ...: shares of images.
        timing: wall-clock.
        environment: versions, commit, machine.
        config: the resolved configuration as plain values. Absolute paths are shortened to their
            last part when the record is written.
        status: a run that failed, or was stopped before its planned end, is kept and named, but
            enters no mean. ``warnings`` say what stopped it.
        notes: what a reader should know.
        warnings: what went wrong without stopping the run.
        finished_at: end of the run, ISO 8601 in UTC.
        steps: of the encoder's optimizer that ran, >= 1; None where they were not counted.

    Raises:
        ValueError: if a value is out of its range.
    """

    name: Text
    host: Host
    method: Text
    recipe: Text
    seed: Whole
    data: DataSet
    backbone: Text
    epochs: Whole
    batch_size: Whole
    localizer: Text = "none"
    localizer_trained_on: Text = "none"
    branch: Branch | None = None
    rho: Number | None = None
    temperature: Number | None = None
    queue_size: Whole | None = None
    masking: Mapping[str, Scalar] = field(default_factory=dict)
    optimizer: Mapping[str, Scalar] = field(default_factory=dict)
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    history: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    environment: Environment = field(default_factory=Environment)
    config: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "finished"
    notes: tuple[Text, ...] = ()
    warnings: tuple[Text, ...] = ()
    finished_at: Text | None = None
    steps: Whole | None = None

    def __post_init__(self) -> None:
        for key in ("name", "method", "recipe", "backbone"):
            if not getattr(self, key):
                raise ValueError(f"{key} must not be empty.")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must be at least 0.")
        least = 0 if self.host == "other" else 1
        for key in ("epochs", "batch_size"):
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)} must be at least {least}.")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps={self.steps} must be at least 1.")
        for key, values in self.history.items():
            if len(values) > self.epochs:
                raise ValueError(
                    f"history[{key!r}] has {len(values)} values; epochs={self.epochs} allows "
                    "one per epoch."
                )

    def with_evaluation(self, name: str, evaluation: Evaluation) -> RunRecord:
        """Return a copy that also holds ``evaluation``, in place of an earlier one of this name."""
        return replace(self, evaluations={**self.evaluations, name: evaluation})

    def value(self, evaluation: str, metric: str) -> float | None:
        """Return a result, None where it was not measured."""
        found = self.evaluations.get(evaluation)
        return None if found is None else found.metrics.get(metric)

    def protocol(self, evaluation: str) -> Mapping[str, Scalar] | None:
        """Return what a result was measured under, None where there is none."""
        found = self.evaluations.get(evaluation)
        return None if found is None else found.protocol

    @property
    def study(self) -> Mapping[str, Any]:
        """The settings of the comparison it belongs to; empty for runs of other hosts."""
        study = self.config.get("compare")
        return study if isinstance(study, Mapping) else {}

    def resolution(self, evaluation: str, metric: str) -> float:
        """Return the step of a share over images, 1 / their number; 0 where it is not known."""
        found = self.evaluations.get(evaluation)
        if found is None or not is_share(metric):
            return 0.0
        images = found.protocol.get("val_images")
        if not isinstance(images, int) or isinstance(images, bool) or images < 1:
            # A result on other images says itself how many there are.
            images = 0 if "/" in evaluation else self.data.val_images
        return 1 / images if images else 0.0

    @property
    def diverged(self) -> bool:
        """Whether a loss of the history is not finite."""
        return any(not math.isfinite(value) for value in self.history.get("loss", ()))


def values_of(runs: Mapping[int, RunRecord], evaluation: str, metric: str) -> dict[int, float]:
    """Return seed -> value of those runs, by seed, that have been evaluated so."""
    values = {seed: run.value(evaluation, metric) for seed, run in runs.items()}
    return {seed: value for seed, value in values.items() if value is not None}


def is_share(metric: str) -> bool:
    """Whether a metric is a share in [0, 1], shown as percent."""
    return metric.startswith(("top", "mean_per_class"))
