# ruff: noqa: NPY002 - the global generator is what is tested
"""Loaders: the same batches with any number of workers, on resume, and in shares that cover."""

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform

from salmask_plugin.lab.data import (
    EpochSampler,
    TwoViewData,
    evaluation_loaders,
    generated,
    linear_train_transform,
    pretrain_loader,
    two_views,
)

SPLITS = generated(train_images=22, val_images=9, classes=3, size=32)


def epochs(loader, which):
    """Every batch of the named epochs, flattened to comparable tensors."""
    found = {}
    for epoch in which:
        loader.sampler.set_epoch(epoch)
        found[epoch] = (
            [torch.cat([*batch[0], *batch[2:-1]]).clone() for batch in loader],
            [batch[-1].tolist() for batch in loader],
        )
    return found


def make(seed=0, **options):
    return pretrain_loader(SPLITS.train, MoCoV2Transform(24), batch_size=5, seed=seed, **options)


def equal(first, second):
    return first[1] == second[1] and all(
        torch.equal(a, b) for a, b in zip(first[0], second[0], strict=True)
    )


def test_workers_persistence_and_resume_change_nothing():
    straight = epochs(make(), range(3))
    workers = epochs(make(workers=2), range(3))
    assert all(equal(straight[epoch], workers[epoch]) for epoch in range(3))
    resumed = make(epoch=2)
    assert [batch[2].tolist() for batch in resumed] == straight[2][1]
    assert equal(epochs(make(workers=2, epoch=1), [1])[1], straight[1])
    assert not equal(straight[0], straight[1])
    assert not equal(straight[0], epochs(make(seed=1), [0])[0])


def test_a_batch_and_an_epoch():
    views, labels, indices = next(iter(make()))
    assert [view.shape for view in views] == [(5, 3, 24, 24)] * 2
    assert labels.tolist() == [SPLITS.train.labels[index] for index in indices]
    seen = [index for batch in make() for index in batch[2].tolist()]
    assert len(make()) == 4
    assert len(set(seen)) == len(seen) == 20


def test_masks_travel_in_the_batch():
    loader = pretrain_loader(SPLITS.train, two_views(24), batch_size=5, seed=0, masks=True)
    _, _, masks, indices = next(iter(loader))
    assert [mask.shape for mask in masks] == [(5, 1, 24, 24)] * 2
    assert indices.shape == (5,)


def test_global_generators_are_left_alone():
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(2), np.random.random(2)
    torch.manual_seed(3)
    np.random.seed(3)
    for workers in (0, 1):
        list(make(workers=workers))
    list(evaluation_loaders(SPLITS, view_size=24)[0])
    assert torch.equal(torch.rand(2), expected[0])
    assert np.array_equal(np.random.random(2), expected[1])


def test_processes_share_an_epoch_without_overlap():
    samplers = [EpochSampler(range(24), seed=0, rank=rank, world_size=3) for rank in range(3)]
    shares = [list(sampler) for sampler in samplers]
    assert [len(share) for share in shares] == [len(sampler) for sampler in samplers] == [8] * 3
    assert sorted(index for share in shares for _, index in share) == list(range(24))
    whole = list(EpochSampler(range(24), seed=0, rank=0, world_size=1))
    assert [share[0] for share in shares] == whole[:3]


def test_the_remainder_changes_from_epoch_to_epoch():
    def seen(epoch):
        shares = (
            EpochSampler(range(10), seed=0, epoch=epoch, rank=r, world_size=4) for r in range(4)
        )
        return [index for share in shares for _, index in share]

    assert all(len(seen(epoch)) == len(set(seen(epoch))) == 8 for epoch in range(5))
    assert set().union(*(seen(epoch) for epoch in range(5))) == set(range(10))


def test_seed_and_epoch_are_hashed_not_summed():
    def order(seed, epoch):
        sampler = EpochSampler(range(50), seed=seed, epoch=epoch, rank=0, world_size=1)
        return [index for _, index in sampler]

    assert order(0, 1) != order(1, 0)
    assert order(2, 5) == order(2, 5)


def test_sampler_asks_the_process_group(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    expected = list(EpochSampler(range(9), seed=1, rank=1, world_size=2))
    assert list(EpochSampler(range(9), seed=1)) == expected
    assert list(EpochSampler(range(9), seed=1, rank=0, world_size=1)) != expected


@pytest.mark.filterwarnings("ignore")  # Lightning's own, on this torch
def test_lightning_sets_the_epoch_also_after_a_resume(tmp_path):
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.seen = []

        def train_dataloader(self):
            return data.train_loader(epoch=self.trainer.fit_loop.epoch_progress.current.processed)

        def training_step(self, batch, _):
            self.seen.append(batch[2].tolist())
            return self.layer(torch.ones(1, 1)).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def trainer(max_epochs):
        return pl.Trainer(
            max_epochs=max_epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    data = TwoViewData(SPLITS, MoCoV2Transform(24), batch_size=5, seed=0)
    straight = epochs(make(), range(4))
    module, resumed = Module(), Module()
    first = trainer(2)
    first.fit(module)
    first.save_checkpoint(tmp_path / "last.ckpt")
    trainer(4).fit(resumed, ckpt_path=tmp_path / "last.ckpt")
    assert module.seen == straight[0][1] + straight[1][1]
    assert resumed.seen == straight[2][1] + straight[3][1]


def test_evaluation_loaders_in_order():
    train, val = evaluation_loaders(SPLITS, view_size=24, batch_size=4)
    assert torch.cat([labels for _, labels in train]).tolist() == list(SPLITS.train.labels)
    assert torch.cat([labels for _, labels in val]).tolist() == list(SPLITS.val.labels)
    images = [torch.cat([views for views, _ in train]) for _ in range(2)]
    assert images[0].shape == (22, 3, 24, 24)
    assert torch.equal(*images)


def test_linear_training_is_shuffled_augmented_complete_and_seeded():
    def run(workers):
        train, _ = evaluation_loaders(
            SPLITS,
            view_size=24,
            batch_size=4,
            workers=workers,
            train_transform=linear_train_transform(24),
        )
        found = []
        for epoch in range(2):
            train.sampler.set_epoch(epoch)
            found.append([torch.cat(part) for part in zip(*train, strict=True)])
        return found

    first, second = run(0), run(2)
    for (views, labels), (views_again, labels_again) in zip(first, second, strict=True):
        assert torch.equal(views, views_again)
        assert torch.equal(labels, labels_again)
        assert sorted(labels.tolist()) == sorted(SPLITS.train.labels)
    assert first[0][1].tolist() != first[1][1].tolist()


def test_errors_in_words():
    with pytest.raises(ValueError, match=r"batch_size=23 is larger than the 22 training images"):
        pretrain_loader(SPLITS.train, two_views(24), batch_size=23, seed=0)
    with pytest.raises(ValueError, match=r"batch_size=12 is larger than the 11 .* 2 process"):
        pretrain_loader(SPLITS.train, two_views(24), batch_size=12, seed=0, rank=0, world_size=2)
    with pytest.raises(ValueError, match="batch_size=0"):
        evaluation_loaders(SPLITS, view_size=24, batch_size=0)
    with pytest.raises(ValueError, match="workers=-1"):
        make(workers=-1)
    with pytest.raises(ValueError, match="rank=2"):
        EpochSampler(range(9), seed=0, rank=2, world_size=2)
    with pytest.raises(ValueError, match=r"2 image.* 3 processes"):
        EpochSampler(range(2), seed=0, rank=0, world_size=3)
    with pytest.raises(ValueError, match="epoch=-1"):
        make(epoch=-1)
