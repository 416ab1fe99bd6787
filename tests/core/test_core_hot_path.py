"""Masking does not wait for the device, does not loop over images, and compiles once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from oracles.waiting import CountOperations, NoWaiting
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from salmask_plugin import (
    BandsLocalizer,
    BlurFill,
    CenterLocalizer,
    FillMixture,
    FocalMask,
    GridMask,
    HighPassFilter,
    MaskFunctionLocalizer,
    Masking,
    MaskMixture,
    MatchedMask,
    MeanFill,
    MomentumLocalizer,
    NoiseFill,
    PermutedLocalizer,
    SaliencyMasking,
    SCDALocalizer,
    SystematicMask,
    TileFill,
    TopMask,
    UniformLocalizer,
    step_generator,
)
from salmask_plugin.localizers.frozen import FrozenNetwork
from salmask_plugin.masks.pixels import to_pixels

SAMPLERS = [
    GridMask(),
    GridMask((0.4, 0.7), background=False, per_channel=True),
    FocalMask(),
    TopMask(),
    SystematicMask(),
    MatchedMask(),
    MatchedMask(pool="background"),
    MaskMixture((FocalMask(), GridMask(), GridMask(per_channel=True)), (0.2, 0.24, 0.56)),
]
FILLS = [
    MeanFill(),
    BlurFill(5, 2.0),
    NoiseFill(),
    TileFill(),
    FillMixture((MeanFill(), NoiseFill()), (0.5, 0.5)),
]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 5, 3, 4, padding=1), nn.BatchNorm2d(5), nn.ReLU())


def localizers(device: str = "cpu") -> dict[str, Any]:
    scda = SCDALocalizer(FrozenNetwork(network()), input_size=None)
    return {
        "uniform": UniformLocalizer(),
        "center": CenterLocalizer(),
        "scda": scda,
        "permuted": PermutedLocalizer(scda),
        "momentum": MomentumLocalizer(network().to(device), "1"),
        "bands": BandsLocalizer(scda, (2, 0, 2)),
        "function": MaskFunctionLocalizer(lambda images: images.mean(1)),
    }


def step(masking: SaliencyMasking, batch: int = 6, seed: int = 0) -> Any:
    views = torch.randn((2, batch, 3, 28, 35), generator=torch.Generator().manual_seed(seed))
    return masking(*views, step_generator(0, 0, seed))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("fill", FILLS, ids=repr)
def test_no_sampler_and_no_fill_waits(sampler: Any, fill: Any) -> None:
    masking = SaliencyMasking(
        UniformLocalizer(),
        query=Masking(sampler, fill),
        negative=Masking(sampler, fill),
        num_negatives=2,
        view_filter=HighPassFilter(5, 2.0),
        branch="both",
        probability=0.5,
    )
    step(masking)  # kernels of blur are built once, on the host
    with NoWaiting():
        step(masking)


@pytest.mark.parametrize("name", localizers())
def test_no_localizer_waits(name: str) -> None:
    masking = SaliencyMasking(localizers()[name], query=Masking(GridMask(), MeanFill()))
    with NoWaiting():
        step(masking)


@pytest.mark.parametrize("name", localizers())
def test_no_localizer_sends_numbers_to_the_device(name: str) -> None:
    views = torch.randn((2, 6, 3, 28, 35), device="meta")
    localizer = localizers("meta")[name]
    localize = SaliencyMasking(localizer, query=Masking(GridMask(), MeanFill())).localize
    localize(*views)  # weights move there once
    with NoWaiting():
        localize(*views)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("fill", FILLS, ids=repr)
def test_no_sampler_and_no_fill_sends_numbers_to_the_device(sampler: Any, fill: Any) -> None:
    masking = SaliencyMasking(
        UniformLocalizer(), query=Masking(sampler, fill), view_filter=HighPassFilter(5, 2.0)
    )
    views = torch.randn((2, 6, 3, 28, 35), device="meta")
    masking(*views)  # kernels move there once
    with NoWaiting():
        masking(*views)


@pytest.mark.parametrize(
    "sends",
    [
        lambda x: x[:, [2, 1]],
        lambda x: x[[2, 1]],
        lambda x: x + torch.tensor([1.0], device=x.device),
        lambda x: x + x.new_tensor([1.0]),
        lambda x: x + torch.ones(1).to(x.device),
    ],
)
def test_the_trace_sees_what_is_sent(sends: Callable[[Tensor], Any]) -> None:
    with pytest.raises(AssertionError, match="waits"), NoWaiting():
        sends(torch.randn((3, 4), device="meta"))


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: x.clone().masked_fill_(x > 0, 0)[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: (x > 0).nonzero(),
        lambda x: x.index_put((x > 0,), torch.tensor(1.0)),
    ],
)
def test_the_trace_sees_what_waits(waits: Callable[[Tensor], Any]) -> None:
    with pytest.raises(AssertionError, match="waits"), NoWaiting():
        waits(torch.randn(3, 4))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("fill", FILLS, ids=repr)
def test_no_loop_over_images(sampler: Any, fill: Any) -> None:
    masking = SaliencyMasking(
        CenterLocalizer(), query=Masking(sampler, fill), negative=Masking(sampler, fill)
    )
    step(masking)
    counts = []
    for batch in (2, 9):
        with CountOperations() as operations:
            step(masking, batch)
        counts.append(operations.count)
    assert counts[0] == counts[1] > 5, "operations grow with the batch"


def test_one_forward_of_the_localizer_for_both_views() -> None:
    seen: list[int] = []
    net = network()
    net[0].register_forward_hook(lambda module, args, output: seen.append(len(output)))
    localizer = SCDALocalizer(FrozenNetwork(net), input_size=None)
    step(SaliencyMasking(localizer, query=Masking(GridMask(), MeanFill())))
    assert seen == [12]


def test_no_blur_where_no_cell_can_be_shown() -> None:
    class Counting:
        calls = 0

        def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
            Counting.calls += 1
            return BlurFill(5, 2.0)(images, generator)

    whole = SaliencyMasking(UniformLocalizer(), Masking(GridMask(), Counting()), probability=0)
    views = step(whole)
    assert Counting.calls == 0
    assert not views.query_mask.any()
    step(SaliencyMasking(UniformLocalizer(), Masking(GridMask(), Counting()), probability=0.1))
    assert Counting.calls == 1


@pytest.mark.parametrize("fill", [MeanFill(), BlurFill(5, 2.0), NoiseFill()], ids=repr)
def test_the_compiled_half_is_compiled_once(fill: Any) -> None:
    """Draw outside, apply inside, as docs/concepts.md says."""
    torch._dynamo.reset()
    counter = CompileCounter()
    masking = Masking(GridMask(), fill)
    compiled = torch.compile(masking.apply, backend=counter, fullgraph=True)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn((4, 3, 28, 28), generator=generator)
        mask = to_pixels(masking.sampler(torch.rand(4, 7, 7, generator=generator)), images)
        shown = compiled(images, mask)[0]
        assert counter.frame_count == 1
        if not isinstance(fill, NoiseFill):
            assert torch.equal(shown, masking.apply(images, mask)[0])


def test_a_compiled_blur_builds_its_kernel_once() -> None:
    """torch.compile looks through lru_cache: the kernel must not be built inside the graph."""
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    torch.compile(BlurFill(5, 2.0), backend=keep, fullgraph=True)(torch.randn(2, 3, 28, 35))
    called = [node.target for node in graphs[0].graph.nodes if node.op.startswith("call")]
    assert any("matmul" in str(target) for target in called)
    assert not {torch.arange, torch.zeros} & set(called)


@pytest.mark.gpu
@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("fill", FILLS, ids=repr)
def test_no_synchronisation_on_a_gpu(sampler: Any, fill: Any) -> None:
    scda = SCDALocalizer(FrozenNetwork(network(), precision="bfloat16"), input_size=None)
    masking = SaliencyMasking(
        scda,
        query=Masking(sampler, fill),
        negative=Masking(sampler, fill),
        view_filter=HighPassFilter(5, 2.0),
        probability=0.5,
    )
    views = torch.randn((2, 6, 3, 28, 35), device="cuda")
    masking(*views, step_generator(0, 0, 0, "cuda"))  # weights and kernels move there once
    torch.cuda.set_sync_debug_mode("error")
    try:
        masking(*views, step_generator(0, 0, 1, "cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
