"""The bias that keeps hard negatives' share of the softmax near what it is in the paper."""

from __future__ import annotations

import math

from omegaconf import DictConfig, OmegaConf

from salmask_plugin.lab.settings.processes import asked_processes

PAPER_QUEUE = 65536


def bias_for_queue(queue: int | str) -> float:
    """Return the bias beside a queue of so many keys, which all processes share."""
    return math.log(int(queue) / PAPER_QUEUE)


def bias_for_batch(batch: int | str, *, _root_: DictConfig) -> float:
    """Return the bias of SimCLR, whose negatives are the batches of all processes.

    Args:
        batch: views per process.
        _root_: the whole configuration, whose trainer says how many processes there are.

    Raises:
        ValueError: if the machine decides how many, or the batches hold no negatives.
    """
    trainer = OmegaConf.to_container(_root_.trainer, resolve=True)
    assert isinstance(trainer, dict)
    processes = asked_processes({str(key): value for key, value in trainer.items()})
    if processes is None:
        raise ValueError(
            f"trainer.devices={trainer['devices']} leaves open how many processes share their "
            "negatives, which method.hard_negative_bias goes by: give their number, or the bias."
        )
    negatives = 2 * int(batch) * processes - 2
    if negatives < 1:
        raise ValueError(f"loader.batch_size={batch} must be at least 2 to have negatives.")
    return math.log(negatives / PAPER_QUEUE)
