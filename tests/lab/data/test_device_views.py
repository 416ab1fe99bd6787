"""Whole pictures through the loader, views on the device: what depends on what."""

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform
from PIL import Image
from scipy.stats import ks_2samp

from salmask_plugin.lab.data import (
    DeviceViews,
    ViewRecipe,
    device_view_data,
    generated,
    image_folder,
    pretrain_loader,
)

SPLITS = generated(train_images=23, val_images=8, classes=4, size=36)
RECIPE = ViewRecipe(24)


def make(images=SPLITS.train, recipe=RECIPE, **options):
    return device_view_data(images, recipe, **{"batch_size": 5, "seed": 3, **options})


def batches(data, **options):
    return [data.views(batch) for batch in data.train_loader(**options)]


def by_index(made):
    """index -> (both views, label)."""
    return {
        int(index): (torch.stack([view[n] for view in views]), int(labels[n]))
        for views, labels, indices in made
        for n, index in enumerate(indices)
    }


def assert_equal_views(some, others, shared=None):
    common = some.keys() & others.keys()
    assert len(common) >= (shared or len(some))
    for index in common:
        torch.testing.assert_close(some[index][0], others[index][0], rtol=0, atol=1e-5)
        assert some[index][1] == others[index][1] == SPLITS.train.labels[index]


def test_batches_have_the_hosts_form_and_order():
    host = pretrain_loader(SPLITS.train, MoCoV2Transform(24), batch_size=5, seed=3, epoch=2)
    device = batches(make(), epoch=2)
    assert len(device) == len(host) == 4
    for (views, labels, indices), expected in zip(device, host, strict=True):
        assert isinstance(views, list)
        assert [view.shape for view in views] == [(5, 3, 24, 24)] * 2
        assert views[0].dtype == expected[0][0].dtype
        assert labels.tolist() == expected[1].tolist()
        assert indices.tolist() == expected[2].tolist()


def described(views):
    """(5, N): brightness, contrast, sharpness, colour and lateral slope of each view."""
    grey = views.mean(dim=1)
    return torch.stack(
        [
            grey.mean(dim=(1, 2)),
            grey.std(dim=(1, 2)),
            grey.diff(dim=1).abs().mean(dim=(1, 2)) / grey.std(dim=(1, 2)),
            views.std(dim=1).mean(dim=(1, 2)),
            grey[..., :12].mean(dim=(1, 2)) - grey[..., 12:].mean(dim=(1, 2)),
        ]
    )


def test_views_are_distributed_as_the_hosts():
    epochs = range(16)
    host = [
        torch.cat(batch[0])
        for epoch in epochs
        for batch in pretrain_loader(
            SPLITS.train, MoCoV2Transform(24), batch_size=5, seed=0, epoch=epoch
        )
    ]
    data = make(seed=0)
    device = [torch.cat(made[0]) for epoch in epochs for made in batches(data, epoch=epoch)]
    theirs, ours = described(torch.cat(host)), described(torch.cat(device))
    assert ours.shape[1] == 640
    for mine, other in zip(ours.numpy(), theirs.numpy(), strict=True):
        assert ks_2samp(mine, other).pvalue > 1e-3


def test_views_of_an_image_depend_on_seed_epoch_and_index_alone():
    straight = by_index(batches(make(), epoch=1))
    assert_equal_views(straight, by_index(batches(make(batch_size=2), epoch=1)), shared=20)
    shares = [batches(make(), epoch=1, rank=rank, world_size=2) for rank in (0, 1)]
    assert not by_index(shares[0]).keys() & by_index(shares[1]).keys()
    assert_equal_views(straight, by_index(shares[0] + shares[1]), shared=18)
    for other in (make(seed=4), make()):
        changed = by_index(batches(other, epoch=0 if other.seed == 3 else 1))
        some = straight.keys() & changed.keys()
        assert not any(torch.equal(straight[n][0], changed[n][0]) for n in some)
    first, second = straight[min(straight)][0]
    assert not torch.equal(first, second)


def test_epochs_in_any_order_and_with_lightnings_set_epoch():
    data = make()
    later = by_index(batches(data, epoch=5))
    loader = data.train_loader()
    list(loader)
    loader.sampler.set_epoch(5)
    assert_equal_views(later, by_index([data.views(batch) for batch in loader]))


def test_kept_and_decoded_pictures_give_the_same_views():
    kept = by_index(batches(make(decode_size=30)))
    decoded = make(decode_size=30, keep=False)
    assert_equal_views(kept, by_index(batches(decoded)))
    assert_equal_views(kept, by_index(batches(make(decode_size=30, keep=False, workers=2))))


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    batches(make())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def ramps(tmp_path):
    """Pictures of several sizes whose red says how far right a pixel is, and green how far down."""
    for name, (width, height) in {"a": (60, 40), "b": (30, 50), "c": (44, 44)}.items():
        x = (np.arange(width) + 0.5) / width * 255
        y = (np.arange(height) + 0.5) / height * 255
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = x, y[:, None]
        for split in ("train", "val"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            Image.fromarray(pixels).save(folder / "0.png")
    return image_folder(tmp_path).train


def test_placements_say_where_the_views_lie(ramps):
    recipe = ViewRecipe(
        32,
        jitter_probability=0,
        grey_probability=0,
        blur_probability=0,
        mean=(0,) * 3,
        std=(1,) * 3,
    )
    data = make(ramps, recipe, batch_size=3, decode_size=64, placements=True)
    for epoch in range(6):
        ((views, _, placements, _),) = batches(data, epoch=epoch)
        for view, placed in zip(views, placements, strict=True):
            assert placed.shape == (3, 5)
            assert placed.dtype == torch.float32
            x0, y0, x1, y1, flipped = placed.T
            # The middle of a ramp's crop has the middle's value, its ends lie half a pixel inside.
            red, green = view[:, 0].mean(dim=1), view[:, 1].mean(dim=2)
            torch.testing.assert_close(red.mean(dim=1), (x0 + x1) / 2, rtol=0, atol=0.02)
            torch.testing.assert_close(green.mean(dim=1), (y0 + y1) / 2, rtol=0, atol=0.02)
            assert torch.equal(red[:, 0] > red[:, -1], flipped.bool())
            extent = (red[:, 0] - red[:, -1]).abs() * 32 / 31
            torch.testing.assert_close(extent, x1 - x0, rtol=0, atol=0.05)


def test_pictures_of_several_sizes_need_a_decode_size(ramps):
    with pytest.raises(ValueError, match=r"30x50 px.*60x40.*decode_size"):
        make(ramps, batch_size=3)
    assert len(batches(make(ramps, batch_size=3, decode_size=20))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"workers": -1}, "workers=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"decode_size": 0}, "decode_size=0"),
        ({"keep": False}, "keep=True"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_batch_larger_than_the_data_is_an_error():
    with pytest.raises(ValueError, match="batch_size=24 is larger than the 23"):
        make(batch_size=24).train_loader()


def test_a_batch_without_pictures_needs_kept_ones():
    batch = next(iter(make().train_loader()))
    with pytest.raises(ValueError, match="none are kept"):
        DeviceViews(RECIPE, seed=0, count=23)(batch)


def test_autocast_changes_nothing():
    data = make()
    batch = next(iter(data.train_loader()))
    plain = data.views(batch)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = data.views(batch)[0]
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))
    assert not plain[0].requires_grad
