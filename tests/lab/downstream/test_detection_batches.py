"""Batches for a detector: mirroring, the stream of pictures, its parts for processes and rounds."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from salmask_plugin.lab.downstream.detection.batches import (
    DetectionSamples,
    RoundSampler,
    detection_train_loader,
    detection_val_loader,
)
from salmask_plugin.lab.downstream.detection.generated_instances import generated_instances


@pytest.fixture(scope="module")
def splits():
    return generated_instances(train_images=10, val_images=5, classes=2, size=40)


def test_mirroring_takes_box_and_mask_along(splits):
    samples = DetectionSamples(splits.train, seed=1, masks=True, train=True)
    plain, mirrored = [], []
    for index in range(10):
        original = torch.from_numpy(np.array(splits.train[index])).permute(2, 0, 1)
        image, target, _ = samples[(0, index)]
        (plain if torch.equal(image, original) else mirrored).append(index)
        assert torch.equal(image, original) or torch.equal(image, original.flip(-1))
        rows, columns = torch.where(target["masks"][0] > 0)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert target["boxes"][0].tolist() == [float(side) for side in box]
        assert target["labels"].tolist() == (splits.train.instances[index].labels + 1).tolist()
    assert plain
    assert mirrored
    again = DetectionSamples(splits.train, seed=1, masks=False, train=True)
    assert all(torch.equal(again[(0, i)][0], samples[(0, i)][0]) for i in range(10))
    assert any(not torch.equal(samples[(1, i)][0], samples[(0, i)][0]) for i in range(10))


def stream(rounds=range(3), **options):
    known = {"batch_size": 2, "steps": 4, "seed": 5, **options}
    return [list(RoundSampler(7, round_=round_, **known)) for round_ in rounds]


def test_every_pass_shows_every_picture_once():
    keys = [key for part in stream(range(7)) for key in part]
    for turn in range(8):
        assert Counter(index for seen, index in keys if seen == turn) == Counter(range(7))
    orders = {tuple(i for seen, i in keys if seen == turn) for turn in range(8)}
    assert len(orders) == 8


def test_a_later_round_goes_on_where_the_last_ended():
    sampler = RoundSampler(7, batch_size=2, steps=4, seed=5)
    joined = list(RoundSampler(7, batch_size=2, steps=12, seed=5))
    parts = []
    for round_ in range(3):
        sampler.set_epoch(round_)
        parts += list(sampler)
    assert parts == joined == [key for part in stream() for key in part]
    assert len(sampler) == 8


def test_processes_share_each_batch_of_the_one_stream():
    (alone,) = stream([1], batch_size=4)
    ranks = [stream([1], rank=rank, world_size=2)[0] for rank in range(2)]
    shared = [key for step in range(4) for part in ranks for key in part[2 * step : 2 * step + 2]]
    assert shared == alone


def test_loaders_keep_sizes_and_show_each_test_picture_once(splits):
    sampler = RoundSampler(10, batch_size=3, steps=2, seed=0)
    batches = list(
        detection_train_loader(splits.train, masks=False, sampler=sampler, batch_size=3, seed=0)
    )
    assert [len(batch) for batch in batches] == [3, 3]
    assert all(
        isinstance(image, Tensor) and image.dtype == torch.uint8 for image in batches[0].images
    )
    assert "masks" not in batches[0].targets[0]
    parts = [
        [
            i
            for b in detection_val_loader(splits.val, batch_size=2, rank=r, world_size=2)
            for i in b.indices
        ]
        for r in range(2)
    ]
    assert parts == [[0, 2, 4], [1, 3]]
    with pytest.raises(ValueError, match="batch_size=0"):
        detection_val_loader(splits.val, batch_size=0)
