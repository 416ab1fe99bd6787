"""Runs that go on longer or shorter than they were meant, and steps made of several batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightly_toy as toy
import pytest
import torch
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.strategies import FSDPStrategy
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly import ADIOSMoCoV2, ADIOSSimCLR, MaskedMoCoV2, MaskedSimCLR
from salmask_plugin.adapters.lightly.optimizers import cosine_per_epoch

Make = Callable[[], LightningModule]


def moco(**options: Any) -> MaskedMoCoV2:
    torch.manual_seed(0)
    settings = {"projection_dim": 5, "queue_size": 24, "split_batch_size": None, "momentum": 0.9}
    network = toy.network(normalised=False)
    return MaskedMoCoV2(network, feature_dim=10, **(settings | options))


def simclr() -> MaskedSimCLR:
    torch.manual_seed(0)
    return MaskedSimCLR(toy.network(), feature_dim=10, projection_dim=5, warmup_epochs=0)


def adios() -> ADIOSMoCoV2:
    torch.manual_seed(0)
    return ADIOSMoCoV2(toy.network(), feature_dim=10, image_size=(16, 16), queue_size=16)


def adios_simclr() -> ADIOSSimCLR:
    torch.manual_seed(0)
    return ADIOSSimCLR(toy.network(), feature_dim=10, image_size=(16, 16))


class Rates(Callback):
    """The learning rate of every training batch."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize(("make", "rate"), [(moco, 0.015), (simclr, 0.3)])
@pytest.mark.parametrize(("first", "then"), [(2, 5), (4, 3)])
def test_a_run_of_another_length_goes_on_with_its_cosine(
    tmp_path: Path, make: Make, rate: float, first: int, then: int
) -> None:
    """lightly puts the old length back: a finished run continued at rate 0."""
    done = min(first, then - 1)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, module: LightningModule) -> None:
            trainer.should_stop = trainer.current_epoch + 1 == done

    trainer = toy.trainer(first, callbacks=[Stop()], min_epochs=0)
    trainer.fit(make(), toy.loader(8))
    trainer.save_checkpoint(tmp_path / "x.ckpt")

    rates = Rates()
    again = toy.trainer(then, callbacks=[rates])
    again.fit(make(), toy.loader(8), ckpt_path=tmp_path / "x.ckpt")
    epochs = range(done, then)
    expected = [rate * (1 + math.cos(math.pi * epoch / then)) / 2 for epoch in epochs]
    assert rates.seen == pytest.approx(expected)
    assert min(rates.seen) > 0


def test_the_same_length_goes_on_bit_for_bit() -> None:
    whole, halves = [], []
    for rates, stop in ((whole, None), (halves, 3)):
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=0.03)
        schedule = cosine_per_epoch(optimizer, warmup_epochs=2, max_epochs=7)
        for epoch in range(7):
            if epoch == stop:
                states = optimizer.state_dict(), schedule.state_dict()
                optimizer = torch.optim.SGD([weight], lr=0.03)
                schedule = cosine_per_epoch(optimizer, warmup_epochs=2, max_epochs=7)
                optimizer.load_state_dict(states[0])
                schedule.load_state_dict(states[1])
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    assert whole == halves


def ordered(batch_size: int) -> DataLoader[Any]:
    return DataLoader(toy.Pairs(32), batch_size=batch_size)


@pytest.mark.parametrize("queue", [24, 20])
def test_batches_that_share_a_step_are_one_batch(queue: int) -> None:
    """Weights, key encoder and queue, where keys do not fit at the bank's end (20) as well.

    Without BatchNorm and masks, which are drawn for each batch that is loaded.
    """
    whole, parts = moco(queue_size=queue), moco(queue_size=queue)
    toy.trainer(2).fit(whole, ordered(16))
    toy.trainer(2, accumulate_grad_batches=4).fit(parts, ordered(4))
    for (name, one), other in zip(
        whole.state_dict().items(), parts.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)
    fresh = moco(queue_size=queue).state_dict()
    moved = [name for name, value in whole.state_dict().items() if not value.equal(fresh[name])]
    assert any(name.startswith("key_backbone") for name in moved)


def test_a_last_step_of_fewer_batches_lets_its_keys_in() -> None:
    module = moco(queue_size=64)
    toy.trainer(1, accumulate_grad_batches=3).fit(module, ordered(4))  # steps of 3, 3 and 2
    assert module.criterion.memory_bank.place == 32
    assert not module.criterion.memory_bank._held


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
@pytest.mark.parametrize("make", [moco, adios])
def test_sixteen_bit_weights_are_refused_where_the_key_encoder_would_stand_still(
    precision: str, make: Make
) -> None:
    with pytest.raises(ValueError, match=rf"trainer.precision={precision}.*stands still.*mixed"):
        toy.trainer(precision=precision).fit(make(), ordered(4))


@pytest.mark.parametrize("make", [moco, adios, adios_simclr])
def test_a_strategy_that_splits_weights_is_refused(make: Make) -> None:
    module = make()
    module._trainer = SimpleNamespace(strategy=FSDPStrategy(), precision="32-true")
    with pytest.raises(ValueError, match=r"strategy=FSDPStrategy is not supported by \w+.*ddp"):
        module.setup("fit")


def test_an_average_in_sixteen_bits_does_stand_still() -> None:
    """Why: the paper's 0.999 of a bfloat16 weight is that weight."""
    key, query = (torch.tensor(value, dtype=torch.bfloat16) for value in (1.0, 1.5))
    assert key * 0.999 + query * (1 - 0.999) == key
    assert key.float() * 0.999 + query.float() * 0.001 > key.float()


@pytest.mark.parametrize("make", [moco, simclr])
def test_a_whole_module_that_was_compiled_is_refused(make: Make) -> None:
    compiled = torch.compile(make(), backend="eager")
    with pytest.raises(ValueError, match=r"torch.compile\(Masked\w+\).*backbone.compile\(\)"):
        toy.trainer().fit(compiled, ordered(4))
