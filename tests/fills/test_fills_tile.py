import pytest
import torch

from salmask_plugin import TileFill


def numbered(batch: int, height: int, width: int) -> torch.Tensor:
    """Images whose pixels say where they come from: channel 0 image, 1 row, 2 column."""
    image = torch.arange(batch)[:, None, None].expand(batch, height, width)
    row = torch.arange(height)[None, :, None].expand(batch, height, width)
    column = torch.arange(width)[None, None, :].expand(batch, height, width)
    return torch.stack((image, row, column), dim=1).double()


def sides_that_fit(content: torch.Tensor, low: int, high: int) -> list[int]:
    """Which sides explain one image (3, H, W): every tile one piece, walked pixel by pixel."""
    _, height, width = content.shape
    found = []
    for side in range(low, high + 1):
        fits = True
        for top in range(0, height, side):
            for left in range(0, width, side):
                y, x = int(content[1, top, left]), int(content[2, top, left])
                fits &= 0 <= y <= height - side and 0 <= x <= width - side
                for row in range(top, min(top + side, height)):
                    for column in range(left, min(left + side, width)):
                        fits &= content[1, row, column] == y + row - top
                        fits &= content[2, row, column] == x + column - left
        if fits:
            found.append(side)
    return found


def test_every_image_is_tiles_of_itself_of_one_side(generator):
    content = TileFill((5 / 20, 8 / 20))(numbered(7, 20, 27), generator)
    assert (content[:, 0] == torch.arange(7)[:, None, None]).all()  # of its own image alone
    sides = [sides_that_fit(one, 5, 8) for one in content]
    assert all(len(found) == 1 for found in sides)
    assert len({found[0] for found in sides}) > 2


def test_sides_are_uniform_with_both_ends(generator):
    content = TileFill((3 / 12, 5 / 12))(numbered(3000, 12, 14), generator)
    step = (content[:, 2, 0, 1:] - content[:, 2, 0, :-1]) == 1
    sides = [next((i + 1 for i in range(13) if not one[i]), 14) for one in step]
    counts = torch.bincount(torch.tensor(sides))[3:6] / len(sides)
    # Two neighbouring pieces continue one another now and then, which looks like a larger side.
    assert (counts - 1 / 3).abs().max() < 0.08


def test_pieces_come_from_everywhere(generator):
    content = TileFill((0.5, 0.5))(numbered(4000, 8, 10), generator)
    tops, lefts = content[:, 1, 0, 0].long(), content[:, 2, 0, 0].long()
    for found, places in ((tops, 5), (lefts, 7)):
        shares = torch.bincount(found, minlength=places) / len(found)
        assert len(shares) == places
        assert (shares - 1 / places).abs().max() < 0.03


def test_sizes_of_the_reference_at_224_pixels():
    low, high = TileFill().size
    assert (low * 224, high * 224) == (16, 72)


def test_a_tile_as_large_as_the_view_is_the_view(make_images):
    images = make_images(2, 9, 9)
    assert torch.equal(TileFill((1.0, 1.0))(images), images)


@pytest.mark.parametrize("size", [(0.0, 0.5), (0.6, 0.5), (0.5, 1.1)])
def test_sizes_out_of_range_are_errors(size):
    with pytest.raises(ValueError, match="size="):
        TileFill(size)


def test_rows_and_columns_of_a_piece_are_drawn_apart(generator):
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    images = torch.stack((row, column, row))[None].expand(300, -1, -1, -1)
    corners = TileFill((0.25, 0.25))(images, generator)[:, :2, ::8, ::8]  # 8 px a side
    top, left = corners.transpose(0, 1).flatten(1)
    assert {top.min().item(), top.max().item()} == {left.min().item(), left.max().item()} == {0, 24}
    assert abs(torch.corrcoef(torch.stack((top, left)))[0, 1]) < 0.06  # of 4,800: four errors
