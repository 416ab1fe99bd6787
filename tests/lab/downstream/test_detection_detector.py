"""The C4 detector: strides, the shared res5 forward, the filter's place, freezing, the schedule."""

import copy

import pytest
import torch
from oracles.narrow_resnet import narrow_backbone
from torch import nn

from salmask_plugin.encoders import PretrainedBackbone, fingerprint
from salmask_plugin.filters import HighPassFilter
from salmask_plugin.lab.downstream.detection import C4Detector, Schedule
from salmask_plugin.lab.downstream.detection.parts import FEATURES, DetectorInput, ProposalNetwork

SMALL = {
    "short_sides": (64,),
    "long_side": 96,
    "anchor_sides": (16, 32),
    "proposals_train": (50, 6),
    "proposals_test": (40, 5),
    "regions_per_image": 4,
}


@pytest.fixture(scope="module")
def backbone():
    return narrow_backbone()


def detector_of(backbone, **options):
    own = PretrainedBackbone(copy.deepcopy(backbone.network), "narrow", 64, None, "", "a test")
    torch.manual_seed(1)
    return C4Detector(own, 3, **{**SMALL, **options})


def batch(generator):
    images = [
        torch.rand(3, 64, 80, generator=generator),
        torch.rand(3, 70, 64, generator=generator),
    ]
    masks = torch.zeros(2, 1, 70, 80, dtype=torch.uint8)
    masks[:, :, 8:40, 4:30] = 1
    targets = [
        {"boxes": torch.tensor([[4.0, 8, 30, 40]]), "labels": torch.tensor([label]), "masks": mask}
        for label, mask in ((1, masks[0, :, :64]), (3, masks[1, :, :, :64]))
    ]
    return images, targets


def test_one_map_of_a_sixteenth_and_regions_of_seven(backbone, generator):
    detector = detector_of(backbone, masks=True).eval()
    maps = detector.backbone(torch.rand(2, 3, 96, 64, generator=generator))
    assert maps[FEATURES].shape == (2, 32, 6, 4)
    heads = detector.roi_heads
    regions = heads._regions(maps[FEATURES], [torch.tensor([[0.0, 0, 50, 60]])] * 2)
    assert regions.shape == (2, 64, 7, 7)
    assert heads._masks(regions).shape == (2, 4, 14, 14)
    scores, changes = heads._boxes(regions)
    assert (scores.shape, changes.shape) == ((2, 4), (2, 16))


def test_res5_is_the_pretrained_stage_with_one_more_batch_norm(backbone, generator):
    detector = detector_of(backbone).eval()
    head = detector.roi_heads.box_head
    known = backbone.network.layer4.state_dict()
    assert all(torch.equal(known[key], value) for key, value in head.stage.state_dict().items())
    regions = torch.rand(3, 32, 14, 14, generator=generator)
    with torch.no_grad():
        head.norm.running_mean.fill_(0.5)
        expected = (backbone.network.layer4(regions) - 0.5) / (1 + head.norm.eps) ** 0.5
        assert torch.allclose(head(regions), expected, atol=1e-6)


def test_the_mask_head_gets_the_positive_rows_of_the_one_forward(backbone, generator):
    detector = detector_of(backbone, masks=True).train()
    seen = {"res5": [], "mask": []}
    heads = detector.roi_heads
    heads.box_head.register_forward_hook(lambda m, a, out: seen["res5"].append(out))
    heads.mask_head.register_forward_hook(lambda m, a, out: seen["mask"].append(a[0]))
    losses = detector(*batch(generator))
    assert len(seen["res5"]) == 1
    rows = {row.sum().item() for row in seen["res5"][0]}
    assert seen["mask"][0].shape[0] >= 2
    assert {row.sum().item() for row in seen["mask"][0]} <= rows
    assert set(losses) == {
        "loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg",
    }  # fmt: skip
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())


def test_detections_lie_in_their_pictures(backbone, generator):
    detector = detector_of(backbone, masks=True, score_threshold=0.0).eval()
    images, _ = batch(generator)
    with torch.no_grad():
        outputs = detector(images)
    for image, output in zip(images, outputs, strict=True):
        height, width = image.shape[-2:]
        assert len(output["boxes"]) > 0
        assert output["boxes"].min() >= 0
        assert (output["boxes"][:, 2:] <= torch.tensor([width, height]) + 1e-3).all()
        assert output["masks"].shape[-2:] == (height, width)
        assert set(output["labels"].tolist()) <= {1, 2, 3}


def test_the_filter_comes_after_normalisation_and_before_the_padding(generator):
    view_filter = HighPassFilter(kernel_size=5, sigma=1.5)
    images = [
        torch.rand(3, 64, 80, generator=generator),
        torch.rand(3, 96, 64, generator=generator),
    ]
    args = ((64,), 96, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    filtered, _ = DetectorInput(*args, view_filter).eval()(images)
    plain, _ = DetectorInput(*args, None).eval()(images)
    assert filtered.tensors.shape == (2, 3, 96, 80)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in args[2:])
    expected = view_filter(((images[0] - mean) / std)[None])[0]
    assert torch.allclose(filtered.tensors[0, :, :64], expected, atol=1e-6)
    assert filtered.tensors[0, :, 64:].abs().max() == 0
    assert not torch.allclose(filtered.tensors, plain.tensors)
    assert torch.allclose(plain.tensors[0, :, :64], (images[0] - mean) / std)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_backbone_keeps_weights_and_statistics(backbone, generator, frozen):
    detector = detector_of(backbone, freeze_backbone=frozen).train()
    parts = nn.ModuleList(detector.pretrained_parts())
    before, norm = fingerprint(parts), detector.roi_heads.box_head.norm.weight.clone()
    optimizer, _ = Schedule(warmup_steps=0).optimizer_of(detector)
    for _ in range(2):
        images, targets = batch(generator)
        sum(detector(images, targets).values()).backward()
        optimizer.step()
    assert (fingerprint(parts) == before) is frozen
    assert not torch.equal(detector.roi_heads.box_head.norm.weight, norm)
    layers = [m for part in parts for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(layer.training is not frozen for layer in layers)
    trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    own = sum(p.numel() for p in detector.parameters()) - sum(p.numel() for p in parts.parameters())
    assert (trained == own) is frozen


def test_the_proposals_loss_is_l1(backbone):
    network = detector_of(backbone).rpn
    assert isinstance(network, ProposalNetwork)
    changes = torch.tensor([[0.05, -0.3, 0.0, 2.0], [9.0, 9, 9, 9]])
    labels, truth = [torch.tensor([1.0, 0.0])], [torch.zeros(2, 4)]
    _, loss = network.compute_loss(torch.zeros(2, 1), changes, labels, truth)
    assert loss.item() == pytest.approx((0.05 + 0.3 + 2.0) / 2)


def test_networks_without_a_c4_map_are_named(backbone):
    small = copy.deepcopy(backbone.network)
    small.conv1, small.maxpool = nn.Conv2d(3, 8, 3, padding=1), nn.Identity()
    for network, words in ((nn.Linear(2, 2), "needs a ResNet"), (small, "standard stem")):
        other = PretrainedBackbone(network, "resnet18_cifar", 512, None, "", "here.ckpt")
        with pytest.raises(ValueError, match=rf"{words}.*here.ckpt holds resnet18_cifar"):
            C4Detector(other, 3, **SMALL)
    with pytest.raises(ValueError, match="short_sides=\\[16\\]"):
        detector_of(backbone, short_sides=(16,))
    with pytest.raises(ValueError, match="num_classes=0"):
        C4Detector(backbone, 0)


def test_the_schedule_is_mocos(backbone):
    voc = Schedule()
    shares = {step: voc.share_of_rate(step) for step in (0, 50, 100, 17999, 18000, 22000)}
    assert shares == pytest.approx(
        {0: 0.001, 50: 0.5005, 100: 1, 17999: 1, 18000: 0.1, 22000: 0.01}
    )
    assert (voc.rounds, voc.learning_rate, voc.batch_size) == (24, 0.02, 16)
    detector = detector_of(backbone)
    optimizer, _ = voc.optimizer_of(detector)
    decayed, norms = optimizer.param_groups
    assert (decayed["weight_decay"], norms["weight_decay"]) == (1e-4, 0)
    counted = sum(1 for m in detector.modules() if isinstance(m, nn.BatchNorm2d))
    assert len(norms["params"]) == 2 * counted
    known = len(decayed["params"]) + len(norms["params"])
    assert known == len(list(detector.parameters()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 10, "round_steps": 4}, "round_steps=4 must divide steps=10"),
        ({"milestones": (5, 3)}, r"milestones=\[5, 3\] must rise"),
        ({"steps": 18000}, r"milestones=\[18000, 22000\] must be below steps=18000"),
        ({"milestones": (-1,)}, r"milestones=\[-1\]"),
        ({"learning_rate": 0}, "learning_rate=0 must be above 0"),
        ({"precise_batches": -1}, "precise_batches=-1"),
    ],
)
def test_schedules_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        Schedule(**options)
