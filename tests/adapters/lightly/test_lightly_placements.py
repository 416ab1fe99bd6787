"""PlacedViews: lightly's own views bit for bit, and boxes that say where they lie."""

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform, SimCLRTransform
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from salmask_plugin.adapters.lightly.placements import PlacedViews
from salmask_plugin.lab.data import TwoViewDataset
from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD


class Pictures:
    """Six pictures of noise, 37 x 50 pixels."""

    labels = (0, 1, 0, 1, 0, 1)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        noise = np.random.default_rng(index).integers(0, 256, (37, 50, 3), dtype=np.uint8)
        return Image.fromarray(noise), self.labels[index]


@pytest.mark.parametrize("transform", [MoCoV2Transform, SimCLRTransform])
def test_views_are_lightlys_bit_for_bit(transform):
    plain = TwoViewDataset(Pictures(), transform(24), seed=3)
    placed = TwoViewDataset(Pictures(), PlacedViews(transform(24)), seed=3, placements=True)
    for epoch in range(4):
        for index in range(6):
            views, label, found = plain[epoch, index]
            again, same_label, placements, same_index = placed[epoch, index]
            assert torch.equal(torch.stack(views), torch.stack(again))
            assert (label, found) == (same_label, same_index)
            assert [part.shape for part in placements] == [(5,), (5,)]


@pytest.mark.parametrize("transform", [MoCoV2Transform, SimCLRTransform])
def test_the_box_cut_out_of_the_image_is_the_view(transform):
    """Without colours, cropping the image at the placement and mirroring it gives the view."""
    plain = PlacedViews(transform(24, cj_prob=0, random_gray_scale=0, gaussian_blur=0))
    torch.manual_seed(0)
    mirrored = set()
    for index in range(6):
        image, _ = Pictures()[index]
        for view, placement in zip(*plain(image), strict=True):
            *box, flipped = placement.tolist()
            assert 0 <= box[0] < box[2] <= 1
            assert 0 <= box[1] < box[3] <= 1
            left, top, right, bottom = (
                round(share * side) for share, side in zip(box, (50, 37, 50, 37), strict=True)
            )
            cut = F.resize(image.crop((left, top, right, bottom)), [24, 24])
            cut = F.hflip(cut) if flipped else cut
            tensor = F.to_dtype(F.to_image(cut), torch.float32, scale=True)
            expected = F.normalize(tensor, IMAGENET_MEAN, IMAGENET_STD)
            torch.testing.assert_close(view, expected, atol=0.02, rtol=0)
            mirrored.add(flipped)
    assert mirrored == {0.0, 1.0}


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (MoCoV2Transform(24, rr_prob=0.5), "RandomRotate"),
        (MoCoV2Transform(24, vf_prob=0.5), "RandomVerticalFlip"),
        (v2.Compose([v2.CenterCrop(24)]), "no transform of lightly"),
    ],
)
def test_views_that_a_box_cannot_describe_are_refused(transform, message):
    with pytest.raises(ValueError, match=message):
        PlacedViews(transform)
