from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from salmask_plugin import FocalMask, GridMask, MaskMixture

PAPER = MaskMixture((FocalMask(), GridMask(), GridMask(per_channel=True)), (0.20, 0.24, 0.56))


@dataclass(frozen=True)
class Everything:
    """Mask one row of a lattice, so that each kind can be told apart."""

    row: int
    rows: int = 3
    channels: int = 1

    def __call__(self, saliency: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mask = torch.zeros((len(saliency), self.channels, self.rows, self.rows), dtype=torch.bool)
        mask[:, :, self.row] = True
        return mask


def test_kinds_are_chosen_with_their_weights(generator):
    mixture = MaskMixture((Everything(0), Everything(1), Everything(2)), (0.20, 0.24, 0.56))
    share = mixture(torch.ones(20000, 3, 3), generator).float().mean((0, 1, 3))
    assert share.tolist() == pytest.approx([0.20, 0.24, 0.56], abs=0.012)


def test_recipe_of_the_paper_yields_its_three_kinds(generator):
    mask = PAPER(torch.ones(2500, 7, 7), generator)
    assert mask.shape == (2500, 3, 112, 112)
    cells = mask.view(2500, 3, 7, 16, 7, 16)
    whole_cells = (cells.amax((3, 5)) == cells.amin((3, 5))).flatten(1).all(1)
    same_channels = (mask == mask[:, :1]).flatten(1).all(1)
    kinds = ~whole_cells, whole_cells & same_channels, whole_cells & ~same_channels
    shares = [kind.float().mean().item() for kind in kinds]
    # A window edge falls on the grid now and then, hence the room.
    assert shares == pytest.approx([0.20, 0.24, 0.56], abs=0.035)


def test_choice_is_per_image(generator):
    mixture = MaskMixture((Everything(0), Everything(1)), (0.5, 0.5))
    rows = mixture(torch.ones(64, 3, 3), generator)[:, 0, 0, 0]
    assert 0 < rows.sum() < 64


def test_masks_grow_to_the_finest_lattice_and_to_three_channels(generator):
    mixture = MaskMixture((Everything(1, rows=2), Everything(4, rows=6, channels=3)), (1.0, 0.0))
    mask = mixture(torch.ones(2, 2, 2), generator)
    assert mask.shape == (2, 3, 6, 6)
    assert mask[:, :, 3:].all()
    assert not mask[:, :, :3].any()


def test_weight_zero_is_never_chosen_and_one_always(generator):
    mixture = MaskMixture((Everything(0), Everything(1)), (0, 1))
    mask = mixture(torch.ones(500, 3, 3), generator)
    assert mask[:, :, 1].all()
    assert not mask[:, :, 0].any()


def test_lattices_that_do_not_divide_are_an_error(generator):
    with pytest.raises(ValueError, match="multiples of one another"):
        MaskMixture((Everything(0, rows=2), Everything(0, rows=3)), (0.5, 0.5))(
            torch.ones(2, 2, 2), generator
        )


@pytest.mark.parametrize(
    ("samplers", "weights", "message"),
    [
        ((), (), "one entry per sampler"),
        ((GridMask(),), (0.5, 0.5), "one entry per sampler"),
        ((GridMask(), GridMask()), (0.5, 0.4), "sum to 1"),
        ((GridMask(), GridMask()), (-0.5, 1.5), "each at least 0"),
    ],
)
def test_weights_that_do_not_fit_are_an_error(samplers, weights, message):
    with pytest.raises(ValueError, match=message):
        MaskMixture(samplers, weights)


def test_lists_as_a_configuration_hands_them_over_are_frozen():
    mixture = MaskMixture([GridMask([0.1, 0.2]), FocalMask()], [1, 0])
    assert hash(mixture) == hash(MaskMixture((GridMask((0.1, 0.2)), FocalMask()), (1.0, 0.0)))
