"""Settings of the C4 detector by what they do: suppression, sizes, anchors, first weights."""

import pytest
import torch
from oracles.narrow_resnet import narrow_backbone

from salmask_plugin.lab.data.outlines import coco_tools
from salmask_plugin.lab.downstream.detection import C4Detector, detections_of
from salmask_plugin.lab.downstream.detection.parts import BoxPredictor, MaskPredictor


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(1)
    return C4Detector(
        narrow_backbone(),
        3,
        short_sides=(64, 48, 80),
        long_side=120,
        proposals_train=(11, 7),
        proposals_test=(9, 4),
        score_threshold=0.05,
        detections_per_image=3,
    )


def beside(overlap):
    """Return two boxes of 100 x 40 with that intersection over union."""
    shift = 100 * (1 - overlap) / (1 + overlap)
    return torch.tensor([[0.0, 0, 100, 40], [shift, 0, 100 + shift, 40]])


@pytest.mark.parametrize(("overlap", "kept"), [(0.49, 2), (0.51, 1)])
def test_detections_of_a_class_are_suppressed_from_half_an_overlap_on(detector, overlap, kept):
    heads = detector.roi_heads
    scores = torch.tensor([[0.0, 4, 0, 0], [0.0, 3, 0, 0]])
    boxes, found, labels = heads.postprocess_detections(
        scores, torch.zeros(2, 16), [beside(overlap)], [(200, 300)]
    )
    assert labels[0].tolist() == [1] * kept
    assert found[0].tolist() == pytest.approx(scores.softmax(1)[:kept, 1].tolist())
    assert torch.allclose(boxes[0], beside(overlap)[:kept], atol=1e-4)


def test_low_scores_and_more_than_the_wanted_detections_are_left_out(detector):
    proposals = torch.tensor([[20.0 * k, 0, 20 * k + 10, 10] for k in range(5)])
    scores = torch.tensor([[0.0, k, -9, -9] for k in (5.0, -2.8, -3.1, 3, 4)])
    assert scores.softmax(1)[1, 1] > 0.05 > scores.softmax(1)[2, 1]
    postprocess = detector.roi_heads.postprocess_detections
    _, found, _ = postprocess(scores, torch.zeros(5, 16), [proposals], [(200, 300)])
    assert len(found[0]) == 3
    _, found, _ = postprocess(scores[1:3], torch.zeros(2, 16), [proposals[1:3]], [(200, 300)])
    assert len(found[0]) == 1


@pytest.mark.parametrize(("overlap", "kept"), [(0.69, 2), (0.71, 1)])
def test_proposals_are_suppressed_from_seven_tenths_on(detector, overlap, kept):
    found, _ = detector.rpn.eval().filter_proposals(
        beside(overlap)[None], torch.tensor([[2.0], [1.0]]), [(200, 300)], [2]
    )
    assert len(found[0]) == kept


@pytest.mark.parametrize(("training", "before", "after"), [(True, 11, 7), (False, 9, 4)])
def test_so_many_proposals_before_and_after_suppression(detector, training, before, after):
    apart = torch.tensor([[20.0 * k, 0, 20 * k + 10, 10] for k in range(14)])
    scores = -torch.arange(14.0)[:, None]
    network = detector.rpn.train(training)
    found, _ = network.filter_proposals(apart[None], scores, [(200, 300)], [14])
    assert len(found[0]) == after
    # All but the first overlap it: of those that come in, it alone is left.
    alike = apart[:1].repeat(14, 1)
    alike[before:] = apart[before:]
    found, _ = network.filter_proposals(alike[None], scores, [(200, 300)], [14])
    assert len(found[0]) == 1
    network.eval()


def test_pictures_get_the_last_short_side_in_the_test_and_any_in_training(detector, generator):
    picture = torch.rand(3, 128, 144, generator=generator)
    transform = detector.transform.eval()
    assert transform([picture])[0].image_sizes == [(80, 90)]
    wide = torch.rand(3, 128, 480, generator=generator)
    assert transform([wide])[0].image_sizes == [(32, 120)]
    torch.manual_seed(0)
    sides = {transform.train()([picture])[0].image_sizes[0][0] for _ in range(30)}
    assert sides == {64, 48, 80}
    transform.eval()


def test_pictures_are_normalised_by_imagenets_mean_and_deviation(detector):
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    picture = (mean + 2 * deviation)[:, None, None].expand(3, 80, 96)
    found = detector.transform.eval()([picture])[0].tensors
    assert torch.allclose(found[0, :, :80, :96], torch.full((3, 80, 96), 2.0), atol=1e-5)


def test_anchors_have_five_sides_and_three_shapes_of_the_same_area(detector):
    cells = detector.rpn.anchor_generator.cell_anchors[0]
    sizes = (cells[:, 2:] - cells[:, :2]).tolist()
    expected = [
        (side / ratio**0.5, side * ratio**0.5)
        for ratio in (0.5, 1.0, 2.0)
        for side in (32, 64, 128, 256, 512)
    ]
    assert len(sizes) == 15
    for size, wanted in zip(sizes, expected, strict=True):
        assert size == pytest.approx(wanted, abs=1.01)  # rounded to whole pixels


def test_regions_are_averaged_for_the_box(detector, generator):
    regions = torch.randn(4, 64, 7, 7, generator=generator)
    predictor = detector.roi_heads.box_predictor
    means = regions.flatten(2).sum(2) / 49
    scores, changes = detector.roi_heads._boxes(regions)
    assert torch.allclose(scores, predictor.scores(means), atol=1e-6)
    assert torch.allclose(changes, predictor.changes(means), atol=1e-6)


def test_predictors_start_as_detectron2s():
    torch.manual_seed(0)
    boxes, masks = BoxPredictor(2048, 81), MaskPredictor(256, 81)
    for layer, deviation in ((boxes.scores, 0.01), (boxes.changes, 0.001), (masks, 0.001)):
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.02)
        assert not layer.bias.detach().any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_what_is_found_has_labels_from_0_and_masks_from_a_half_on():
    pixels = torch.zeros(2, 1, 6, 8)
    pixels[0, 0, 1:4, 2:7] = 0.5
    pixels[0, 0, 5] = 0.499
    pixels[1, 0, :, 3] = 0.9
    boxes = torch.tensor([[2.0, 1, 7, 4], [3, 0, 4, 6]])
    output = {"boxes": boxes, "labels": torch.tensor([3, 1]), "scores": torch.tensor([0.9, 0.2])}
    found = detections_of({**output, "masks": pixels})
    assert found.boxes.tolist() == boxes.tolist()
    assert found.labels.tolist() == [2, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.2])
    decoded = [coco_tools("mask").decode(mask) for mask in found.masks]
    expected = pixels[:, 0] >= 0.5
    assert [mask.tolist() for mask in decoded] == expected.int().tolist()
    assert detections_of(output).masks is None
