"""What is encoded of the hard negatives: sizes, parts and steps, nothing drawn."""

import dataclasses
import pickle

import pytest
import torch

from salmask_plugin import NegativeEncoding

FORMS = {
    "half side": NegativeEncoding(side=0.5),
    "every second": NegativeEncoding(every=2),
    "half of the batch": NegativeEncoding(share=0.5),
    "all three": NegativeEncoding(0.75, 3, 0.4),
}


PARTS = [(0.5, 8, 4), (0.3, 8, 2), (0.01, 8, 2), (1.0, 8, 8), (0.5, 2, 2), (0.5, 3, 2), (0.5, 1, 1)]


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def form(request):
    return request.param


def negatives(channels=3, batch=5, copies=2, height=12, width=10):
    shape = (batch, copies, channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_the_defaults_are_all_of_them_as_they_are():
    paper, given = NegativeEncoding(), negatives()
    assert paper.chosen(given).data_ptr() == given.data_ptr()
    assert torch.equal(paper.chosen(given), given)
    assert paper.owners(5, "cpu") is None
    assert all(paper.falls_on(step) for step in range(5))
    assert paper.passes == 1


@pytest.mark.parametrize("channels", [1, 3, 4, 13])
def test_shapes_and_owners_belong_together(form, channels):
    given, state = negatives(channels), torch.get_rng_state()
    before = given.clone()
    chosen, owners = form.chosen(given), form.owners(5, "cpu")
    count = 5 if owners is None else len(owners)
    size = (round(12 * form.side), round(10 * form.side))
    assert chosen.shape == (count, 2, channels, *size)
    if owners is not None:
        assert owners.dtype == torch.int64
        assert owners.tolist() == list(range(count))
    if form.side == 1:
        assert torch.equal(chosen, given[:count])
    assert torch.equal(given, before)
    assert torch.equal(torch.get_rng_state(), state)
    last = form.chosen(given[:, :, -1:])
    torch.testing.assert_close(chosen[:, :, -1:], last)  # a channel comes from that channel alone


@pytest.mark.parametrize(("share", "batch", "count"), PARTS)
def test_a_small_batch_keeps_two_for_the_statistics_of_batch_norm(share, batch, count):
    part = NegativeEncoding(share=share)
    chosen = part.chosen(negatives(batch=batch, copies=1))
    assert len(chosen) == count
    owners = part.owners(batch, "cpu")
    assert count == (batch if owners is None else len(owners))
    if batch > 1:
        torch.nn.BatchNorm1d(3)(chosen.mean((1, 3, 4)))  # one value has no variance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtype_stays_and_constants_stay(form, dtype):
    given = torch.full((4, 1, 3, 8, 8), 0.5, dtype=dtype)
    chosen = form.chosen(given)
    assert chosen.dtype == dtype
    assert torch.equal(chosen, torch.full_like(chosen, 0.5))


def test_half_a_side_is_a_triangle_over_four_pixels():
    """Each pixel of the result weighs pixels by their distance from its centre, in loops."""
    given = negatives(1, 1, 1, 8, 6)
    found = NegativeEncoding(side=0.5).chosen(given)[0, 0, 0]
    for y in range(4):
        for x in range(3):
            total = weights = 0.0
            for row in range(8):
                for column in range(6):
                    down = 1 - abs(row + 0.5 - 2 * (y + 0.5)) / 2
                    across = 1 - abs(column + 0.5 - 2 * (x + 0.5)) / 2
                    weight = max(down, 0.0) * max(across, 0.0)
                    total += weight * float(given[0, 0, 0, row, column])
                    weights += weight
            assert float(found[y, x]) == pytest.approx(total / weights, abs=1e-5)


def test_steps_and_passes():
    every = NegativeEncoding(every=3)
    assert [step for step in range(9) if every.falls_on(step)] == [0, 3, 6]
    assert [form.passes for form in FORMS.values()] == pytest.approx([0.25, 0.5, 0.5, 0.075])


def test_it_is_a_value(form):
    assert pickle.loads(pickle.dumps(form)) == form
    assert hash(form) == hash(dataclasses.replace(form))


def test_words():
    assert NegativeEncoding().in_words() == "at full size, in every step, for all images"
    assert FORMS["all three"].in_words() == (
        "at 0.75 of the side, in one step of 3, for 0.4 of the batch"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 0.0}, r"side=0\.0 must be above 0 and at most 1"),
        ({"side": float("nan")}, "side=nan must be"),
        ({"share": 1.5}, r"share=1\.5 must be above 0"),
        ({"every": 0}, "every=0 must be at least 1"),
        ({"every": 2.0}, r"every=2\.0 must be a whole number"),
    ],
)
def test_values_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        NegativeEncoding(**changes)


def test_views_that_would_vanish():
    with pytest.raises(ValueError, match="less than a pixel"):
        NegativeEncoding(side=0.01).chosen(negatives())
