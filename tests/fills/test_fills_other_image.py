"""Another image's pixels, and places that are not seen."""

import pytest
import torch

from salmask_plugin import (
    BackgroundMask,
    GridMask,
    Masking,
    MeanFill,
    OtherImageFill,
    SaliencyMasking,
    UniformLocalizer,
    UnseenFill,
    foreground,
)

LOCALIZER = UniformLocalizer((7, 7))


def test_the_pixels_are_those_of_one_other_image(make_images, make_saliency):
    images, maps = make_images(5), make_saliency(5)
    masking = Masking(GridMask((0.3, 0.3)), OtherImageFill())
    shown, mask = masking(images, maps, torch.Generator().manual_seed(1))
    content = OtherImageFill()(images, torch.Generator().manual_seed(1))
    sources = []
    for image in range(5):
        (source,) = [other for other in range(5) if torch.equal(content[image], images[other])]
        sources.append(source)
        assert source != image
        for row in range(42):
            for column in range(35):
                if not mask[image, 0, row, column]:
                    found = shown[image, :, row, column]
                    assert torch.equal(found, images[image, :, row, column])
    assert sorted(sources) == list(range(5))  # each is shown once


def test_every_other_image_is_shown_as_often():
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(4, 4)
    for _ in range(600):
        content = OtherImageFill()(images, generator)[:, 0, 0, 0].long()
        counts[torch.arange(4), content] += 1
    assert (counts.diagonal() == 0).all()
    others = counts[~torch.eye(4, dtype=torch.bool)] / 600
    assert (others - 1 / 3).abs().max() < 0.08


def test_the_background_is_swapped_and_the_object_kept(make_images, make_saliency, generator):
    images, maps = make_images(4, 42, 42), make_saliency(4)
    masking = SaliencyMasking(lambda _: maps, query=Masking(BackgroundMask(), OtherImageFill()))
    views = masking(images, images.flip(0), generator, saliency=(maps, maps))
    objects = foreground(maps).repeat_interleave(6, 1).repeat_interleave(6, 2)
    for image in range(4):
        kept = views.query[image] == images[image]
        assert torch.equal(kept.all(0), objects[image])
    assert views.query_unseen is None


def test_unseen_places_are_handed_on(make_images, generator):
    images = make_images(4, 42, 42)
    masking = SaliencyMasking(LOCALIZER, query=Masking(GridMask(), UnseenFill()))
    views = masking(images, images, generator)
    assert torch.equal(views.query_unseen, views.query_mask)
    assert (views.query[views.query_mask.expand_as(images)] == 0).all()
    assert torch.equal(views.key, images)


UNSEEN, OTHER = Masking(GridMask(), UnseenFill()), Masking(GridMask(), OtherImageFill())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"query": UNSEEN, "branch": "key"}, "branch='key'"),
        ({"query": UNSEEN, "branch": "both"}, "branch='both'"),
        ({"query": Masking(GridMask(), MeanFill()), "negative": UNSEEN}, "hard negatives"),
        ({"negative": OTHER, "num_negatives": 2}, "num_negatives=2"),
    ],
)
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        SaliencyMasking(LOCALIZER, **wrong)
