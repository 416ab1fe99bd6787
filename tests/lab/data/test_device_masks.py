"""Object masks through views made on the device: a mask lies where its view shows the object."""

import numpy as np
import pytest
import torch
from PIL import Image

from salmask_plugin.lab.data import DeviceViews, ViewRecipe, device_view_data, generated
from salmask_plugin.lab.data.device.object_masks import keep_masks, masks_of_views

SPLITS = generated(train_images=8, val_images=8, classes=8, size=40)
PLAIN = ViewRecipe(
    24,
    jitter_probability=0,
    grey_probability=0,
    blur_probability=0,
    mean=(0, 0, 0),
    std=(1, 1, 1),
)


class MasksAsPictures:
    """The pictures are their own masks, so that a view shows what its mask should be."""

    labels = SPLITS.train.labels

    def __init__(self, side=None):
        self.side = side

    def __len__(self):
        return len(SPLITS.train)

    def with_mask(self, index):
        _, mask, label = SPLITS.train.with_mask(index)
        if self.side and index:
            mask = mask.resize((self.side, self.side))
        return mask.convert("RGB"), mask, label

    def __getitem__(self, index):
        image, _, label = self.with_mask(index)
        return image, label


@pytest.mark.parametrize("options", [{}, {"decode_size": 30}, {"decode_size": 30, "keep": False}])
def test_a_mask_lies_where_its_view_shows_the_object(options):
    data = device_view_data(MasksAsPictures(), PLAIN, batch_size=4, seed=0, masks=True, **options)
    compared = 0
    for epoch in range(4):
        for batch in data.train_loader(epoch=epoch):
            views, labels, masks, indices = data.views(batch)
            assert labels.tolist() == [SPLITS.train.labels[index] for index in indices.tolist()]
            for view, mask in zip(views, masks, strict=True):
                assert mask.shape == (4, 1, 24, 24)
                assert mask.dtype == torch.float32
                assert set(mask.unique().tolist()) <= {0.0, 1.0}
                # Pixels at the outline are mixed in the view.
                clear = (view[:, :1] < 0.05) | (view[:, :1] > 0.95)
                assert ((view[:, :1] > 0.5) != (mask > 0.5))[clear].float().mean() < 0.01
                compared += int(clear.sum())
    assert compared > 0.7 * 4 * 16 * 24 * 24


def test_the_views_are_those_of_a_run_without_masks():
    make = {"batch_size": 4, "seed": 2}
    plain = device_view_data(SPLITS.train, PLAIN, **make)
    masked = device_view_data(SPLITS.train, PLAIN, masks=True, **make)
    for one, other in zip(plain.train_loader(), masked.train_loader(), strict=True):
        (first, _, _), (second, _, _, _) = plain.views(one), masked.views(other)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_whole_view_shows_the_whole_mask_and_a_mirrored_one_its_mirror():
    masks = keep_masks(SPLITS.train)
    whole = torch.tensor([[0.0, 0, 1, 1, 0], [0, 0, 1, 1, 1]])
    seen = masks_of_views(masks, torch.tensor([3, 3]), whole, 40)
    expected = torch.from_numpy(np.array(SPLITS.train.with_mask(3)[1])) / 255
    assert torch.equal(seen[0, 0], expected)
    assert torch.equal(seen[1, 0], expected.flip(-1))


def test_what_cannot_work_is_named():
    with pytest.raises(ValueError, match=r"The mask of image 1 is 20x20 px, the first 40x40"):
        keep_masks(MasksAsPictures(side=20))
    assert keep_masks(MasksAsPictures(side=20), 16).shape == (8, 16, 16)
    with pytest.raises(ValueError, match="masks and placements=True exclude each other"):
        DeviceViews(PLAIN, seed=0, count=8, placements=True, masks=keep_masks(SPLITS.train))

    class Unmasked:
        labels = (0,)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Image.new("RGB", (8, 8)), 0

    with pytest.raises(ValueError, match="images with masks, Unmasked has none"):
        keep_masks(Unmasked())
