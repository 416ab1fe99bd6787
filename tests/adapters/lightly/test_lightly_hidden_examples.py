"""The pictures to look at are those that the evaluation reads; accuracies count the guesses."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin.adapters.lightly.evaluation.hidden_examples import hidden_examples
from salmask_plugin.adapters.lightly.evaluation.occlusion import occlusion_evaluation

COUNT, CLASSES, GRID, SEED = 23, 3, (2, 4), 5


class Watched(nn.Module):
    """Features: means of six parts. Keeps every batch that it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(images.clone())
        return nn.functional.adaptive_avg_pool2d(images, (2, 3)).flatten(1)


def left_upper(images):
    mask = torch.zeros(len(images), 4, 8, dtype=torch.bool)
    mask[:, :2, :4] = True
    return mask


@pytest.fixture(scope="module")
def evaluated():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(COUNT, 3, 8, 12, generator=generator)
    labels = torch.randint(CLASSES, (COUNT,), generator=generator)
    loader = DataLoader(TensorDataset(images, labels), batch_size=5)
    bank = (torch.randn(30, 18, generator=generator), torch.arange(30) % CLASSES)
    model = Watched()
    result = occlusion_evaluation(
        model, bank, loader, num_classes=CLASSES, shares=(0.3, 0.6), grid=GRID, seed=SEED, k=3,
        places=("anywhere", "object"), foreground_of=left_upper,
    )  # fmt: skip
    return loader, labels, model.seen, result


def test_pictures_are_those_that_the_model_was_shown(evaluated):
    loader, labels, seen, result = evaluated
    conditions = list(result.hidden["linear"])
    assert len(conditions) == 16
    chosen = [0, 7, 8, 22]
    images, classes, covered = hidden_examples(
        loader, chosen, conditions, grid=GRID, foreground_of=left_upper, seed=SEED
    )
    assert torch.equal(classes, labels[chosen])
    # A batch is shown whole first, then under each condition.
    shown = [torch.cat(seen[place :: 1 + len(conditions)]) for place in range(1 + len(conditions))]
    assert torch.equal(images, shown[0][chosen])
    for condition, pictures in zip(conditions, shown[1:], strict=True):
        assert torch.equal(covered[condition], pictures[chosen])
    other = hidden_examples(loader, chosen, conditions[:1], grid=GRID, seed=SEED + 1)[2]
    assert not torch.equal(other[conditions[0]], covered[conditions[0]])


def test_accuracies_count_the_guesses(evaluated):
    _, labels, _, result = evaluated
    for name, clean in result.clean.items():
        guesses = result.guesses[name]
        assert set(guesses) == {None, *result.hidden[name]}
        for key, accuracy in [(None, clean), *result.hidden[name].items()]:
            assert guesses[key].shape == (COUNT,)
            right = sum(int(a) == int(b) for a, b in zip(guesses[key], labels, strict=True))
            assert accuracy == pytest.approx(right / COUNT)
    assert not torch.equal(result.guesses["linear"][None], result.guesses["knn"][None])


def test_masks_of_the_batches_are_what_a_function_of_the_images_would_say():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(11, 3, 8, 12, generator=generator)
    labels = torch.arange(11) % CLASSES
    masks = torch.rand(11, 5, 7, generator=generator) < 0.4
    masks[:, :2] = True
    bank = (torch.randn(30, 18, generator=generator), torch.arange(30) % CLASSES)
    given = {"num_classes": CLASSES, "shares": (0.5,), "grid": GRID, "seed": SEED, "k": 3}
    given |= {"places": ("object", "background")}
    plain, watched = Watched(), Watched()
    by_masks = occlusion_evaluation(
        watched,
        bank,
        DataLoader(TensorDataset(images, labels, masks.byte() * 255), batch_size=4),
        foreground_of="masks",
        **given,
    )
    at = {
        tuple(image.flatten()[:4].tolist()): mask for image, mask in zip(images, masks, strict=True)
    }
    by_function = occlusion_evaluation(
        plain,
        bank,
        DataLoader(TensorDataset(images, labels), batch_size=4),
        foreground_of=lambda batch: torch.stack(
            [at[tuple(i.flatten()[:4].tolist())] for i in batch]
        ),
        **given,
    )
    assert by_masks == by_function
    assert all(torch.equal(a, b) for a, b in zip(watched.seen, plain.seen, strict=True))
    for bare in ((images, labels), (images, labels, labels)):
        loader = DataLoader(TensorDataset(*bare), batch_size=4)
        with pytest.raises(ValueError, match="needs batches of"):
            occlusion_evaluation(Watched(), bank, loader, foreground_of="masks", **given)
