"""Drawn rides and the loaders of depth."""

import numpy as np
import pytest
import torch
from PIL import Image

from salmask_plugin.lab.data import EpochSampler
from salmask_plugin.lab.downstream.depth.batches import (
    DepthPictures,
    DepthSamples,
    depth_test_loader,
    depth_train_loader,
    in_pixels,
)
from salmask_plugin.lab.downstream.depth.generated_sequences import generated_sequences


@pytest.fixture(scope="module")
def splits():
    return generated_sequences(2, 1, frames=4, width=48, height=32, seed=3)


def test_rides_have_the_promised_frames(splits):
    assert (len(splits.train), len(splits.test)) == (4, 4)
    before, middle, after = splits.train[1]
    assert before.size == middle.size == after.size == (48, 32)
    assert np.array_equal(np.asarray(splits.train[0][2]), np.asarray(middle))
    assert splits.test.depth(0).shape == (32, 48)
    again = generated_sequences(1, 1, frames=4, width=48, height=32, seed=3)
    assert np.array_equal(np.asarray(again.train[0][1]), np.asarray(splits.train[0][1]))
    assert np.array_equal(again.test.depth(2), splits.test.depth(2))
    assert not np.array_equal(splits.test.depth(1), splits.train.depth(0))


def test_the_floor_lies_where_it_should(splits):
    """Its depth follows from the camera's height alone; the camera turns about the vertical."""
    depth = splits.train.depth(0)
    shares = splits.train.intrinsics(0)
    down = ((31 + 0.5) / 32 - shares[1, 2]) / shares[1, 1]
    assert depth[-1, 20:28] == pytest.approx(1.5 / down, rel=0.03)  # sways by 0.02 m
    assert (depth > 0).all()
    assert depth.max() < 20


def test_a_later_frame_is_nearer_to_the_end(splits):
    motion = splits.train.motion(0, 1)
    assert -0.45 < motion[2, 3] < -0.2  # what is ahead comes nearer
    assert np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3))


@pytest.mark.parametrize(
    ("argument", "value"),
    [("frames", 2), ("width", 31), ("train_sequences", 0), ("test_sequences", 0), ("seed", -1)],
)
def test_rides_out_of_range_are_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument}={value} must be at least"):
        generated_sequences(**{argument: value})


def all_samples(splits, epochs=12):
    samples = DepthSamples(splits.train, height=32, width=48, seed=1)
    return [(index, samples[epoch, index]) for epoch in range(epochs) for index in range(4)]


def plain(splits, index):
    frames = [torch.from_numpy(np.array(frame)) for frame in splits.train[index]]
    return torch.stack(frames).permute(0, 3, 1, 2)


def test_half_are_mirrored_with_their_camera_and_half_recoloured(splits):
    mirrored = recoloured = 0
    found = all_samples(splits)
    for index, sample in found:
        frames = plain(splits, index)
        centre = 48 / 2 - 0.5
        if not torch.equal(sample.frames, frames):
            mirrored += 1
            assert torch.equal(sample.frames, frames.flip(-1))
            centre = 47 - centre
        assert float(sample.cameras[0, 2]) == pytest.approx(centre)
        recoloured += not torch.equal(sample.inputs, sample.frames)
        assert sample.inputs.dtype == torch.uint8
    assert 0.2 < mirrored / len(found) < 0.8
    assert 0.2 < recoloured / len(found) < 0.8


class OffCentre:
    """Three equal frames by a camera whose centre is not the picture's."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8))
        return picture, picture, picture

    def intrinsics(self, index):
        return np.array([[0.7, 0, 0.4], [0, 0.8, 0.3], [0, 0, 1]])


def test_a_mirrored_camera_sees_the_mirrored_point_and_frames_change_alike():
    samples = DepthSamples(OffCentre(), height=32, width=48, seed=0)
    centres = set()
    for epoch in range(12):
        sample = samples[epoch, 0]
        centres.add(round(float(sample.cameras[0, 2]), 3))
        assert float(sample.cameras[1, 2]) == pytest.approx(0.3 * 32 - 0.5)
        assert float(sample.cameras[0, 0]) == pytest.approx(0.7 * 48)
        # One draw per sample: equal frames stay equal.
        assert torch.equal(sample.inputs[0], sample.inputs[1])
        assert torch.equal(sample.inputs[0], sample.inputs[2])
    assert centres == {round(share * 48 - 0.5, 3) for share in (0.4, 0.6)}


def test_draws_depend_on_seed_epoch_and_index_alone(splits):
    first, second = all_samples(splits, 3), all_samples(splits, 3)
    for (_, one), (_, two) in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_cameras_follow_the_size():
    shares = np.array([[0.6, 0, 0.4], [0, 0.9, 0.5], [0, 0, 1]])
    assert in_pixels(shares, 10, 20).tolist() == [[12, 0, 7.5], [0, 9, 4.5], [0, 0, 1]]


def test_loaders(splits):
    samples = DepthSamples(splits.train, height=32, width=64, seed=0)
    batches = list(depth_train_loader(samples, EpochSampler(samples, seed=0), batch_size=3))
    assert [tuple(x.shape) for x in batches[0]] == [(3, 3, 3, 32, 64)] * 2 + [(3, 3, 3)]
    assert len(batches) == 1, "the incomplete batch is left out"
    with pytest.raises(ValueError, match="batch_size=5"):
        depth_train_loader(samples, EpochSampler(samples, seed=0), batch_size=5)
    pictures = DepthPictures(splits.test, height=32, width=64)
    seen = [
        index
        for rank in (0, 1)
        for indices, images in depth_test_loader(pictures, batch_size=2, rank=rank, world_size=2)
        for index in indices.tolist()
        if images.shape[1:] == (3, 32, 64)
    ]
    assert sorted(seen) == [0, 1, 2, 3]
