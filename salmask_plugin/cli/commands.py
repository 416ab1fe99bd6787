"""The commands: what each is for, what it takes, and which need a folder or settings."""

from __future__ import annotations

from typing import Any

COMMANDS = {
    "pretrain": "pretrain one encoder (resumes if the run was interrupted)",
    "evaluate": "kNN and linear evaluation of a finished run",
    "transfer": "the same and fine-tuning of any checkpoint, on any data set",
    "embed": "features of a folder of pictures, and pictures of what an encoder finds alike",
    "export": "a backbone for timm, torchvision, detectron2 or ONNX, with a model card",
    "compare": "several rows and seeds: pretrain, evaluate, table, report; skips finished runs",
    "report": "Markdown and HTML report of the runs in a folder",
    "results": "the kept records of several studies as one page, with paired differences",
    "preview": "see saliency, masks and hard negatives on your own images, before any training",
    "explain": "the resolved recipe in plain words, with every departure from the paper",
    "cache": "saliency of every training image, once, for localizer=cached; resumes",
    "audit": "the share of object and background that recipes remove, on images with masks",
    "variance": "how far the views of an image spread in a run's encoder (the paper's Table 7)",
    "detect": "train and test a detector on a run's or any checkpoint's backbone (Tables 2 and 10)",
    "depth": "train and test monocular depth on a run's or any checkpoint's encoder (Table 11)",
    "plan": "hours, memory and images/s of a run, from a few timed steps",
    "doctor": "versions, devices, hosts and weights found, and what to do about what is missing",
}
FOLDERS = {
    "evaluate": "run folder",
    "transfer": "checkpoint, run folder or export",
    "embed": "run folder, checkpoint or export",
    "export": "checkpoint or run folder",
    "cache": "folder of the maps",
    "report": "folder with runs",
    "results": "folder of studies",
    "preview": "images",
    "variance": "run folder",
    "detect": "run folder or checkpoint",
    "depth": "run folder or checkpoint",
}
IMAGES: dict[str, Any] = {
    "type": int,
    "metavar": "N",
    "help": "at most so many images (%(default)s)",
}
ONLY_MISSING: dict[str, Any] = {
    "action": "store_true",
    "help": "leave out results that are there already under the same settings",
}
ARCHITECTURE: dict[str, Any] = {
    "help": "where the weights do not tell, such as resnet18_cifar",
}
PART: dict[str, Any] = {
    "help": "where in the file the encoder is, such as model_state_dict.base_encoder",
}
SPLIT: dict[str, Any] = {
    "choices": ("train", "val"),
    "default": "val",
    "help": "which images (%(default)s)",
}
FLAGS: dict[str, dict[str, dict[str, Any]]] = {
    "pretrain": {
        "--evaluate": {"action": "store_true", "help": "evaluate as well, in the same process"},
    },
    "evaluate": {"--only-missing": ONLY_MISSING},
    "transfer": {"--only-missing": ONLY_MISSING},
    "embed": {
        "images": {"help": "folder of pictures, in any layout", "metavar": "folder"},
        "out": {"help": "an empty folder"},
        "--architecture": ARCHITECTURE,
        "--part": PART,
        "--view-size": {"type": int, "metavar": "PX", "help": "side of the views; else the run's"},
        "--projection": {
            "choices": ("auto", "pca", "umap"),
            "default": "auto",
            "help": "of the picture: UMAP where umap-learn is installed, else PCA",
        },
        "--workers": {"type": int, "metavar": "N", "default": 0, "help": "that read pictures"},
    },
    "export": {
        "out": {"help": "an empty folder"},
        "--format": {
            "default": "safetensors",
            "metavar": "FORMATS",
            "help": "safetensors (the default), timm, torchvision, detectron2, onnx; timm,onnx",
        },
        "--architecture": ARCHITECTURE,
        "--part": PART,
        "--view-size": {"type": int, "metavar": "PX", "help": "side of ONNX's images"},
        "--filter-outside": {
            "action": "store_true",
            "help": "bare weights of a high-pass encoder, in a format that cannot hold the filter",
        },
        "--license": {"help": "of the weights, for the model card"},
    },
    "explain": {
        "--all": {"action": "store_true", "help": "all resolved settings as well, as JSON"},
    },
    "cache": {
        "--grid": {
            "type": int,
            "metavar": "N",
            "default": 14,
            "help": "store maps of at least N x N cells (%(default)s)",
        },
        "--size": {
            "type": int,
            "metavar": "PX",
            "help": "side at which the localizer sees whole images; about 1.4 times localizer_size",
        },
        "--verify": {
            "action": "store_true",
            "help": "decode every image and compare it with its digest; changed ones are redone",
        },
        "--agreement": {
            "type": int,
            "metavar": "N",
            "help": "compare with the localizer's maps of the views of N images",
        },
    },
    "audit": {
        "--run": {
            "metavar": "FOLDER",
            "help": "a run, whose own saliency is measured at each checkpoint that it has kept",
        },
        "--images": {**IMAGES, "default": 500},
        "--split": SPLIT,
        "--object-share": {
            "type": float,
            "nargs": 2,
            "metavar": ("LOW", "HIGH"),
            "default": (0.01, 0.75),
            "help": "leave views out whose object is a smaller or larger share of them (0.01 0.75)",
        },
    },
    "variance": {
        "--images": {**IMAGES, "default": 1000},
        "--split": SPLIT,
        "--views": {
            "type": int,
            "metavar": "R",
            "default": 32,
            "help": "views per image (%(default)s)",
        },
        "--layer": {
            "choices": ("projection", "backbone"),
            "default": "projection",
            "help": "whose output is measured (%(default)s)",
        },
        "--batch-norm": {
            "choices": ("batch", "running"),
            "default": "batch",
            "help": "statistics of the batch, as in training, or the running ones (%(default)s)",
        },
    },
}
EVERY_PROCESS = ("pretrain", "detect", "depth", "plan")
"""Commands that a launcher's processes share; of the others the first does everything."""
NO_SETTINGS = ("doctor", "embed", "export")
OVERRIDES_HELP = "settings as key=value, e.g. masking=blur data=cifar10 data.root=/data/cifar10"
