"""The variance over views against a loop, and its identity with the mean cosine of pairs."""

import itertools

import pytest
import torch

from salmask_plugin.lab.measures.variance.view_variance import view_variance


@pytest.fixture
def embeddings(generator):
    return torch.randn((4, 5, 7), generator=generator) + torch.arange(7) / 3


def test_variance_is_that_of_a_loop(embeddings):
    found = view_variance(embeddings)
    for image in range(4):
        units = [vector / vector.norm() for vector in embeddings[image].double()]
        total = 0.0
        for dimension in range(7):
            values = [float(unit[dimension]) for unit in units]
            mean = sum(values) / 5
            total += sum((value - mean) ** 2 for value in values) / 4
        assert found.variance[image].item() == pytest.approx(total / 7)


def test_mean_cosine_is_that_of_all_pairs(embeddings):
    found = view_variance(embeddings)
    for image in range(4):
        cosines = [
            torch.cosine_similarity(a, b, dim=0).item()
            for a, b in itertools.combinations(embeddings[image].double(), 2)
        ]
        assert found.mean_cosine[image].item() == pytest.approx(sum(cosines) / len(cosines))


def test_identity(embeddings):
    found = view_variance(embeddings)
    assert torch.allclose(found.variance, (1 - found.mean_cosine) / 7, rtol=0, atol=1e-15)
    assert (found.views, found.dimension) == (5, 7)


def test_length_does_not_matter_and_equal_views_have_none(embeddings):
    scaled = embeddings * torch.rand(4, 5, 1).add(0.1)
    assert torch.allclose(view_variance(scaled).variance, view_variance(embeddings).variance)
    same = view_variance(embeddings[:, :1].expand(-1, 3, -1))
    assert same.variance.abs().max() < 1e-15


def test_orthogonal_views_reach_the_bound():
    found = view_variance(torch.eye(6)[None])
    assert found.variance.item() == pytest.approx(1 / 6)
    assert found.mean_cosine.item() == pytest.approx(0)


@pytest.mark.parametrize("shape", [(4, 7), (4, 1, 7)])
def test_shapes_are_checked(shape):
    with pytest.raises(ValueError, match="r >= 2"):
        view_variance(torch.ones(shape))


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_vectors_without_direction_are_refused(embeddings, value):
    embeddings[1, 2] = value
    with pytest.raises(ValueError, match="zero or not finite"):
        view_variance(embeddings)
