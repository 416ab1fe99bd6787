"""Masks, fills and the loss for any shape, grid, ratio, seed and dtype."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salmask_plugin import (
    BlurFill,
    FocalMask,
    GridMask,
    Masking,
    MaskMixture,
    MatchedMask,
    MeanFill,
    NoiseFill,
    SaliencyMasking,
    SystematicMask,
    TileFill,
    TopMask,
    info_nce,
    step_generator,
)

EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
SAMPLERS = {
    "grid": lambda ratio: GridMask(ratio=ratio),
    "object": lambda ratio: GridMask(ratio=ratio, background=False),
    "channels": lambda ratio: GridMask(ratio=ratio, per_channel=True),
    "top": lambda ratio: TopMask(ratio=ratio),
    "systematic": lambda ratio: SystematicMask(ratio=ratio),
    "matched": lambda ratio: MatchedMask(ratio=ratio),
    "mixture": lambda ratio: MaskMixture((GridMask(ratio=ratio), TopMask(ratio=ratio)), (0.4, 0.6)),
    "focal": lambda ratio: FocalMask(size=max(ratio[1], 0.1)),
}
FILLS = [MeanFill(), NoiseFill(std=0.3), BlurFill(3, 1.0), TileFill()]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

sides = st.integers(16, 41)
cells = st.integers(1, 8)
ratios = st.tuples(st.floats(0.02, 0.9), st.floats(0.02, 0.9)).map(lambda pair: tuple(sorted(pair)))
seeds = st.integers(0, 2**40)
batches = st.integers(1, 4)
steps = st.integers(0, 9**9)


def maps(batch, rows, columns, seed, dtype):
    generator = torch.Generator().manual_seed(seed % 2**31)
    return torch.rand((batch, rows, columns), generator=generator).to(dtype)


@pytest.mark.parametrize("kind", SAMPLERS)
@given(
    batch=batches, rows=cells, columns=cells, ratio=ratios, seed=seeds, step=st.integers(0, 9**9)
)
@EXAMPLES
def test_masks_are_cells_of_their_own_image(kind, batch, rows, columns, ratio, seed, step):
    """Right shape and type; drawn from (seed, rank, step); no image changes another's mask."""
    sampler, saliency = SAMPLERS[kind](ratio), maps(batch, rows, columns, seed, torch.float32)
    mask = sampler(saliency, step_generator(seed, 0, step))
    assert mask.dtype == torch.bool
    assert mask.ndim == 4
    assert len(mask) == batch
    if kind != "focal":
        assert mask.shape[2] % rows == 0
        assert mask.shape[3] % columns == 0
        shares = mask.flatten(1).float().mean(1)
        # Rounded up or down to whole cells, at least one of them.
        most = max(math.ceil(ratio[1] * rows * columns), 1) / (rows * columns)
        assert (shares <= most + 1e-6).all()
    assert torch.equal(mask, sampler(saliency, step_generator(seed, 0, step)))
    changed = saliency.clone()
    changed[-1] = changed[-1].flip(0, 1) * 7 - 3
    again = sampler(changed, step_generator(seed, 0, step))
    assert torch.equal(mask[:-1], again[:-1])


@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: type(fill).__name__)
@given(batch=batches, height=sides, width=sides, seed=seeds, dtype=st.sampled_from(DTYPES))
@EXAMPLES
def test_fills_answer_for_the_whole_image_and_leave_it_alone(
    fill, batch, height, width, seed, dtype
):
    images = maps(batch * 3, height, width, seed, dtype).view(batch, 3, height, width)
    before = images.clone()
    content = fill(images, torch.Generator().manual_seed(seed % 2**31))
    assert torch.equal(images, before)
    assert content.expand_as(images).dtype == dtype
    assert torch.isfinite(content).all()
    if not isinstance(fill, NoiseFill):
        assert content.max() <= images.max() + 0.01
        assert content.min() >= images.min() - 0.01
    alone = fill(images[:1], torch.Generator().manual_seed(seed % 2**31))
    if not isinstance(fill, NoiseFill | TileFill):
        torch.testing.assert_close(content[:1], alone, rtol=1e-2, atol=1e-2)


@given(
    batch=batches,
    height=sides,
    width=sides,
    rows=cells,
    columns=cells,
    ratio=ratios,
    seed=seeds,
    dtype=st.sampled_from(DTYPES),
)
@EXAMPLES
def test_views_of_a_step(batch, height, width, rows, columns, ratio, seed, dtype):
    """Unmasked pixels are the view's own, the key is untouched, dtypes stay, draws repeat."""

    def localizer(images):
        return maps(len(images), rows, columns, seed, torch.float32)

    masking = SaliencyMasking(
        localizer,
        query=Masking(GridMask(ratio=ratio), MeanFill()),
        negative=Masking(GridMask(ratio=ratio, background=False), MeanFill()),
    )
    query, key = maps(6 * batch, height, width, seed, dtype).view(2, batch, 3, height, width)
    views = masking(query, key, step_generator(seed, 0, 3))
    assert views.query.dtype == views.negatives.dtype == dtype
    assert torch.equal(views.key, key)
    shown = torch.nn.functional.interpolate(views.query_mask.float(), (height, width)).bool()
    assert torch.equal(torch.where(shown, query, views.query), torch.where(shown, query, query))
    assert (views.negatives != key[:, None]).any(dim=(2, 3, 4)).sum() <= batch
    again = masking(query, key, step_generator(seed, 0, 3))
    assert torch.equal(views.query_mask, again.query_mask)


@given(
    batch=batches,
    width=st.integers(1, 9),
    queue=st.integers(1, 9),
    negatives=st.integers(1, 3),
    scale=st.floats(1e-3, 1e3),
    seed=seeds,
    dtype=st.sampled_from(DTYPES),
)
@EXAMPLES
def test_the_loss_ignores_lengths_and_orders(batch, width, queue, negatives, scale, seed, dtype):
    """Cosines have no length; the queue has no order; a further negative never lowers the loss."""

    def normal(*shape):
        generator = torch.Generator().manual_seed((seed + len(shape)) % 2**31)
        return (torch.randn(shape, generator=generator) + 0.01).to(dtype)

    query, key, bank = normal(batch, width), normal(batch, width).flip(0), normal(queue, width)
    hard = normal(batch, negatives, width)
    loss = info_nce(query, key, bank, hard)
    assert torch.isfinite(loss)
    close = (
        {"rtol": 1e-4, "atol": 1e-4}
        if dtype in (torch.float32, torch.float64)
        else {"rtol": 5e-2, "atol": 5e-2}
    )
    torch.testing.assert_close(info_nce(query * scale, key, bank, hard), loss, **close)
    torch.testing.assert_close(info_nce(query, key, bank.flip(0), hard), loss, **close)
    assert info_nce(query, key, bank, hard) >= info_nce(query, key, bank) - 1e-4
