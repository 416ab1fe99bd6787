"""A model card says what a user must know, and does not invent what nobody said."""

import re
from dataclasses import replace

from salmask_plugin.lab.export.model_card import UNKNOWN, model_card
from salmask_plugin.lab.results import DataSet, Evaluation, RunRecord

DESCRIBED = {
    "architecture": "resnet50",
    "feature_dim": 2048,
    "normalisation": {"mean": [0.485], "std": [0.229]},
    "view_size": 224,
    "view_filter": {"kind": "images - blur", "kernel_size": 11, "sigma": 5.0},
    "fingerprint": "ab" * 32,
    "source": "a run",
}
FILES = [("timm", "model.safetensors", "timm.create_model(...)")]
RECORD = RunRecord(
    name="x",
    host="lightly",
    method="mocov2",
    recipe="highpass",
    seed=3,
    data=DataSet("imagenet100", 126689, 5000, 100, 224),
    backbone="resnet50",
    epochs=200,
    batch_size=128,
    localizer="resnet50",
    localizer_trained_on="ImageNet-1k labels",
    evaluations={"flowers102/linear": Evaluation({"top1_last": 0.9123}, {"epochs": 100})},
)


def test_a_card_of_a_run():
    card = model_card(DESCRIBED, FILES, RECORD, filter_outside=True)
    steps = [card.index(text) for text in ("1. RGB", "2. Normalise", "3. High-pass filter")]
    assert steps == sorted(steps)
    assert "11 taps, sigma 5 px" in card
    assert "apply step 3 yourself" in card
    assert "localizer: resnet50, trained on ImageNet-1k labels" in card
    assert "| flowers102/linear | top1\\_last 91.23 % | epochs=100 |" in card
    assert "these weights: none chosen yet" in card
    assert "the weights of resnet50 (ImageNet-1k labels)" in card


def test_a_card_says_whether_labels_were_learned_from():
    assert "126,689 training images, without their labels" in model_card(DESCRIBED, FILES, RECORD)
    supervised = model_card(DESCRIBED, FILES, replace(RECORD, method="supervised"))
    assert "126,689 training images, with their labels" in supervised


def test_a_card_of_a_stranger_s_checkpoint_admits_what_is_not_known():
    card = model_card({**DESCRIBED, "view_filter": None}, FILES, None, license="MIT")
    assert card.count(UNKNOWN) == 2
    assert "3. No filter." in card
    assert "these weights: MIT" in card
    assert "## Results" not in card


HOSTILE = "<script>x</script> [l](javascript:1) `|\n# h\n| a |\x1b[31m\u202e\udcff ![i](http://x/y)"


def test_nothing_in_a_card_is_markup_but_the_card():
    """Names come from records and checkpoints, whoever wrote them."""
    record = replace(
        RECORD,
        host=HOSTILE,
        method=HOSTILE,
        recipe=HOSTILE,
        localizer=HOSTILE,
        localizer_trained_on=HOSTILE,
        data=replace(RECORD.data, name=HOSTILE),
        environment=replace(RECORD.environment, commit=HOSTILE),
        notes=("# h", "- a", "1. b", "=== c", HOSTILE),
        evaluations={HOSTILE: Evaluation({HOSTILE: 0.5}, {HOSTILE: HOSTILE})},
    )
    described = {
        **DESCRIBED,
        "architecture": HOSTILE,
        "source": HOSTILE,
        "fingerprint": HOSTILE,
        "view_filter": None,
    }
    files = [(HOSTILE, HOSTILE, "``a`` " + HOSTILE)]
    card = model_card(described, files, record, license=HOSTILE)
    plain = model_card({**DESCRIBED, "view_filter": None}, FILES, RECORD)
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert len(headings) == len([line for line in plain.splitlines() if line.startswith("#")])
    assert all(sign.isprintable() or sign == "\n" for sign in card)
    card.encode()
    # Without what is escaped, then without code, of which nothing here is.
    html = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\.", "", card))
    for markup in ("<", "](", "`"):
        assert markup not in html
    (row,) = (line for line in html.splitlines() if line.startswith("|") and "0.5" in line)
    assert row.count("|") == 4
    for start in ("- # h", "- - a", "- 1. b", "- === c"):
        assert start not in card
