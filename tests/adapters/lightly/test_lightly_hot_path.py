"""Whole training steps: nothing waits for the device, nothing compiles twice, any precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightly_toy as toy
import numpy as np
import pytest
import torch
from oracles.waiting import NoWaiting
from pytorch_lightning import Callback, LightningModule
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils.data import DataLoader

from salmask_plugin import CachedLocalizer, MomentumLocalizer, NegativeEncoding
from salmask_plugin.adapters.lightly import (
    ADIOSMoCoV2,
    ADIOSSimCLR,
    HardNegativeNTXentLoss,
    MaskedMoCoV2,
    MaskedSimCLR,
)
from salmask_plugin.adapters.lightly.cached_maps import MapsOfViews
from salmask_plugin.localizers.map_store import CacheManifest

pytestmark = pytest.mark.filterwarnings("ignore:The hard negatives dominate")


LESS = NegativeEncoding(side=0.5, every=2, share=0.5)


def moco(masking: Any = None, **options: Any) -> MaskedMoCoV2:
    settings: dict[str, Any] = {"queue_size": 24, "split_batch_size": 4} | options
    return MaskedMoCoV2(toy.network(), feature_dim=10, masking=masking, **settings)


def simclr(masking: Any = None, **options: Any) -> MaskedSimCLR:
    return MaskedSimCLR(toy.network(), feature_dim=10, masking=masking, warmup_epochs=0, **options)


def momentum(masking: Callable[..., Any], **options: Any) -> LightningModule:
    waiting = partial(MomentumLocalizer, layer="3")
    return masking(toy.masking(localizer=waiting, view_filter=toy.high_pass()), **options)


def adios(kind: Any, **options: Any) -> LightningModule:
    module: LightningModule = kind(
        toy.network(), feature_dim=10, image_size=(16, 20), warmup_epochs=0, width=8, **options
    )
    return module


MODULES: dict[str, Callable[[], LightningModule]] = {
    "moco baseline": moco,
    "moco": lambda: moco(toy.masking(num_negatives=2)),
    "moco strict": lambda: moco(toy.masking(), positive_in_denominator=False),
    "moco momentum": lambda: momentum(moco),
    "moco cached": lambda: moco(toy.masking(localizer=cached())),
    "moco, less negatives": lambda: moco(toy.masking(), negative_encoding=LESS),
    "simclr, less negatives": lambda: simclr(toy.masking(), negative_encoding=LESS),
    "simclr baseline": simclr,
    "simclr": lambda: simclr(toy.masking()),
    "simclr strict": lambda: simclr(toy.masking(), positive_in_denominator=False),
    "adios moco": lambda: adios(ADIOSMoCoV2, queue_size=24),
    "adios simclr": lambda: adios(ADIOSSimCLR),
}


def cached() -> CachedLocalizer:
    maps = np.random.default_rng(0).random((64, 6, 6), dtype=np.float32)
    manifest = CacheManifest("noise", "none", "none", "toy", 64, (6, 6))
    return CachedLocalizer(maps, manifest, grid=(4, 4))


class Placed(toy.Pairs):
    """Pairs with placements, large enough for the occlusion model."""

    def __init__(self) -> None:
        super().__init__(64, 16, 20)

    def __getitem__(self, index: int) -> Any:
        views, label = super().__getitem__(index)
        return views, label, [torch.tensor([0.1, 0.2, 0.9, 0.8, index % 2])] * 2, index


def batches() -> DataLoader[Any]:
    """Eight pairs each, with maps."""
    return DataLoader(Placed(), batch_size=8, collate_fn=MapsOfViews(cached()))


def traced(module: LightningModule) -> None:
    """Let every training step of ``module`` run under the trace."""
    plain = module.training_step

    def step(*args: Any, **kwargs: Any) -> Any:
        with NoWaiting():
            return plain(*args, **kwargs)

    module.training_step = step  # type: ignore[method-assign]


@pytest.mark.parametrize("name", MODULES)
def test_no_step_waits_for_the_device(name: str) -> None:
    module = MODULES[name]()
    traced(module)
    toy.trainer(max_steps=4, log_every_n_steps=99).fit(module, batches())


@pytest.mark.parametrize("name", ["moco", "simclr"])
def test_the_trace_sees_a_look_at_the_loss(name: str) -> None:
    module = MODULES[name]()
    traced(module)
    with pytest.raises(AssertionError, match="waits"):
        toy.trainer(max_steps=4, log_every_n_steps=1).fit(module, batches())


class Frames(Callback):
    """How many frames were compiled after each step."""

    def __init__(self, counter: CompileCounter) -> None:
        self.counter = counter
        self.counts: list[int] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.counts.append(self.counter.frame_count)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", ["moco baseline", "moco", "moco momentum", "simclr"])
def test_compiled_encoders_are_compiled_in_the_first_step_alone(name: str) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    torch.manual_seed(3)
    module: Any = MODULES[name]()
    torch.manual_seed(3)
    plain: Any = MODULES[name]()
    for part in ("backbone", "projection_head", "key_backbone", "key_projection_head"):
        if hasattr(module, part):
            getattr(module, part).compile(backend=counter)
    frames = Frames(counter)
    for each, callbacks in ((module, [frames]), (plain, [])):
        torch.manual_seed(5)
        toy.trainer(callbacks=callbacks).fit(each, toy.loader(40))
    assert len(frames.counts) == 5
    assert frames.counts[0] > 0
    assert set(frames.counts) == {frames.counts[0]}
    for (key, a), b in zip(module.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=key)


class LossInputs(Callback):
    """The loss, and what it was made of."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"])


@pytest.mark.parametrize("name", ["moco", "moco strict", "simclr", "moco momentum"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_losses_finite_and_logits_float32(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    logits = HardNegativeNTXentLoss._logits

    def watch(self: Any, query: Tensor, key: Tensor) -> Any:
        found = logits(self, query, key)
        seen.append((query.dtype, found[0].dtype))
        return found

    monkeypatch.setattr(HardNegativeNTXentLoss, "_logits", watch)
    module: Any = MODULES[name]()
    embedded: list[torch.dtype] = []
    module.projection_head.register_forward_hook(lambda *x: embedded.append(x[2].dtype))
    plain = module.training_step

    def step(*args: Any) -> Any:
        with torch.autocast("cpu", dtype=dtype):
            return plain(*args)

    module.training_step = step
    losses = LossInputs()
    toy.trainer(callbacks=[losses]).fit(module, toy.loader())
    assert len(losses.losses) == 3
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.losses)
    assert set(embedded) == {dtype}
    assert set(seen) == {(torch.float32, torch.float32)}


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODULES)
def test_no_step_synchronises_on_a_gpu(name: str) -> None:
    """From the second step on; the first moves weights and kernels."""
    module = MODULES[name]()
    plain = module.training_step
    steps: list[int] = []

    def step(*args: Any, **kwargs: Any) -> Any:
        torch.cuda.set_sync_debug_mode("error" if steps else "default")
        steps.append(1)
        try:
            return plain(*args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    module.training_step = step  # type: ignore[method-assign]
    toy.trainer(max_steps=4, log_every_n_steps=99, accelerator="gpu").fit(module, batches())
