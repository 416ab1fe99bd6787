"""Keep Lightning's advertisements off the terminal, and what it does say within its width."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from salmask_plugin.lab.results.terminal import filled

NOTICES = ("Tip:", "GPU available:", "TPU available:", "HPU available:", "`Trainer.fit` stopped")
WARNINGS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists.*",
    ".*smaller than the logging interval.*",
    ".*validation_step.* but have no .*val_dataloader.*",
    ".*no `val_dataloader`.*",
    ".*`srun` command is available.*",  # a comparison starts its rows itself, or by sbatch
    ".*isinstance.treespec.*LeafSpec.*",
)


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence the notices and warnings above, and no others; wrap what is left."""
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    logger.addFilter(_is_news)
    try:
        with warnings.catch_warnings():
            for text in WARNINGS:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    record.msg, record.args = filled(text, "  "), ()
    return not any(notice in text for notice in NOTICES)
