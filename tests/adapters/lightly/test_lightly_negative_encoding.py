"""Less of the hard negatives encoded, in lightly's steps."""

from typing import Any

import pytest
import torch
from lightly_toy import Pairs, masking, network, trainer
from oracles.contrast import info_nce_by_hand
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from salmask_plugin import NegativeEncoding
from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss, MaskedMoCoV2, MaskedSimCLR

pytestmark = [
    pytest.mark.filterwarnings("ignore:The hard negatives dominate"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
KINDS = [MaskedMoCoV2, MaskedSimCLR]
B, K, N, M, D = 5, 12, 3, 2, 6
OWNERS = torch.tensor([3, 0, 4])


def module(kind: Any, encoding: NegativeEncoding | None = None, **changes: Any) -> Any:
    torch.manual_seed(3)
    settings: dict[str, Any] = {"masking": masking(), "projection_dim": D, "feature_dim": 10}
    if kind is MaskedMoCoV2:
        settings |= {"queue_size": 24, "split_batch_size": 4}
    else:
        settings |= {"warmup_epochs": 0}
    return kind(network(), negative_encoding=encoding, **(settings | changes))


def fit(model: Any, epochs: int = 1, count: int = 24, path: Any = None, **options: Any) -> Any:
    batches = DataLoader(Pairs(count), batch_size=8)
    given = {} if path is None else {"ckpt_path": path, "weights_only": True}
    trainer(epochs, **options).fit(model, batches, **given)
    return model


def seen_by(part: Any) -> list[tuple[int, ...]]:
    """Record the shapes that a network is given."""
    shapes: list[tuple[int, ...]] = []
    part.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    return shapes


def encoder_of_negatives(model: Any) -> Any:
    return model.key_backbone if isinstance(model, MaskedMoCoV2) else model.backbone


@pytest.mark.parametrize("bank", [True, False])
def test_the_loss_in_loops(bank: bool, generator: torch.Generator) -> None:
    """B images, K keys in the queue (or the batch), N with M hard negatives of their own."""
    settings = {"temperature": 0.3, "rho": 1.5}
    loss = HardNegativeNTXentLoss(
        memory_bank_size=(K, D) if bank else 0, **settings, hard_negative_bias=-0.4
    )
    query, key = torch.randn(2, B, D, generator=generator)
    hard = torch.randn(N, M, D, generator=generator)
    own: list[list[list[float]]] = [[] for _ in range(B)]
    for place, owner in enumerate(OWNERS.tolist()):
        own[owner] = hard[place].tolist()
    queue = loss.memory_bank.bank.clone() if bank else None
    found = loss(query, key, hard, OWNERS)
    rows = []
    for index in range(B):
        others = [row for row in range(B) if row != index]
        batch = torch.cat((query[others], key[others]))
        negatives = (batch if queue is None else queue).tolist()
        one, other = [query[index].tolist()], [key[index].tolist()]
        rows.append(info_nce_by_hand(one, other, negatives, [own[index]], **settings, bias=-0.4))
        if not bank:
            rows.append(info_nce_by_hand(other, one, negatives, None, **settings))
    assert found.item() == pytest.approx(sum(rows) / len(rows), rel=1e-5)
    cosines = torch.nn.functional.cosine_similarity(query[OWNERS][:, None], hard, dim=-1)
    assert loss.statistics is not None
    torch.testing.assert_close(loss.statistics.similarity_hard, cosines.mean())
    assert 0 < float(loss.statistics.hard_negative_share) < 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_papers_form_is_no_choice_bit_for_bit(kind: Any) -> None:
    plain, paper = fit(module(kind), 2), fit(module(kind, NegativeEncoding()), 2)
    torch.testing.assert_close(paper.state_dict(), plain.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("encoding", "shapes"),
    [
        (NegativeEncoding(side=0.5), [(8, 3, 8, 6)] * 3),
        (NegativeEncoding(share=0.5), [(4, 3, 16, 12)] * 3),
        (NegativeEncoding(every=2), [(8, 3, 16, 12), None, (8, 3, 16, 12)]),
        (NegativeEncoding(0.5, 3, 0.25), [(2, 3, 8, 6), None, None]),
    ],
)
def test_what_the_encoder_is_given(kind: Any, encoding: Any, shapes: list[Any]) -> None:
    model = module(kind, encoding)
    found = seen_by(encoder_of_negatives(model))
    fit(model)
    views = [(8, 3, 16, 12)] * (1 if kind is MaskedMoCoV2 else 2)
    expected = []
    for negatives in shapes:
        expected += views if negatives is None else [*views, negatives]
    assert found == expected


@pytest.mark.parametrize("kind", KINDS)
def test_views_are_masked_alike_with_and_without(kind: Any) -> None:
    """A step without negatives draws the masks that it would have drawn."""
    queries = []
    for encoding in (None, NegativeEncoding(every=2)):
        model = module(kind, encoding)
        seen: list[torch.Tensor] = []
        step = model.step_masking
        keep = model.step_log.step
        model.step_log.step = lambda own, views, *a, seen=seen, keep=keep, **k: (
            seen.append(views.query),
            keep(own, views, *a, **k),
        )
        fit(model)
        assert step.batches_seen == 3
        queries.append(torch.stack(seen))
    assert torch.equal(*queries)


@pytest.mark.parametrize("kind", KINDS)
def test_running_statistics_see_no_negative(kind: Any) -> None:
    """After one step they are those of a run without hard negatives."""
    states = []
    for changes in ({}, {"masking": masking(negative=None)}):
        encoding = None if changes else NegativeEncoding(side=0.5, share=0.5)
        model = fit(module(kind, encoding, **changes), count=8)
        buffers = encoder_of_negatives(model).named_buffers()
        states.append({name: value.clone() for name, value in buffers if "running" in name})
    assert states[0]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_one_optimizer_step_are_alike(kind: Any) -> None:
    model = module(kind, NegativeEncoding(every=2))
    seen: list[bool] = []
    model.criterion.register_forward_pre_hook(lambda _, given: seen.append(given[2] is not None))
    fit(model, 2, count=32, accumulate_grad_batches=2)  # two steps an epoch, of two batches each
    assert seen == [True, True, False, False, True, True, False, False]


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_goes_on_in_the_same_step(kind: Any, tmp_path: Any) -> None:
    """Three steps an epoch and negatives in every second: the second epoch begins without."""
    encoding = NegativeEncoding(every=2, share=0.5)
    whole = fit(module(kind, encoding), 2)

    saving = {"callbacks": [ModelCheckpoint(tmp_path)], "enable_checkpointing": True}
    fit(module(kind, encoding), 2, max_steps=3, **saving)  # the rate's schedule is of two epochs
    resumed = module(kind, encoding)
    seen: list[bool] = []
    resumed.criterion.register_forward_pre_hook(lambda _, given: seen.append(given[2] is not None))
    fit(resumed, 2, path=next(tmp_path.glob("*.ckpt")))
    assert seen == [False, True, False]
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_nothing_to_encode_is_an_error() -> None:
    for given in (None, masking(negative=None)):
        with pytest.raises(ValueError, match="negative_encoding needs hard negatives"):
            module(MaskedSimCLR, NegativeEncoding(side=0.5), masking=given)
