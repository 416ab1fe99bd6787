"""The smallest training with our checkpoints: one weight, four batches an epoch."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from salmask_plugin.lab.runs.checkpoints import AtomicCheckpointIO, checkpoint_callback
from salmask_plugin.lab.runs.expected_warnings import expected_warnings


class Small(pl.LightningModule):
    """One weight that every batch changes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return (self.weight - batch.mean()) ** 2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder, *, every_n_epochs=1, keep=9, ckpt_path=None, callbacks=(), **trainer):
    given = {"max_epochs": 3, "accelerator": "cpu", "devices": 1, **trainer}
    with expected_warnings():
        made = pl.Trainer(
            callbacks=[
                *callbacks,
                checkpoint_callback(folder, keep=keep, every_n_epochs=every_n_epochs),
            ],
            plugins=[AtomicCheckpointIO()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(folder),
            **given,
        )
        loader = DataLoader(torch.arange(8.0), batch_size=2)
        made.fit(Small(), loader, ckpt_path=ckpt_path, weights_only=True)
    return made
