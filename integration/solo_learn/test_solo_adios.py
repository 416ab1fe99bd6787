"""ADIOS in solo-learn's methods and Lightning's trainer, on a small network in this process."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from solo_toy import BATCH, SIZE, make_batch, recipe
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

pytestmark = [pytest.mark.solo, pytest.mark.filterwarnings("ignore")]

METHODS = ["salmask_adios_simclr", "salmask_adios_mocov2plus"]
BATCHES = 3
Make = Callable[..., Any]


def small_network(width: int = 512) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, width, 3, stride=2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


@pytest.fixture
def make(build: Make) -> Make:
    """Return make(method, recipe or None, **changes of the node) -> a method that logs."""

    def small(method: str, name: str | None = "adios", options: Any = None, **changes: Any) -> Any:
        node = None if name is None else recipe(name, num_masks=3, width=8, **changes)
        kwargs = {"proj_hidden_dim": 9, "proj_output_dim": 5} | (options or {})
        model = build(method, node, **kwargs)
        torch.manual_seed(1)
        model.backbone = small_network()
        if hasattr(model, "momentum_backbone"):
            model.momentum_backbone = copy.deepcopy(model.backbone).requires_grad_(False)
        del model.log, model.log_dict
        return model

    return small


def loader() -> DataLoader[Any]:
    return DataLoader([make_batch(seed) for seed in range(BATCHES)], batch_size=None)


def trainer(*callbacks: Any, epochs: int = 1, **options: Any) -> Any:
    from lightning.pytorch import Trainer

    settings: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": list(callbacks),
    }
    return Trainer(**(settings | options))


def step_watcher(before: Any = None, after: Any = None) -> Any:
    """A callback that calls before(player) and after(player) around each optimiser's step."""
    from lightning.pytorch import Callback

    class Watch(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            for player, optimizer in enumerate(trainer.optimizers):
                if before is not None:
                    optimizer.register_step_pre_hook(lambda *_, p=player: before(p))
                if after is not None:
                    optimizer.register_step_post_hook(lambda *_, p=player: after(p))

    return Watch()


def state(module: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def gradients(module: Any, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in module.named_parameters()
        if name.startswith(prefixes) and parameter.grad is not None
    }


def direct_loss(module: Any, method: str, batch: list[Any], masks: Tensor) -> Tensor:
    """sum_n (SimCLR) or mean_n (MoCo) of L, by solo-learn's own loss functions, all at once."""
    from solo.losses.mocov2plus import mocov2plus_loss_func
    from solo.losses.simclr import simclr_loss_func

    indexes, (x1, x2), _ = batch

    def project(images: Tensor) -> Tensor:
        return module.projector(module.backbone(images))

    @torch.no_grad()
    def key(images: Tensor) -> Tensor:
        return F.normalize(module.momentum_projector(module.momentum_backbone(images)))

    terms = []
    for n in range(masks.shape[1]):
        occluded = x2 * (1 - masks[:, n : n + 1])
        if method == "salmask_adios_simclr":
            z = torch.cat((project(x1), project(occluded)))
            terms.append(simclr_loss_func(z, indexes.repeat(2), module.temperature))
        else:
            q1, q2 = F.normalize(project(x1)), F.normalize(project(occluded))
            queue = module.queue[0].clone()
            forward = mocov2plus_loss_func(q1, key(occluded), queue, module.temperature)
            backward = mocov2plus_loss_func(q2, key(x1), queue, module.temperature)
            terms.append((forward + backward) / 2)
    total = torch.stack(terms).sum()
    return total if method == "salmask_adios_simclr" else total / len(terms)


@pytest.mark.parametrize("method", METHODS)
def test_the_two_players_follow_opposite_gradients_of_one_loss(make: Make, method: str) -> None:
    """Gradients at each step against the direct sum of all terms, on a copy in the same state."""
    model, oracle = make(method, sparsity=0.5, entropy=0.3), make(method)
    encoder = ("backbone.", "projector.", "classifier.")
    batches = [make_batch(seed) for seed in range(BATCHES)]
    found: list[int] = []

    def compare(player: int) -> None:
        batch = batches[len(found) // 2]
        # Running statistics are set aside during the occluder's turn.
        oracle.load_state_dict(model.state_dict(), strict=False)
        oracle.zero_grad()
        masks = oracle.occluder(batch[1][1])
        if player == 0:
            features = oracle.backbone(batch[1][0]).detach()
            loss = direct_loss(oracle, method, batch, masks.detach())
            loss = loss + F.cross_entropy(oracle.classifier(features), batch[2])
        else:
            areas = masks.mean((2, 3))
            penalty = (1 / torch.sin(torch.pi * areas)).mean(0).sum()
            entropy = (areas.softmax(1) * areas.softmax(1).log()).sum()
            loss = -(direct_loss(oracle, method, batch, masks) - 0.5 * penalty + 0.3 * entropy)
        loss.backward()
        expected = gradients(oracle, encoder if player == 0 else ("occluder.",))
        own = gradients(model, encoder if player == 0 else ("occluder.",))
        assert len(expected) > 6
        torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-6)
        found.append(player)

    trainer(step_watcher(before=compare)).fit(model, loader())
    assert found == [0, 1] * BATCHES


@pytest.mark.parametrize("name", ["adios", "adios_s"])
@pytest.mark.parametrize("method", METHODS)
def test_the_occluders_turn_moves_the_occluder_alone(make: Make, method: str, name: str) -> None:
    """Nothing else: no encoder, momentum encoder, queue, classifier, nor running statistics."""
    model = make(method, name)
    changed: list[set[str]] = []
    last = [state(model)]

    def compare(player: int) -> None:
        now = state(model)
        changed.append({key for key in now if not torch.equal(now[key], last[0][key])})
        last[0] = now

    trainer(step_watcher(after=compare), limit_train_batches=1).fit(model, loader())
    first, second = changed
    assert second == {key for key, _ in model.named_parameters() if key.startswith("occluder.")}
    assert not any(key.startswith("occluder.") for key in first)
    assert {"backbone.0.weight", "projector.0.weight", "classifier.weight"} <= first
    # One clean and one occluded forward, whatever N.
    assert int(model.backbone[1].num_batches_tracked) == 2
    assert all(parameter.requires_grad for parameter in model.occluder.parameters())
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())
    if method == "salmask_adios_mocov2plus":
        assert "queue" not in first | second
        assert not any(key.startswith("momentum") and "weight" in key for key in first)
        assert int(model.momentum_backbone[1].num_batches_tracked) == 2


def test_occluder_may_update_statistics_as_released(make: Make) -> None:
    model = make("salmask_adios_simclr", occluder_updates_statistics=True)
    trainer(limit_train_batches=1).fit(model, loader())
    assert int(model.backbone[1].num_batches_tracked) == 2 + 1 + 3


def test_clean_keys_enter_the_one_queue_after_both_turns(make: Make) -> None:
    model = make("salmask_adios_mocov2plus")
    start, keys = model.queue.clone(), []
    forward = model._shared_step_momentum
    model._shared_step_momentum = lambda *a: keys.append(forward(*a)) or keys[-1]
    trainer(limit_train_batches=1).fit(model, loader())
    assert start.shape == (1, 5, 4 * BATCH)
    assert int(model.queue_ptr) == BATCH
    torch.testing.assert_close(model.queue[0, :, :BATCH].T, keys[0]["z"])
    assert torch.equal(model.queue[:, :, BATCH:], start[:, :, BATCH:])


@pytest.mark.parametrize("method", METHODS)
def test_rates_and_tau_are_the_hosts_own_per_batch(make: Make, method: str) -> None:
    """Against the plain method in the same trainer, whose steps are its batches."""
    from lightning.pytorch import Callback

    class Rates(Callback):
        def __init__(self) -> None:
            self.found: list[tuple[float, ...]] = []

        def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            tau = getattr(pl_module, "momentum_updater", None)
            rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
            self.found.append((*rates, tau.cur_tau if tau else 0.0))

    ours, plain = Rates(), Rates()
    run = trainer(ours, epochs=4)
    run.fit(make(method, mask_warmup_epochs=0), loader())
    trainer(plain, epochs=4).fit(make(method.replace("salmask_adios_", ""), None), loader())
    assert ours.found == plain.found
    assert len(ours.found) == 4 * BATCHES
    assert run.global_step == 2 * 4 * BATCHES
    # The occluder's own cosine has come to its end.
    assert run.optimizers[1].param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_schedules_that_count_epochs_move_at_their_end(build: Make) -> None:
    steps = {"scheduler.name": "step", "scheduler.lr_decay_steps": [1]}
    model = build("salmask_adios_simclr", recipe("adios_s", width=8), overrides=steps)
    model.backbone = small_network()
    del model.log, model.log_dict
    rates: list[float] = []
    watch = step_watcher(after=lambda player: rates.append(run.optimizers[0].param_groups[0]["lr"]))
    run = trainer(watch, epochs=2)
    run.fit(model, loader())
    first = rates[0]
    assert rates[::2] == pytest.approx([first] * BATCHES + [first / 10] * BATCHES)


@pytest.mark.parametrize("method", METHODS)
def test_memory_of_all_masks_is_near_that_of_one(make: Make, method: str) -> None:
    class Saved:
        """A tensor kept for a backward pass; counts the bytes alive."""

        alive = peak = 0

        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor
            Saved.alive += tensor.nbytes
            Saved.peak = max(Saved.peak, Saved.alive)

        def __del__(self) -> None:
            Saved.alive -= self.tensor.nbytes

    def peak(name: str) -> int:
        model = make(method, name)
        Saved.alive = Saved.peak = 0
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            trainer(limit_train_batches=1).fit(model, loader())
        assert Saved.alive == 0
        return Saved.peak

    assert peak("adios") < 1.05 * peak("adios_s")


@pytest.mark.parametrize("name", ["adios", "adios_s"])
@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_the_uninterrupted_one(
    make: Make, tmp_path: Any, method: str, name: str
) -> None:
    from lightning.pytorch import Callback

    class Save(Callback):  # where solo-learn's Checkpointer saves
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(tmp_path / "first.ckpt")

    whole = make(method, name)
    trainer(Save(), epochs=3).fit(whole, loader())
    saved = torch.load(tmp_path / "first.ckpt", weights_only=True)
    assert len(saved["optimizer_states"]) == 2
    assert saved["salmask"]["batches_seen"] == BATCHES

    resumed = make(method, name)
    torch.manual_seed(9)
    resumed.occluder.head.reset_parameters()
    trainer(epochs=3).fit(resumed, loader(), ckpt_path=str(tmp_path / "first.ckpt"))
    torch.testing.assert_close(state(resumed), state(whole), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"salmask\.sparsity \(.* there, 0\.1 here\)"):
        make(method, name, sparsity=0.1).on_load_checkpoint(saved)


@pytest.mark.parametrize("method", METHODS)
def test_bf16_trains_both_players(make: Make, method: str) -> None:
    model = make(method)
    before = state(model)
    trainer(precision="bf16-mixed").fit(model, loader())
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        if parameter.ndim > 1:
            assert not torch.equal(parameter, before[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_float16_scales_and_skips_each_player_on_its_own(make: Make, method: str) -> None:
    """A gradient scaler on the CPU, whose first scale is too high for both players."""
    from lightning.pytorch.plugins.precision import MixedPrecision

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=10**6)
    taken: list[int] = []
    model = make(method)
    before = state(model)
    half = MixedPrecision("16-mixed", "cpu", scaler)
    run = trainer(step_watcher(after=taken.append), epochs=8, plugins=[half])
    run.fit(model, loader())
    assert {0, 1} == set(taken)
    assert len(taken) < 2 * 8 * BATCHES  # some steps were skipped
    assert scaler.get_scale() < 2.0**40
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        if parameter.ndim > 1:
            assert not torch.equal(parameter, before[name]), name


def test_the_networks_start_as_the_hosts_own(build: Make) -> None:
    """The occluder's initialisation draws nothing from the host's stream."""
    plain = build("mocov2plus")
    draw = torch.rand(1)
    ours = build("salmask_adios_mocov2plus", recipe("adios_s"))
    assert torch.equal(torch.rand(1), draw)
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, ours.state_dict()[name]), name
    assert ours.occluder.image_size[0] == SIZE


def test_a_batch_of_one_is_refused(make: Make) -> None:
    one = [torch.arange(1), [torch.ones(1, 3, SIZE, SIZE)] * 2, torch.zeros(1).long()]
    with pytest.raises(ValueError, match="a batch of 1 has no negatives"):
        trainer().fit(make("salmask_adios_simclr"), DataLoader([one], batch_size=None))


def test_lightning_itself_neither_accumulates_nor_clips_here(make: Make) -> None:
    """Why both settings are refused before training (docs/solo_learn.md)."""
    for setting, message in (
        ({"accumulate_grad_batches": 2}, "gradient accumulation is not supported for manual"),
        ({"gradient_clip_val": 1.0}, "gradient clipping is not supported for manual"),
    ):
        with pytest.raises(Exception, match=message):
            trainer(**setting).fit(make("salmask_adios_simclr"), loader())
