"""Hidden cells and what is shown in them, in loops; accuracies on pictures made for it."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from salmask_plugin.adapters.lightly import occlusion_evaluation
from salmask_plugin.adapters.lightly.evaluation import hidden_cells as cells
from salmask_plugin.adapters.lightly.evaluation.hidden_cells import (
    Fillings,
    cell_scores,
    cover,
    hidden_cells,
)

GRID = (2, 5)


def test_shares_are_those_asked_for_and_smaller_ones_lie_inside_larger_ones():
    scores = cell_scores(7, GRID, seed=3)
    masks = {share: hidden_cells(scores, share) for share in (0.15, 0.3, 0.5, 1.0)}
    for share, mask in masks.items():
        assert mask.shape == (7, *GRID)
        # torch rounds halves to the even number, as Python does.
        assert mask.flatten(1).sum(1).tolist() == [round(share * 10)] * 7
    assert not (masks[0.15] & ~masks[0.3]).any()
    assert not (masks[0.3] & ~masks[0.5]).any()


def test_the_lowest_scores_of_the_pool_are_hidden():
    scores = cell_scores(6, GRID, seed=1)
    pool = cell_scores(6, GRID, seed=2) < 0.5
    assert pool.flatten(1).sum(1).unique().numel() > 1
    mask = hidden_cells(scores, 0.5, pool)
    for picture in range(6):
        members = [(r, c) for r in range(2) for c in range(5) if pool[picture, r, c]]
        members.sort(key=lambda place: scores[picture][place].item())
        expected = set(members[: round(0.5 * len(members))])
        hidden = {(r, c) for r in range(2) for c in range(5) if mask[picture, r, c]}
        assert hidden == expected


def test_the_draw_does_not_depend_on_how_many_pictures_follow():
    assert torch.equal(cell_scores(9, GRID, seed=4)[:5], cell_scores(5, GRID, seed=4))
    assert not torch.equal(cell_scores(5, GRID, seed=5), cell_scores(5, GRID, seed=4))


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match="share"):
        hidden_cells(cell_scores(2, GRID), share)


def fillings(count=11):
    pictures = torch.randn(6, 3, 4, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 0, 1, 0, 2])
    return Fillings.draw(pictures, labels, torch.tensor([-2.0, -3.0, -4.0]), count=count, seed=9)


def test_another_picture_is_of_another_class_and_the_next_one_behind_its_start():
    drawn = fillings()
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 0, 1, 2])
    places = torch.arange(11)
    shown = drawn("picture", torch.zeros(11, 3, 4, 10), labels, places)
    for place in range(11):
        at = int(drawn.starts[place])
        while drawn.labels[at] == labels[place]:
            at = (at + 1) % 6
        assert torch.equal(shown[place], drawn.pictures[at])
    assert drawn.starts.unique().numel() > 1
    later = drawn("picture", torch.zeros(4, 3, 4, 10), labels[7:], places[7:])
    assert torch.equal(later, shown[7:])


def test_the_other_fills():
    drawn = fillings()
    images = torch.randn(5, 3, 4, 10, generator=torch.Generator().manual_seed(2))
    labels, places = torch.zeros(5).long(), torch.tensor([4, 9, 5, 0, 7])
    mean = drawn("mean", images, labels, places)
    black = drawn("black", images, labels, places)
    noise = drawn("noise", images, labels, places)
    for b in range(5):
        for c in range(3):
            expected = torch.full((4, 10), images[b, c].mean())
            torch.testing.assert_close(mean[b, c], expected)
            assert black[b, c].unique().item() == -2.0 - c
        assert torch.equal(noise[b], drawn.noise[int(places[b]) % 6])
    assert abs(drawn.noise.std().item() - 1) < 0.05
    with pytest.raises(ValueError, match="fill"):
        drawn("grey", images, labels, places)


def test_pictures_of_one_class_cannot_hide_each_other():
    drawn = fillings()
    with pytest.raises(ValueError, match="two classes"):
        Fillings(drawn.pictures, torch.zeros(6).long(), drawn.black, drawn.noise, drawn.starts)(
            "picture", torch.zeros(1, 3, 4, 10), torch.tensor([0]), torch.tensor([0])
        )


def test_hidden_cells_alone_are_covered():
    images = torch.randn(3, 3, 6, 10)
    cells = hidden_cells(cell_scores(3, GRID, seed=8), 0.3)
    covered = cover(images, torch.full_like(images, 5.0), cells)
    for b in range(3):
        for y in range(6):
            for x in range(10):
                hidden = cells[b, y // 3, x // 2]
                expected = torch.full((3,), 5.0) if hidden else images[b, :, y, x]
                assert torch.equal(covered[b, :, y, x], expected)


class Halves(nn.Module):
    """Features: mean of the left and of the right half. The class is told by the left one alone."""

    def forward(self, images):
        middle = images.shape[-1] // 2
        return torch.stack([images[..., :middle], images[..., middle:]], 1).mean((2, 3, 4))


def batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    images = 0.1 * torch.randn(count, 3, 4, 8, generator=generator)
    images[..., :4] += (2.0 * labels - 1)[:, None, None, None]
    return list(zip(images.split(7), labels.split(7), strict=True))


@pytest.fixture(scope="module")
def result():
    return occlusion_evaluation(
        Halves(),
        batches(60, 0),
        batches(40, 1),
        num_classes=2,
        shares=(0.5, 1.0),
        places=("anywhere", "object", "background"),
        grid=(1, 2),
        # The object is where the left half is: one of two cells.
        foreground_of=lambda images: torch.tensor([True, False]).expand(len(images), 1, 2),
        k=3,
    )


class Counting(Dataset):
    def __init__(self, samples):
        self.samples = samples
        self.read = Counter()

    def __len__(self):
        return len(self.samples[0])

    def __getitem__(self, place):
        self.read[place] += 1
        return tuple(part[place] for part in self.samples)


@pytest.mark.parametrize("options", [{}, {"shuffle": True}])
def test_pictures_of_a_loader_in_order_are_read_once_and_the_numbers_are_the_same(
    monkeypatch, options
):
    monkeypatch.setattr(cells, "BANK", 9)
    samples = tuple(torch.cat(part) for part in zip(*batches(40, 1), strict=True))
    given = {"num_classes": 2, "shares": (0.5,), "grid": (2, 2), "k": 3}
    features = (torch.randn(8, 2), torch.arange(8) % 2)
    read = Counting(samples)
    found = occlusion_evaluation(
        Halves(), features, DataLoader(read, batch_size=7, **options), **given
    )
    if options:  # in another order at each reading nothing is at its place: as it was
        assert set(read.read.values()) == {3}
        return
    # Those that others are hidden behind are looked up beforehand.
    assert Counter(read.read.values()) == {1: 31, 2: 9}
    as_list = list(zip(*(part.split(7) for part in samples), strict=True))
    assert found == occlusion_evaluation(Halves(), features, as_list, **given)


def test_what_is_hidden_decides_what_is_lost(result):
    assert result.clean == {"linear": 1.0, "knn": 1.0}
    for classifier in ("linear", "knn"):
        hidden = result.hidden[classifier]
        for fill in ("mean", "black", "noise", "picture"):
            assert hidden["background", fill, 1.0] >= 0.95
        assert hidden["object", "picture", 1.0] == 0  # the other class's picture stands there
        assert hidden["object", "black", 1.0] == 0.5
        assert 0 < hidden["anywhere", "picture", 0.5] < 1
        assert hidden["anywhere", "picture", 1.0] == 0


def test_the_share_that_was_hidden_is_told(result):
    assert result.hidden_share["anywhere", 0.5] == 0.5
    assert result.hidden_share["anywhere", 1.0] == 1.0
    assert result.hidden_share["object", 1.0] == 0.5


def test_every_encoder_sees_the_same_hidden_pictures():
    seen = []

    class Remembering(Halves):
        def forward(self, images):
            seen[-1].append(images)
            return super().forward(images)

    for size in (7, 9):
        seen.append([])
        val = batches(20, 1)
        images, labels = (torch.cat(part) for part in zip(*val, strict=True))
        loader = list(zip(images.split(size), labels.split(size), strict=True))
        features = (torch.randn(8, 2), torch.arange(8) % 2)
        occlusion_evaluation(
            Remembering(),
            features,
            loader,
            num_classes=2,
            shares=(0.5,),
            fills=("picture",),
            grid=(2, 2),
            classifiers=("linear",),
        )
    # Of 20 pictures both sizes of batch show the same 20, whole and hidden.
    one, other = (
        torch.stack(sorted(torch.cat(part), key=lambda image: tuple(image.flatten().tolist())))
        for part in seen
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("shares", ()),
        ("shares", (0.0,)),
        ("fills", ("grey",)),
        ("places", ("object",)),
        ("places", ("sky",)),
        ("classifiers", ("svm",)),
        ("k", 61),
    ],
)
def test_settings_that_cannot_work_are_refused(argument, value):
    with pytest.raises(ValueError, match=argument):
        occlusion_evaluation(
            Halves(), batches(60, 0), batches(40, 1), num_classes=2, **{argument: value}
        )
