"""A localizer that marks everything or nothing is seen: in the log, the record, and a warning."""

from __future__ import annotations

import math

import pytest
import torch
import torture_runs as runs
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin.adapters.lightly.foreground_bins import BIN_NAMES, ForegroundBins
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.metrics_log import read_rows
from salmask_plugin.lab.runs.pretrain import pretrain
from salmask_plugin.lab.runs.recording import degenerate_saliency
from salmask_plugin.lab.settings.compose import compose_settings


def with_share(cells, grid=(5, 8)):
    """A foreground with so many cells of 40."""
    return (torch.arange(math.prod(grid)) < cells).view(grid)


def test_the_bins_against_a_count_by_hand(tried):
    cells = [0, 1, 2, 3, 8, 9, 16, 24, 30, 32, 33, 38, 39, 40, 40]
    bins = ForegroundBins()
    bins.add(torch.stack([with_share(n) for n in cells[:4]]))
    bins.add(torch.stack([with_share(n) for n in cells[4:]]))
    edges = [0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0]
    expected = [0] * 7
    for n in cells:
        expected[next(i for i, edge in enumerate(edges) if n / 40 <= edge + 1e-7)] += 1
    found = bins.take()
    assert list(found) == list(BIN_NAMES)
    assert list(found.values()) == pytest.approx([count / 15 for count in expected])
    assert bins.take() == {}
    tried("degenerate saliency", 3)


def test_the_epochs_mean_weighs_images_not_intervals():
    """Three batches of 4, 4 and 1 images, logged after the second and the third."""

    class Counting(LightningModule):
        automatic_optimization = False

        def __init__(self):
            super().__init__()
            self.bins = ForegroundBins()

        def training_step(self, batch, batch_idx):
            (maps,) = batch
            self.bins.add(maps)
            if batch_idx:
                self.bins.log(self)

        def configure_optimizers(self):
            return None

    maps = torch.stack([with_share(n) for n in (40, 40, 20, 20, 20, 20, 1, 1, 40)])
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    with pytest.warns():  # about one worker, and no optimizer
        trainer.fit(Counting(), DataLoader(TensorDataset(maps), batch_size=4))
    found = [float(trainer.callback_metrics[name]) for name in BIN_NAMES]
    assert found == pytest.approx([2 / 9, 0, 0, 4 / 9, 0, 0, 3 / 9])


def test_only_a_majority_of_extremes_is_told():
    last = {name: [1.0, 0.0] for name in BIN_NAMES}
    assert degenerate_saliency(last) == []
    assert degenerate_saliency({}) == []
    last[BIN_NAMES[-1]] = [0.0, 0.75]
    assert degenerate_saliency(last) == [
        "the localizer marks nearly everything in 75% of the images of the last epoch"
    ]


@pytest.mark.filterwarnings("ignore")
def test_a_localizer_that_marks_one_box_fills_one_bin(tmp_path):
    """The same box for all images: one bin holds them all, in the record and in the log."""
    overrides = [*runs.TINY, "localizer=center", "trainer.max_epochs=1", f"out={tmp_path}"]
    settings = compose_settings([*overrides, "name=run"])
    pretrain(settings, tmp_path / "run")
    record = read_record(tmp_path / "run")
    shares = [record.history[name][0] for name in BIN_NAMES]
    assert sum(shares) == pytest.approx(1)
    assert max(shares) == 1.0  # one box for all images
    (row,) = [row for row in read_rows(tmp_path / "run/metrics/metrics.csv") if BIN_NAMES[0] in row]
    assert [float(row[name]) for name in BIN_NAMES] == shares
