"""What is logged, when it warns, when it stops, and the learning rate."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import lightly_toy as toy
import pytest
import torch
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from salmask_plugin import GridMask, Masking, MaskMixture, MeanFill, TopMask, UniformLocalizer
from salmask_plugin.adapters.lightly import MaskedMoCoV2, MaskedSimCLR
from salmask_plugin.adapters.lightly.finite import FiniteWatch
from salmask_plugin.adapters.lightly.optimizers import cosine_per_epoch
from salmask_plugin.masking import foreground_tolerance

NAMES = {
    "train_loss",
    "mask_ratio",
    "foreground_share",
    "similarity_positive",
    "similarity_hard",
    "hard_negative_share",
}


def moco(masking: Any, **options: Any) -> MaskedMoCoV2:
    settings: dict[str, Any] = {"queue_size": 24, "split_batch_size": None} | options
    return MaskedMoCoV2(toy.network(), feature_dim=10, masking=masking, **settings)


class FirstStep(Callback):
    """The metrics after the first batch."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if not hasattr(self, "metrics"):
            self.metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}


@pytest.mark.filterwarnings("ignore:The hard negatives dominate")
def test_everything_is_logged_from_the_first_step() -> None:
    first = FirstStep()
    toy.trainer(callbacks=[first]).fit(moco(toy.masking()), toy.loader())
    assert set(first.metrics) == NAMES
    baseline = FirstStep()
    toy.trainer(callbacks=[baseline]).fit(moco(None), toy.loader())
    assert set(baseline.metrics) == {"train_loss", "similarity_positive"}


def test_dominating_hard_negatives_are_told_once_with_the_remedy() -> None:
    with pytest.warns(UserWarning, match="dominate") as record:
        toy.trainer(3).fit(moco(toy.masking()), toy.loader())
    told = [str(w.message) for w in record if "dominate" in str(w.message)]
    assert len(told) == 1
    assert "24 negatives" in told[0]
    assert f"hard_negative_bias={math.log(24 / 65536):.2f}" in told[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*LeafSpec|.*many workers")
        calm = moco(toy.masking(), hard_negative_bias=math.log(24 / 65536))
        toy.trainer(1).fit(calm, toy.loader())


def test_a_degenerate_foreground_is_told_but_not_for_uniform_maps() -> None:
    constant = toy.masking(localizer=lambda x: torch.ones(len(x), 4, 4), negative=None)
    with pytest.warns(UserWarning, match=r"covers 1\.000 of the grid"):
        toy.trainer().fit(moco(constant), toy.loader())
    uniform = toy.masking(localizer=UniformLocalizer((4, 4)), negative=None)
    toy.trainer().fit(moco(uniform), toy.loader())


def test_the_logged_foreground_has_the_samplers_tolerance() -> None:
    mixture = MaskMixture((TopMask(), GridMask(tolerance=0.1)), (0.5, 0.5))
    part = Masking(mixture, MeanFill())
    assert foreground_tolerance(toy.masking(query=part, negative=None)) == 0.1
    assert foreground_tolerance(toy.masking(negative=part)) == 0.1
    assert foreground_tolerance(toy.masking(query=part)) == 0.6  # the negatives' own
    assert foreground_tolerance(toy.masking(query=None, negative=None)) == 0.6
    assert foreground_tolerance(None) == 0.6


class Breaking(nn.Module):
    """NaN after some forwards."""

    def __init__(self, forwards: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.left = forwards

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        return x.mean((2, 3)) * self.scale * (1.0 if self.left >= 0 else float("nan"))


def breaking(kind: Any, step: int) -> LightningModule:
    """A module whose loss is NaN from ``step`` on; MoCo's key encoder counts for itself."""
    if kind is MaskedMoCoV2:
        return MaskedMoCoV2(Breaking(step), feature_dim=3, queue_size=24)
    return MaskedSimCLR(Breaking(2 * step), feature_dim=3, warmup_epochs=0)


@pytest.mark.parametrize("kind", [MaskedMoCoV2, MaskedSimCLR])
@pytest.mark.parametrize(
    ("step", "options"), [(2, {}), (1, {"max_steps": 2}), (1, {"log_every_n_steps": 2})]
)
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_first_step(
    kind: Any, step: int, options: dict[str, Any]
) -> None:
    with pytest.raises(FloatingPointError, match=f"nan at training batch {step}"):
        toy.trainer(4, **options).fit(breaking(kind, step), toy.loader())


@pytest.mark.parametrize("kind", [MaskedMoCoV2, MaskedSimCLR])
@pytest.mark.parametrize("weights_only", [False, True])
def test_no_checkpoint_is_written_after_the_loss_was_not_finite(
    kind: Any, weights_only: bool, tmp_path: Path
) -> None:
    """Saved in every step, read by the logger in none."""
    saving = ModelCheckpoint(
        tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1, save_weights_only=weights_only
    )
    trainer = toy.trainer(4, callbacks=[saving], enable_checkpointing=True, log_every_n_steps=99)
    with pytest.raises(FloatingPointError, match="nan at training batch 4"):
        trainer.fit(breaking(kind, 4), toy.loader(64))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step={step}.ckpt" for step in (1, 2, 3, 4)
    ]


def test_the_first_bad_loss_is_remembered_and_told_once() -> None:
    watch = FiniteWatch()
    watch.check()
    for step, loss in enumerate([1.0, float("inf"), float("nan"), 2.0]):
        watch.add(torch.tensor(loss), step=step)
    with pytest.raises(FloatingPointError, match="inf at training batch 1"):
        watch.check()
    watch.check()


def rates(warmup: int, epochs: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    schedule = cosine_per_epoch(optimizer, warmup_epochs=warmup, max_epochs=epochs)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_is_mocos_cosine_and_never_zero() -> None:
    expected = [1 + math.cos(math.pi * epoch / 5) for epoch in range(5)]
    assert rates(0, 5) == pytest.approx(expected)
    assert rates(0, 1) == [2.0]


def test_warm_up_rises_in_equal_steps_to_the_full_rate() -> None:
    rest = [1 + math.cos(math.pi * epoch / 3) for epoch in range(3)]
    assert rates(2, 5) == pytest.approx([1.0, 2.0, *rest])
    with pytest.warns(UserWarning, match="warmup_epochs=10"):
        assert rates(10, 2) == pytest.approx([0.2, 0.4])
    with pytest.raises(ValueError, match="max_epochs=-1"):
        rates(0, -1)


def test_the_schedule_steps_once_per_epoch() -> None:
    seen: list[float] = []

    class Rates(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    toy.trainer(2, callbacks=[Rates()]).fit(moco(None, learning_rate=0.4), toy.loader())
    assert seen == pytest.approx([0.4, 0.4, 0.4, 0.2, 0.2, 0.2])
