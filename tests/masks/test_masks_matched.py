import pytest
import torch
from oracles.grid import cell_counts, foreground_loop

from salmask_plugin import GridMask, MatchedMask, foreground


@pytest.mark.parametrize("shape", [(7, 7), (3, 5), (9, 16)])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.55, 0.7, 1.0])
def test_counts_are_those_of_the_papers_negative(make_saliency, generator, shape, ratio):
    saliency = make_saliency(6, *shape)
    masked = MatchedMask((ratio, ratio))(saliency, generator).sum((1, 2, 3))
    rest = MatchedMask((ratio, ratio), pool="background")(saliency, generator).sum((1, 2, 3))
    for one, count, beside in zip(saliency.double().numpy(), masked, rest, strict=True):
        objects = int(foreground_loop(one).sum())
        allowed = [
            cell_counts(one.size, objects, ratio, background=False, toss=toss)[0]
            for toss in (0.0, 1 - 1e-6)
        ]
        assert count in allowed
        assert beside in [min(number, max(1, one.size - objects)) for number in allowed]


def test_the_draw_of_the_ratio_is_the_negatives_own(make_saliency):
    """On one generator state the counts match image by image, not on average alone."""
    saliency = make_saliency(40)
    counts = [
        sampler(saliency, torch.Generator().manual_seed(3)).sum((1, 2, 3))
        for sampler in (GridMask((0.4, 0.7), background=False), MatchedMask())
    ]
    assert torch.equal(*counts)


def test_anywhere_falls_on_every_cell_alike(make_saliency, generator):
    saliency = make_saliency(1, 3, 4).expand(6000, -1, -1)
    share = MatchedMask((0.5, 0.5))(saliency, generator).float().mean((0, 1))
    assert (share - share.mean()).abs().max() < 0.03


def test_background_leaves_the_object_whole(make_saliency, generator):
    saliency = make_saliency(400, 5, 6)
    mask = MatchedMask((0.2, 0.9), pool="background")(saliency, generator)[:, 0]
    objects = foreground(saliency)
    assert not (mask & objects).any()
    wanted = MatchedMask((1.0, 1.0), pool="background")(saliency, generator)[:, 0]
    fewer = (~objects).sum((1, 2)) <= objects.sum((1, 2))
    assert fewer.any()
    assert torch.equal(wanted[fewer], ~objects[fewer])


def test_background_cells_go_at_random(make_saliency, generator):
    saliency = make_saliency(1, 4, 5).expand(6000, -1, -1)
    share = MatchedMask((0.3, 0.3), pool="background")(saliency, generator).float().mean((0, 1))
    background = ~foreground(saliency[:1])[0]
    assert (share[background] - share[background].mean()).abs().max() < 0.03


def test_a_map_without_background_loses_one_cell(generator):
    mask = MatchedMask(pool="background")(torch.ones(50, 3, 4), generator)
    assert (mask.sum((1, 2, 3)) == 1).all()
    assert mask.any(0).all()


def test_bad_arguments_are_errors():
    with pytest.raises(ValueError, match="ratio="):
        MatchedMask((0.5, 1.5))
    with pytest.raises(ValueError, match="pool='object'"):
        MatchedMask(pool="object")
    with pytest.raises(ValueError, match="tolerance="):
        MatchedMask(tolerance=float("nan"))
