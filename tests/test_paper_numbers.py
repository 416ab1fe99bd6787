"""One table of the paper's and the protocols' numbers, compared with what composes.

Written from the papers and the released code, not from ``configs/``. A node must hold these values
and no others, so that a new key needs a number here too.
"""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings, register_resolvers

# Section 4 and appendix A of Chin et al. (WACV 2024), and its released code: view 224, 7 x 7 cells.
# Cells are rounded at random, which keeps the ratio; the released code rounds to the nearest.
RULES = {"per_channel": False, "tolerance": 0.6, "rounding": "random"}
QUERY = RULES | {"ratio": [0.05, 0.25], "background": True}
NEGATIVE = RULES | {"ratio": [0.4, 0.7], "background": False}
NEAREST = {"rounding": "nearest"}
FIFTEEN = QUERY | {"ratio": [0.15, 0.15]}  # its ablations on TinyImageNet


def mixture(window, grid, **focal):
    """Focal in a fifth; of the rest three tenths on all channels alike, seven on each."""
    size, inside = window
    return {
        "weights": pytest.approx([0.2, 0.8 * 0.3, 0.8 * 0.7]),
        "samplers": [
            {"size": pytest.approx(size / 224), "inside": inside, "rounding": "random"} | focal,
            grid,
            grid | {"per_channel": True},
        ],
    }


KEEP, LOSE = (200, False), (130, True)
SAMPLERS = {
    "query": QUERY,
    "negative": NEGATIVE,
    "query_15": FIFTEEN,
    "query_15_foreground": FIFTEEN | {"background": False},
    "query_mixture": mixture(KEEP, QUERY),
    "negative_mixture": mixture(LOSE, NEGATIVE),
    "query_15_mixture": mixture(KEEP, FIFTEEN),
    "query_15_mixture_foreground": mixture(KEEP, FIFTEEN | {"background": False}),
    # Not in the paper: as large as its masks, placed by another rule.
    "matched": {"ratio": [0.4, 0.7], "pool": "anywhere", "tolerance": 0.6},
    "matched_background": {"ratio": [0.4, 0.7], "pool": "background", "tolerance": 0.6},
    "systematic": {"ratio": [0.05, 0.25]},
    "top": {"ratio": [0.4, 0.7]},
    "released_query": QUERY | NEAREST,
    "released_negative": NEGATIVE | NEAREST,
    "released_query_mixture": mixture(KEEP, QUERY | NEAREST, **NEAREST),
    "released_negative_mixture": mixture(LOSE, NEGATIVE | NEAREST, **NEAREST),
    "everything": QUERY | {"ratio": [1.0, 1.0]},
    "background": {"ratio": [1.0, 1.0], "tolerance": 0.0},
    "block": {"ratio": [0.05, 0.25], "blocks": 1, "aspect": [0.5, 2.0]},
}
# torchvision's RandomErasing: half the views, .02 to .33 of each, sides as 0.3 to 3.3, black.
ERASED = SAMPLERS["block"] | {"ratio": [0.02, 0.33], "aspect": [0.3, 3.3]}
FILLS = {
    "mean": {},
    "blur": {"kernel_size": 31, "sigma": 10.0},
    "noise": {"std": 0.18},
    "other_image": {},
    "unseen": {},
    # Ge et al. (NeurIPS 2021): sides from 16 to 72 of 224 px.
    "tile": {"size": pytest.approx([16 / 224, 72 / 224])},
    # Ours: the two fills of the study's hidden pictures, as often as each other.
    "mixture": {"weights": [0.5, 0.5], "fills": [{}, {}]},
}
FILTERS = {"highpass": {"kernel_size": 11, "sigma": 5.0}}


def recipe(query, negative, **changes):
    return {
        "query": query,
        "negative": negative,
        "view_filter": None,
        "negative_source": "key",
        "num_negatives": 1,
        "branch": "query",
        "probability": 1.0,
    } | changes


def part(sampler, fill, **changes):
    return {"sampler": SAMPLERS[sampler], "fill": FILLS[fill] | changes}


def highpass(prefix=""):
    return recipe(
        part(f"{prefix}query_mixture", "noise"),
        part(f"{prefix}negative_mixture", "noise", std=0.14),
        view_filter=FILTERS["highpass"],
    )


def simple(fill, prefix=""):
    return recipe(part(f"{prefix}query", fill), part(f"{prefix}negative", fill))


BACKGROUND = {"branch": "both", "probability": 0.2}
MEAN, HIGHPASS = simple("mean"), highpass()
MASKINGS = {
    "mean": MEAN,
    "blur": simple("blur"),
    "highpass": HIGHPASS,
    "mean_permuted": MEAN,
    "released_mean": simple("mean", "released_"),
    "released_blur": simple("blur", "released_"),
    "released_highpass": highpass("released_"),
    # Not in the paper: the query alone, by the encoder's own saliency.
    "label_free": MEAN | {"negative": None},
    "label_free_warmup": MEAN | {"negative": None},
    "random": MEAN | {"negative": None},
    "mscn": HIGHPASS | {"negative": None, "branch": "both"},
    "nonsemantic": MEAN
    | {"query": None, "negative": part("everything", "tile"), "negative_source": "query"},
    "none": {},
    # Not in the paper: the query's masks, shown otherwise; the background of a view in five.
    "other_image": recipe(part("query", "other_image"), None),
    "sparse": recipe(part("query", "unseen"), None),
    "background_mean": recipe(part("background", "mean"), None, **BACKGROUND),
    "background_noise": recipe(part("background", "noise", std=1.0), None, **BACKGROUND),
    "background_swap": recipe(part("background", "other_image"), None, **BACKGROUND),
    "erasing": recipe(
        {"sampler": ERASED, "fill": {"std": 0.0}}, None, branch="both", probability=0.5
    ),
}

# Recipes with a lattice of their own: the paper's cells, and erasing's 7 pixels at 224.
GRIDS = {"random": [7, 7], "mscn": [7, 7], "nonsemantic": [7, 7], "erasing": [32, 32]}

LOSS = {"rho": 2.0, "hard_negative_bias": 0.0, "positive_in_denominator": True}
LOSS |= {"warm_up": None, "negative_encoding": None}
MOCO = LOSS | {
    "projection_dim": 128,
    "projection_batch_norm": False,
    "queue_size": 65536,
    "momentum": 0.999,
    "temperature": 0.2,
    "learning_rate": 0.015,
    "weight_decay": 1e-4,
    "warmup_epochs": 0,
    "split_batch_size": 32,
}
# Shi et al. (ICML 2022), the released ADIOS-s settings for ResNet-18 on ImageNet-100.
ADIOS = {
    "image_size": 224,
    "in_channels": 3,
    "masks_per_step": "all",
    "norm": "group",
    "entropy": 0.0,
    "projection_dim": 128,
    "temperature": 0.2,
    "weight_decay": 1e-4,
    "mask_optimizer": "lars",
    "trust_coefficient": 0.02,
    "warmup_epochs": 10,
    "warmup_start": 0.003,
    "occluder_updates_statistics": False,
}
ADIOS_SIMCLR = ADIOS | {
    "num_masks": 4,
    "width": 8,
    "sparsity": 0.75,
    "projection_hidden_dim": 2048,
    "learning_rate": 0.18956,
    "mask_learning_rate": 0.49876,
    "optimizer": "lars",
}
ADIOS_MOCO = ADIOS | {
    "num_masks": 6,
    "width": 32,
    "sparsity": 1.0,
    "mask_learning_rate": 0.12952,
    "mask_weight_decay": 1e-5,
    "optimizer": "sgd",
    **{key: MOCO[key] for key in ("queue_size", "momentum", "learning_rate", "split_batch_size")},
}
METHODS = {
    "mocov2": MOCO,
    # Ge et al. (NeurIPS 2021), the updated setting.
    "mocov2_tuned": MOCO | {"queue_size": 16384, "momentum": 0.99, "learning_rate": 0.8},
    # The paper's rate and warm-up; the rest is solo-learn's ImageNet-100 recipe.
    "simclr": LOSS
    | {
        "projection_dim": 128,
        "projection_hidden_dim": None,
        "optimizer": "lars",
        "temperature": 0.2,
        "learning_rate": 0.3,
        "weight_decay": 1e-4,
        "warmup_epochs": 10,
        "trust_coefficient": 0.02,
    },
    "adios_simclr": ADIOS_SIMCLR,
    "adios_s_simclr": ADIOS_SIMCLR | {"masks_per_step": "one"},
    "adios_mocov2": ADIOS_MOCO,
    "adios_s_mocov2": ADIOS_MOCO | {"masks_per_step": "one"},
    "supervised": {"learning_rate": 0.1, "weight_decay": 1e-4, "decay_every": 30},
}
# method -> (images per step, epochs)
LENGTHS = dict.fromkeys(METHODS, (128, 200)) | {
    "mocov2_tuned": (512, 200),
    "supervised": (256, 100),
}

EVALUATION = {
    "tasks": ["knn", "linear"],
    "data": {},
    "reestimate_batch_norm": False,
    "knn": {"k": 200, "temperature": 0.1},  # Wu et al. (CVPR 2018) with 200 neighbours
    # Not of the paper: a probe without a schedule, and accuracy on partly hidden pictures.
    "logistic": {"weight_decays": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], "held_out": 0.1},
    "occlusion": {
        "shares": [0.15, 0.3, 0.5],
        "fills": ["mean", "black", "noise", "picture"],
        "places": ["anywhere"],
        "grid": [7, 7],
        "classifiers": ["linear"],
        "k": 20,
        "temperature": 0.1,
        "weight_decays": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
        "held_out": 0.1,
        "seed": 0,
        "localizer": None,
    },
    # SimCLR, appendix B.5; 60 epochs with 1 % of the labels, 30 with 10 %.
    "finetune": {
        "epochs": 30,
        "learning_rate": 0.05,
        "batch_size": 256,
        "nesterov": True,
        "label_share": 1.0,
    },
    "finetune_1percent": {"task": "finetune", "label_share": 0.01, "epochs": 60},
    "finetune_10percent": {"task": "finetune", "label_share": 0.1, "epochs": 30},
    "linear_1percent": {"task": "linear", "label_share": 0.01},
    "linear_10percent": {"task": "linear", "label_share": 0.1},
}
LINEAR = {
    "epochs": 100,
    "learning_rates": [],
    "held_out": 0.1,
    "batch_size": 256,
    "augment": True,
    "label_share": 1.0,
}
# Appendix A.4: MoCo's own protocol, and a cosine from 1 for SimCLR.
LINEARS = {
    "moco": LINEAR | {"learning_rate": 30.0, "milestones": [60, 80], "head_std": 0.01},
    "simclr": LINEAR | {"learning_rate": 1.0, "milestones": [], "head_std": None},
}

# MoCo's detection configurations (R50-C4 with detectron2), which the paper says it follows.
C4 = {
    "freeze_backbone": False,
    "long_side": 1333,
    "anchor_sides": [32, 64, 128, 256, 512],
    "proposals_train": [12000, 2000],
    "proposals_test": [6000, 1000],
    "regions_per_image": 512,
    "score_threshold": 0.05,
    "detections_per_image": 100,
}
C4_SCHEDULE = {
    "round_steps": 1000,
    "batch_size": 16,
    "learning_rate": 0.02,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "precise_batches": 200,
}
COCO_MODEL = C4 | {"masks": True, "short_sides": list(range(640, 801, 32))}
COCO_SCHEDULE = C4_SCHEDULE | {"warmup_steps": 1000}
DETECTIONS = {
    "voc_c4": (
        C4 | {"masks": False, "short_sides": list(range(480, 801, 32))},
        C4_SCHEDULE | {"steps": 24000, "milestones": [18000, 22000], "warmup_steps": 100},
        {"train": ["2007_trainval", "2012_trainval"], "test": ["2007_test"]},
    ),
    "coco_c4_2x": (
        COCO_MODEL,
        COCO_SCHEDULE | {"steps": 180000, "milestones": [120000, 160000]},
        {"train": "train2017", "val": "val2017"},
    ),
    "coco_c4_1x": (
        COCO_MODEL,
        COCO_SCHEDULE | {"steps": 90000, "milestones": [60000, 80000]},
        {"train": "train2017", "val": "val2017"},
    ),
}
# Monodepth2 (Godard et al. 2019), monocular at 640 x 192 on the Eigen split; the encoder is frozen.
KITTI = {
    "model": {
        "freeze_backbone": True,
        "normalization": "imagenet",
        "height": 192,
        "width": 640,
        "min_depth": 0.1,
        "max_depth": 100.0,
        "decoder_channels": [16, 32, 64, 128, 256],
        "pose_channels": 256,
    },
    "schedule": {"epochs": 20, "batch_size": 12, "learning_rate": 1e-4, "decay_every": 15},
    "test": {"crop": "garg", "median_scaling": True},
}


def values(node):
    """Return a node without the names of its constructors."""
    if isinstance(node, dict):
        return {key: values(value) for key, value in node.items() if not key.startswith("_")}
    return [values(item) for item in node] if isinstance(node, list) else node


def same(found, expected):
    """Compare key by key, so that a failure names the key and lists may be approximate."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            same(found[key], value)
    elif isinstance(expected, list) and any(isinstance(item, dict) for item in expected):
        for item, value in zip(found, expected, strict=True):
            same(item, value)
    else:
        assert found == expected
        assert not isinstance(expected, bool) or found is expected


def leaves(group):
    """Return the names of a group, without presets that are nobody's but ours."""
    names = {path.stem for path in (CONFIGS / group).glob("*.yaml")}
    return {name for name in names if not name.startswith("quick") and not name.endswith("_quick")}


@pytest.mark.parametrize(
    ("group", "table"),
    [
        ("sampler", SAMPLERS),
        ("fill", FILLS),
        ("view_filter", FILTERS),
        ("masking", MASKINGS),
        ("method", METHODS),
        ("evaluation", LINEARS | {"shared": EVALUATION}),
        ("detection", DETECTIONS),
        ("depth", {"kitti": KITTI}),
        ("transfers", {"paper": None, "voc_occlusion": None}),  # the second is ours
    ],
)
def test_every_leaf_has_its_numbers_here(group, table):
    assert leaves(group) == set(table)


@pytest.fixture(scope="module")
def composed():
    """Every leaf below its group and name, in one composition."""
    groups = ("sampler", "fill", "view_filter", "masking", "detection", "depth")
    names = [(group, name) for group in groups for name in leaves(group)]
    given = [f"+{group}@probe.{group}.{name}={name}" for group, name in names]
    # By Hydra alone: `probe` is no setting of the command's.
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return OmegaConf.to_container(compose("run", given), resolve=True)["probe"]


@pytest.mark.parametrize(
    ("group", "table"), [("sampler", SAMPLERS), ("fill", FILLS), ("view_filter", FILTERS)]
)
def test_parts_of_recipes(composed, group, table):
    for name, expected in table.items():
        same(values(composed[group][name]), expected)


@pytest.mark.parametrize("name", [name for name in MASKINGS if name != "none"])
def test_recipes(composed, name):
    leaf = composed["masking"][name]
    found = values(leaf.get("masking", leaf))  # a recipe with a warm-up sets both groups
    localizer = found.pop("localizer")
    same(found, MASKINGS[name])
    assert ("grid" in localizer and len(localizer) == 1) == (name in GRIDS)
    assert localizer.get("grid") == GRIDS.get(name, localizer.get("grid"))


@pytest.mark.parametrize("name", [name for name in METHODS if "adios" in name])
def test_the_occluder_takes_colour_where_an_encoder_does_not_say(name):
    settings = compose_settings([f"method={name}", "masking=none", "~backbone.in_channels"])
    assert settings["method"]["in_channels"] == 3


@pytest.mark.parametrize("name", METHODS)
def test_methods_and_their_lengths(name):
    settings = compose_settings([f"method={name}", "masking=none"])
    same(values(settings["method"]), METHODS[name])
    assert (settings["loader"]["batch_size"], settings["trainer"]["max_epochs"]) == LENGTHS[name]
    assert settings["view_size"] == settings["views"].get("input_size", 224) == 224
    protocol = "moco" if "moco" in name else "simclr"
    same(settings["evaluation"], EVALUATION | {"linear": LINEARS[protocol]})


def test_transfer_has_the_protocol_of_moco_on_thirty_images_per_class():
    given = [f"evaluation.data.{name}.root=somewhere" for name in ("caltech101", "flowers102")]
    found = compose_settings(["transfers=paper", *given])["evaluation"]
    sets = found.pop("data")
    tasks = ["linear", "caltech101/linear", "flowers102/linear"]
    expected = EVALUATION | {"linear": LINEARS["moco"], "tasks": tasks}
    same(found, {key: value for key, value in expected.items() if key != "data"})
    assert sets["caltech101"]["train_per_class"] == 30
    assert all(data["limit_train"] is data["limit_val"] is None for data in sets.values())
    alone = compose_settings(["data=flowers102", "data.root=somewhere"], root="transfer")
    same(alone["evaluation"], EVALUATION | {"linear": LINEARS["moco"]})


@pytest.mark.parametrize("name", DETECTIONS)
def test_detectors(composed, name):
    model, schedule, splits = DETECTIONS[name]
    found = composed["detection"][name]
    same(values(found["model"]), model)
    same(values(found["schedule"]), schedule)
    assert {key: found["data"][key] for key in splits} == splits
    assert found["data"]["limit_train"] is found["data"]["limit_val"] is None
    assert found["data"]["subset_seed"] == 0
    assert found["data"].get("learn_difficult", True)
    assert len(found["data"].get("classes", range(20))) == 20


def test_depth(composed):
    found = values(composed["depth"]["kitti"])
    same({key: found[key] for key in KITTI}, KITTI)
    assert found["data"]["train_list"] == "splits/eigen_zhou/train_files.txt"
    assert found["data"]["test_list"] == "splits/eigen/test_files.txt"
    assert found["data"]["limit_train"] is found["data"]["limit_test"] is None
