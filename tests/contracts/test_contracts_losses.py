"""What every exported loss module owes its callers. New classes are found by walking __all__."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

import salmask_plugin.losses as room

NO_LOSS = ("NegativeQueue",)  # negatives for one
CLASSES = [
    getattr(room, name)
    for name in room.__all__
    if inspect.isclass(getattr(room, name)) and name not in NO_LOSS
]


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def loss(request):
    return request.param()


@pytest.fixture
def embeddings(generator):
    return [torch.randn(s, generator=generator) for s in ((4, 6), (4, 6), (9, 6), (4, 2, 6))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_scalar_in_at_least_float32(loss, embeddings, dtype):
    value = loss(*(x.to(dtype) for x in embeddings))
    assert value.shape == ()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert value.isfinite()


def test_inputs_are_not_modified_and_nothing_is_drawn(loss, embeddings):
    before, state = [x.clone() for x in embeddings], torch.get_rng_state()
    loss(*embeddings)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(x, old) for x, old in zip(embeddings, before, strict=True))


def test_pickles_copies_and_has_no_state(loss, embeddings):
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(twin(*embeddings), loss(*embeddings))
    assert isinstance(loss, nn.Module)
    assert not list(loss.parameters())
    assert not loss.state_dict()


def test_permuting_the_batch_changes_nothing(loss, embeddings):
    order = torch.tensor([2, 0, 3, 1])
    query, key, queue, hard = embeddings
    permuted = loss(query[order], key[order], queue.flip(0), hard[order])
    assert torch.allclose(permuted, loss(*embeddings))
