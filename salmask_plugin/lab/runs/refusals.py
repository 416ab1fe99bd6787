"""What Lightning refuses, as one sentence and before any work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]

from salmask_plugin.adapters.lightly import ADIOSMoCoV2, ADIOSSimCLR
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.band_channels import check_channels
from salmask_plugin.lab.runs.expected_warnings import expected_warnings
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.settings.nodes import target_of
from salmask_plugin.lab.settings.settings import Settings

OWN_OPTIMIZATION = (ADIOSMoCoV2, ADIOSSimCLR)
"""Methods that step two optimizers in turns themselves."""
AUTOMATIC = {"gradient_clip_val": None, "accumulate_grad_batches": 1}
"""What the trainer can do for a single optimizer alone, and the value that asks for nothing."""


@contextmanager
def refused_in_words() -> Iterator[None]:
    """Turn what Lightning calls a misconfiguration into a mistake in the input.

    Raises:
        UserError: with Lightning's own words.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise UserError(_sentence(error)) from error


def check_trainer(settings: Settings) -> None:
    """Make the trainer that the settings describe once, and nothing with it.

    Raises:
        UserError: if Lightning refuses it: a device that is not there, values out of range; or if
            the method or the command's pictures cannot do what is asked of them.
    """
    check_channels(settings)
    node = settings.trainer
    try:
        with expected_warnings(), refused_in_words():
            build(
                node,
                pl.Trainer,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
    except (TypeError, ZeroDivisionError) as error:
        raise UserError(_sentence(error)) from error
    _check_method(node, settings.values.get("method") or {})


def _check_method(trainer: dict[str, Any], method: dict[str, Any]) -> None:
    if "_target_" not in method:
        return
    target = target_of(method)
    if not (isinstance(target, type) and issubclass(target, OWN_OPTIMIZATION)):
        return
    for key, nothing in AUTOMATIC.items():
        if trainer.get(key, nothing) not in (nothing, 0):
            raise UserError(
                f"trainer.{key}={trainer[key]} cannot be used with {target.__name__}: it steps the "
                "encoder and the occluder in turns itself, and Lightning neither clips nor "
                "accumulates gradients there."
            )


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"Lightning refuses the settings of trainer: {text}."
