import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.contrast import info_nce_by_hand
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin import InfoNCELoss, info_nce
from salmask_plugin.losses import add_hard_negatives, hard_similarity

B, D, K, M = 5, 7, 11, 3


@pytest.fixture
def embeddings(generator) -> dict[str, Tensor]:
    """Query, key (B, D), queue (K, D) and M hard negatives (B, M, D), not normalised, float64."""
    shapes = {"query": (B, D), "key": (B, D), "negatives": (K, D), "hard_negatives": (B, M, D)}
    return {
        name: 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("positive_in_denominator", [True, False])
@pytest.mark.parametrize("hard", [None, 1, 3])
@pytest.mark.parametrize(("temperature", "rho", "bias"), [(0.2, 2.0, 0.0), (0.07, 1.0, -1.5)])
def test_equals_the_hand_computation(
    embeddings, positive_in_denominator, hard, temperature, rho, bias
):
    embeddings["hard_negatives"] = (
        embeddings["hard_negatives"][:, :hard] if hard is not None else None
    )
    settings_ = {
        "temperature": temperature,
        "rho": rho,
        "positive_in_denominator": positive_in_denominator,
    }
    actual = info_nce(**embeddings, **settings_, hard_negative_bias=bias)
    lists = {k: v.tolist() if v is not None else None for k, v in embeddings.items()}
    assert actual.item() == pytest.approx(info_nce_by_hand(**lists, **settings_, bias=bias))
    if hard == 1:
        embeddings["hard_negatives"] = embeddings["hard_negatives"][:, 0]
        flat = info_nce(**embeddings, **settings_, hard_negative_bias=bias)
        assert flat.item() == pytest.approx(actual.item())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 5),
    st.integers(1, 4),
    st.floats(0.05, 1.0),
    st.floats(0.0, 4.0),
    st.integers(0, 2**31),
)
def test_equals_the_hand_computation_for_any_sizes(b, d, k, m, temperature, rho, seed):
    generator = torch.Generator().manual_seed(seed)
    query, key, negatives, hard = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((b, d), (b, d), (k, d), (b, m, d))
    )
    actual = info_nce(query, key, negatives, hard, temperature=temperature, rho=rho)
    expected = info_nce_by_hand(
        *(x.tolist() for x in (query, key, negatives, hard)), temperature=temperature, rho=rho
    )
    assert actual.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_without_hard_negatives_equals_cross_entropy(embeddings):
    query, key, negatives = (
        F.normalize(embeddings[n], dim=1) for n in ("query", "key", "negatives")
    )
    logits = torch.cat(((query * key).sum(1, keepdim=True), query @ negatives.T), 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(B, dtype=torch.long))
    assert info_nce(query, key, negatives).item() == pytest.approx(expected.item())


def test_strict_equation_2_lacks_the_positive_in_the_denominator(embeddings):
    one = {k: v[:1] if k != "negatives" else v for k, v in embeddings.items()}
    query, key = (F.normalize(one[n], dim=1) for n in ("query", "key"))
    share = math.exp(-info_nce(**one).item())  # the positive's share of the softmax
    strict = info_nce(**one, positive_in_denominator=False).item()
    assert strict == pytest.approx(-math.log(share / (1 - share)))
    alone = info_nce(query, key, key, positive_in_denominator=False)
    assert alone.item() == pytest.approx(0, abs=1e-12)  # the loss is no longer bounded by zero
    assert info_nce(query, query, -query, positive_in_denominator=False).item() < 0


def released_hard_logits(query: Tensor, hard: Tensor) -> Tensor:
    """Released rule (defect B2): the views are stacked as (1, B, ...), then indexed [:, 0]."""
    stacked = hard[None]  # (1, B, D): axis 0 was meant to hold the images
    return torch.einsum("bd,nd->bn", query, stacked[:, 0])


def test_hard_negative_i_belongs_to_image_i(embeddings):
    """Defect B2: permuting the images permutes the similarities."""
    query, hard = (F.normalize(embeddings[n], dim=-1) for n in ("query", "hard_negatives"))
    order = torch.tensor([3, 0, 4, 1, 2])
    ours = hard_similarity(query, hard[:, 0])
    assert torch.allclose(hard_similarity(query[order], hard[order, 0]), ours[order])
    own = torch.stack([(query[i] * hard[i, 0]).sum() for i in range(B)])
    assert torch.allclose(ours[:, 0], own)

    released = released_hard_logits(query, hard[:, 0])
    assert torch.allclose(released[:, 0], query @ hard[0, 0])  # every query gets image 0's
    permuted = released_hard_logits(query[order], hard[order, 0])
    assert not torch.allclose(permuted, released[order])


def test_loss_of_a_row_ignores_other_images_hard_negatives(embeddings):
    changed = dict(embeddings)
    changed["hard_negatives"] = embeddings["hard_negatives"].clone()
    changed["hard_negatives"][1:] *= -1

    def row(x: dict[str, Tensor]) -> float:
        return info_nce(
            x["query"][:1], x["key"][:1], x["negatives"], x["hard_negatives"][:1]
        ).item()

    assert row(changed) == row(embeddings)
    assert info_nce(**changed).item() != info_nce(**embeddings).item()


def test_rho_multiplies_the_similarity_inside_the_exponential(embeddings):
    """Only rho * cosine counts; where the cosine is negative, a larger rho is less weight."""
    away = {**embeddings, "hard_negatives": -embeddings["query"][:, None]}
    towards = {**embeddings, "hard_negatives": embeddings["query"][:, None]}
    assert info_nce(**away, rho=3).item() < info_nce(**away, rho=1).item()
    assert info_nce(**towards, rho=3).item() > info_nce(**towards, rho=1).item()
    aside = {**embeddings, "hard_negatives": torch.zeros(B, 1, D, dtype=torch.float64)}
    assert info_nce(**aside, rho=3).item() == pytest.approx(info_nce(**aside, rho=1).item())


def test_bias_is_a_weight_on_the_hard_negatives(embeddings):
    """exp(bias) = 2 counts every hard negative twice."""
    twice = {**embeddings, "hard_negatives": embeddings["hard_negatives"].repeat(1, 2, 1)}
    weighted = info_nce(**embeddings, hard_negative_bias=math.log(2))
    assert weighted.item() == pytest.approx(info_nce(**twice).item())
    without = {**embeddings, "hard_negatives": None}
    gone = info_nce(**embeddings, hard_negative_bias=-1e4)
    assert gone.item() == pytest.approx(info_nce(**without).item())


def test_share_of_the_hard_negatives_from_two_losses(embeddings):
    query, key, negatives, hard = (F.normalize(x, dim=-1) for x in embeddings.values())
    positives = (query * key).sum(1)
    logits = torch.cat((positives[:, None], query @ negatives.T), 1) / 0.2
    before = logits.logsumexp(1) - positives / 0.2
    similarity = hard_similarity(query, hard)
    after = add_hard_negatives(before, positives, similarity, temperature=0.2)
    everything = torch.cat((logits, 2 * similarity / 0.2), 1).softmax(1)
    assert torch.allclose(1 - (before - after).exp(), everything[:, -M:].sum(1))


def test_module_equals_function(embeddings):
    loss = InfoNCELoss(0.3, 1.5, positive_in_denominator=False, hard_negative_bias=-0.5)
    expected = info_nce(
        **embeddings,
        temperature=0.3,
        rho=1.5,
        positive_in_denominator=False,
        hard_negative_bias=-0.5,
    )
    assert torch.equal(loss(**embeddings), expected)
    assert torch.equal(InfoNCELoss()(**embeddings), info_nce(**embeddings))
    assert not loss.state_dict()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_give_float32_logits(embeddings, dtype):
    low = {name: x.to(dtype) for name, x in embeddings.items()}
    expected = info_nce(**{name: x.float() for name, x in low.items()})
    assert torch.equal(info_nce(**low), expected)
    assert expected.dtype == torch.float32
    single = {name: x.float() for name, x in embeddings.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(**single)
    assert torch.equal(inside, info_nce(**single))


def test_extreme_similarities_stay_finite():
    query = torch.eye(3)
    for sign in (1, -1):
        loss = info_nce(query, sign * query, -sign * query, sign * query, temperature=0.001, rho=50)
        assert loss.isfinite()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": torch.zeros(B, D + 1)}, r"key \(5, 8\)"),
        ({"negatives": torch.zeros(B, K, D)}, r"must be \(B, D\), \(B, D\) and \(K, D\)"),
        ({"hard_negatives": torch.zeros(1, D)}, "row i holds the hard negatives of image i"),
        ({"hard_negatives": torch.zeros(1, B, D)}, "row i holds the hard negatives of image i"),
        ({"hard_negatives": torch.zeros(B, M, 1, D)}, r"must be \(B, D\) or \(B, M, D\)"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"temperature": float("nan")}, "temperature=nan must be above 0"),
        ({"negatives": torch.zeros(0, D), "hard_negatives": None}, "nothing to contrast"),
        ({"negatives": None}, "negatives are a NoneType; embeddings are a floating-point tensor"),
        ({"query": torch.zeros(B, D, dtype=torch.int32)}, r"query are torch\.int32; embeddings"),
        ({"key": [[0.0] * D] * B}, "key are a list; embeddings are a floating-point tensor"),
        ({"hard_negatives": torch.zeros(B, D).long()}, r"hard_negatives are torch\.int64; emb"),
        ({"positive_in_denominator": "no"}, "positive_in_denominator='no' must be True or False"),
    ],
)
def test_what_does_not_fit_is_an_error(embeddings, changes, message):
    with pytest.raises(ValueError, match=message):
        info_nce(**{**embeddings, **changes})


def test_module_checks_its_settings():
    with pytest.raises(ValueError, match="temperature=-1"):
        InfoNCELoss(temperature=-1)
    with pytest.raises(ValueError, match="positive_in_denominator='no' must be True or False"):
        InfoNCELoss(positive_in_denominator="no")


@pytest.mark.parametrize("name", ["rho", "hard_negative_bias"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_settings_that_are_no_numbers_are_errors(embeddings, name, value):
    with pytest.raises(ValueError, match=rf"{name}={value} must be finite"):
        info_nce(**embeddings, **{name: value})
    with pytest.raises(ValueError, match=rf"{name}={value} must be finite"):
        InfoNCELoss(**{name: value})


def test_an_empty_batch_is_an_error(embeddings):
    none = {k: v if k == "negatives" else v[:0] for k, v in embeddings.items()}
    with pytest.raises(ValueError, match=r"query \(0, 7\) has no rows"):
        info_nce(**none)
