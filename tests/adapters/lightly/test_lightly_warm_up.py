"""The warm-up without labels: its values, what it leaves out, and an exact resume through it."""

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightly_toy as toy
import pytest
import pytorch_lightning as pl
import torch
from lightly_toy import Pairs, network, trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from salmask_plugin import MomentumLocalizer, SaliencyMasking, UniformLocalizer, info_nce
from salmask_plugin.adapters.lightly import MaskedMoCoV2, MaskedSimCLR, SaliencyWarmUp
from salmask_plugin.seeding import step_generator
from salmask_plugin.warm_up import training_batches

# With 24 keys they do; test_lightly_logs.py is about it.
pytestmark = pytest.mark.filterwarnings("ignore:The hard negatives dominate")

# Three batches an epoch: of 12 batches in 4 epochs, 5 are uniform and rho rises over 4.
EPOCHS, BATCHES = 4, 12
WARM_UP = SaliencyWarmUp(uniform=5 / BATCHES, ramp=4 / BATCHES, grid=(4, 3))
RHOS = [0, 0, 0, 0, 0, 0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def loader() -> DataLoader[Any]:
    """The same batches in every epoch and run."""
    return DataLoader(Pairs(24), batch_size=8)


def masking(**changes: Any) -> SaliencyMasking:
    localizer = partial(MomentumLocalizer, layer="3")
    return toy.masking(**({"localizer": localizer, "num_negatives": 2} | changes))


def moco(**options: Any) -> MaskedMoCoV2:
    torch.manual_seed(3)
    settings = {"feature_dim": 10, "projection_dim": 6, "queue_size": 24, "split_batch_size": 4}
    settings |= {"masking": masking(), "warm_up": WARM_UP}
    return MaskedMoCoV2(network(), **(settings | options))


def simclr(**options: Any) -> MaskedSimCLR:
    torch.manual_seed(3)
    settings = {"feature_dim": 10, "projection_dim": 6, "warmup_epochs": 0}
    settings |= {"masking": masking(), "warm_up": WARM_UP}
    return MaskedSimCLR(network(), **(settings | options))


class Watch(pl.Callback):
    """What reaches the loss in each step, and what masked it."""

    def __init__(self) -> None:
        self.rhos: list[float] = []
        self.negatives: list[bool] = []
        self.maps: list[bool] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def seen(criterion: Any, inputs: Any) -> None:
            self.rhos.append(criterion.rho)
            self.negatives.append(inputs[2] is not None)

        self._hook = pl_module.criterion.register_forward_pre_hook(seen)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._hook.remove()


def fit(module: pl.LightningModule, epochs: int = EPOCHS, **options: Any) -> Watch:
    watch = Watch()
    trainer(epochs, callbacks=[watch, *options.pop("callbacks", [])]).fit(
        module, loader(), **options
    )
    return watch


@pytest.mark.parametrize(
    ("done", "uniform", "rho"),
    [
        (0.0, True, 0.0),
        (0.0999, True, 0.0),
        (0.1, False, 0.0),
        (0.15, False, 1.0),
        (0.175, False, 1.5),
        (0.2, False, 2.0),
        (1.0, False, 2.0),
    ],
)
def test_values_of_the_schedule(done: float, uniform: bool, rho: float) -> None:
    schedule = SaliencyWarmUp()
    assert schedule.is_uniform(done) is uniform
    assert schedule.rho(2.0, done) == pytest.approx(rho)


def test_without_a_ramp_rho_has_its_value_at_once() -> None:
    schedule = SaliencyWarmUp(uniform=0.25, ramp=0)
    assert [schedule.rho(2.0, done) for done in (0.0, 0.24, 0.25, 0.3)] == [0, 0, 2, 2]


def test_the_first_phase_is_the_masking_on_a_constant_map_without_negatives() -> None:
    full = toy.masking(probability=0.5, view_filter=toy.high_pass())
    first, then = WARM_UP.masking(full, 0.2), WARM_UP.masking(full, 0.5)
    assert then is full
    assert first.localizer == UniformLocalizer((4, 3))
    assert first.negative is None
    assert (first.query, first.probability, first.view_filter) == (
        full.query,
        0.5,
        full.view_filter,
    )


@pytest.mark.parametrize("make", [moco, simclr])
def test_steps_before_and_after_the_switch(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    localized: list[int] = []
    call = MomentumLocalizer.__call__

    def counted(self: MomentumLocalizer, images: torch.Tensor) -> torch.Tensor:
        localized.append(len(images))
        return call(self, images)

    monkeypatch.setattr(MomentumLocalizer, "__call__", counted)
    watch = fit(make())
    assert watch.rhos == pytest.approx(RHOS)
    assert watch.negatives == [False] * 5 + [True] * 7
    assert localized == [16] * 8  # and once in the first batch, so as not to fail late


def test_what_the_localizer_refuses_is_refused_in_the_first_batch() -> None:
    module = simclr(masking=masking(localizer=partial(MomentumLocalizer, layer="4")))
    watch = Watch()
    with pytest.raises(ValueError, match="layer='4'"):
        trainer(EPOCHS, callbacks=[watch]).fit(module, loader())
    assert watch.rhos == []


class Counted(pl.LightningModule):
    """Counts its batches, with one weight and Lightning's own steps."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches, self.told = 0, 0

    def on_train_start(self) -> None:
        self.told = training_batches(self.trainer)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.batches += 1
        return (self.weight * batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("epochs", "steps", "accumulated", "endless"),
    [
        (4, -1, 1, False),
        (4, -1, 2, False),
        (4, 5, 1, False),
        (4, 5, 2, False),
        (4, 7, 2, False),
        (4, 9, 4, False),
        (None, 7, 2, False),
        (-1, 8, 3, False),
        (None, 5, 2, True),
    ],
)
def test_training_ends_with_its_last_epoch_or_step(
    epochs: int | None, steps: int, accumulated: int, endless: bool
) -> None:
    class Endless(torch.utils.data.IterableDataset[torch.Tensor]):
        def __iter__(self) -> Any:
            while True:
                yield torch.ones(1)

    module = Counted()
    trainer = pl.Trainer(
        max_epochs=epochs,
        max_steps=steps,
        accumulate_grad_batches=accumulated,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data: Any = Endless() if endless else torch.ones(5, 1)
    trainer.fit(module, DataLoader(data))
    assert module.told == module.batches


def test_a_training_without_an_end_is_refused() -> None:
    length = SimpleNamespace(
        max_epochs=-1, max_steps=-1, num_training_batches=5, accumulate_grad_batches=1
    )
    with pytest.raises(ValueError, match="max_steps must be at least 1, or"):
        training_batches(length)


@pytest.mark.parametrize("make", [moco, simclr])
def test_label_free_masks_come_from_the_modules_encoder_after_the_warm_up(make: Any) -> None:
    module = make(masking=masking(negative=None))
    step_masking = module.step_masking
    step_masking.start(SimpleNamespace(max_epochs=EPOCHS, num_training_batches=3, max_steps=-1))
    encoder = getattr(module, "key_backbone", module.backbone)
    own = toy.masking(localizer=MomentumLocalizer(encoder, "3"), negative=None)
    anywhere = toy.masking(localizer=UniformLocalizer((4, 3)), negative=None)
    views = next(iter(loader()))[0]
    for step in (0, 4, 5, 11):
        step_masking.batches_seen = step
        recipe = own if step >= 5 else anywhere
        found = step_masking([list(views)], rank=0)
        assert torch.equal(found.query, recipe(*views, step_generator(0, 0, step)).query)


def test_masks_of_the_first_phase_are_those_of_random_masking() -> None:
    module = moco()
    seen: list[torch.Tensor] = []
    module.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    fit(module, epochs=1)
    random = masking(localizer=UniformLocalizer((4, 3)), negative=None)
    assert module.step_masking.warm_up is WARM_UP
    # One epoch is all of training here, so that the first of three batches is uniform.
    query, key = next(iter(loader()))[0]
    assert torch.equal(seen[0], random(query, key, step_generator(0, 0, 0)).query)
    assert not torch.equal(seen[0], query)


def test_the_first_phase_has_no_foreground_to_judge() -> None:
    module = moco()
    module.step_masking._total_batches = BATCHES
    batch = next(iter(loader()))
    assert module.step_masking(batch, rank=0).saliency is None
    module.step_masking.batches_seen = 5
    assert module.step_masking(batch, rank=0).saliency is not None


def test_rho_zero_is_one_negative_at_a_right_angle() -> None:
    """What the second phase begins with: no gradient through q.t, a constant beside the others."""
    torch.manual_seed(5)
    query, key, queue, hard = (torch.randn(n, 6, dtype=torch.double) for n in (4, 4, 9, 4))
    query.requires_grad_()
    at_zero = info_nce(query, key, queue, hard, rho=0.0)
    other = info_nce(query, key, queue, torch.randn(4, 6, dtype=torch.double), rho=0.0)
    without = info_nce(query, key, queue)
    assert torch.equal(at_zero, other)
    unit = torch.nn.functional.normalize(query.detach(), dim=1)
    logits = unit @ torch.nn.functional.normalize(torch.cat((key, queue)), dim=1).T / 0.2
    denominators = logits[:, 4:].exp().sum(1) + logits[:, :4].diagonal().exp()
    expected = without + torch.log1p(1 / denominators).mean()
    assert at_zero.item() == pytest.approx(expected.item())
    assert at_zero > without


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("make", [moco, simclr])
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_resumed_run_is_the_uninterrupted_one(
    make: Any, stopped_after: int, tmp_path: Path
) -> None:
    """Stopped in the first phase, and in the ramp."""
    straight = make()
    whole = fit(straight)

    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
            if trainer.current_epoch + 1 == stopped_after:
                trainer.should_stop = True

    keep = ModelCheckpoint(tmp_path, filename="last", save_on_train_epoch_end=True)
    trainer(EPOCHS, callbacks=[Stop(), keep], enable_checkpointing=True).fit(make(), loader())
    resumed = make()
    rest = fit(resumed, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert rest.rhos == whole.rhos[3 * stopped_after :]
    for (name, a), b in zip(
        straight.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_without_a_warm_up_nothing_changes_on_the_way() -> None:
    watch = fit(moco(warm_up=None))
    assert watch.rhos == [2.0] * BATCHES
    assert all(watch.negatives)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"uniform": 0.0}, "uniform=0.0 must be above 0"),
        ({"uniform": 1.0}, "uniform=1.0 must be above 0 and below 1"),
        ({"ramp": -0.1}, "ramp=-0.1 must be at least 0"),
        ({"uniform": 0.6, "ramp": 0.5}, "ramp=0.5 must be at least 0 and at most 0.4"),
        ({"grid": (0, 7)}, r"grid=\(0, 7\)"),
        ({"uniform": math.nan}, "uniform=nan"),
    ],
)
def test_bad_shares_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SaliencyWarmUp(**options)


def test_what_cannot_be_warmed_up_is_refused() -> None:
    with pytest.raises(ValueError, match="warm_up needs a masking"):
        moco(masking=None)
    module = moco()
    with pytest.raises(ValueError, match=r"trainer\.max_steps must be at least 1, or"):
        module.step_masking.start(pl.Trainer(max_epochs=-1, logger=False, accelerator="cpu"))
