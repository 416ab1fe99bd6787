"""What ``--help`` of a command says below its flags: the main settings and two examples."""

from __future__ import annotations

_RUN = {
    "data=NAME": "cifar10, folder, ...; data.root=FOLDER",
    "masking=NAME": "highpass (the default), blur, mean, none, random, ...",
    "localizer=NAME": "resnet50 (the default), efficientnet_lite0, cached, ...",
    "method=NAME": "mocov2 (the default), simclr, ...",
    "backbone=NAME": "resnet50 (the default), small, timm, torchvision, ...",
    "epochs=200": "trainer.max_epochs",
    "batch_size=128": "loader.batch_size, of each process",
    "lr=0.015": "method.learning_rate; each method has its own",
    "devices=1": "trainer.devices",
    "workers=8": "loader.workers; at most the cores",
    "view_size=224": "side of the views in pixels",
    "in_channels=3": "of pictures and encoder; others than RGB: docs/data.md",
    "seed=0": "",
    "out=runs name=NAME": "where the run goes",
}
_ENCODER = {
    "workers=8": "loader.workers; at most the cores",
    "out=FOLDER name=NAME": "where results on checkpoints of others go",
    "architecture=null": "where the weights do not tell, such as resnet18_cifar",
    "seed=0": "",
}
KEYS: dict[str, dict[str, str]] = {
    "pretrain": _RUN,
    "plan": _RUN,
    "explain": _RUN,
    "compare": {
        "experiment=NAME": "demo, cifar10_quick, paper/table1_mocov2, ...",
        "compare.only=[none]": "some of the rows",
        "compare.seeds=[0]": "every row with every seed",
        "compare.parallel=1": "rows at a time",
        **_RUN,
    },
    "evaluate": {
        "evaluation.tasks=[knn,linear]": "what is measured",
        "workers=8": "loader.workers; at most the cores",
    },
    "transfer": {
        "data=NAME": "flowers102, imagefolder, ...; data.root=FOLDER",
        "evaluation.tasks=[...]": "knn, linear, logistic, finetune",
        **_ENCODER,
    },
    "detect": {"detection=NAME": "voc_c4 (the default), coco_c4_1x, ...", **_ENCODER},
    "depth": {"depth=NAME": "kitti (the default), ...", **_ENCODER},
    "cache": {name: _RUN[name] for name in ("data=NAME", "localizer=NAME", "workers=8")},
    "preview": {name: _RUN[name] for name in ("masking=NAME", "localizer=NAME", "view_size=224")},
    "audit": {name: _RUN[name] for name in ("data=NAME", "masking=NAME", "localizer=NAME")},
    "variance": {name: _RUN[name] for name in ("masking=NAME", "localizer=NAME")},
    "report": {"baseline=none": "", "title=TEXT": "", "out=FOLDER": "FOLDER/report"},
    "results": {"keep=RUNS study=NAME": "copy finished records into a study first"},
}
"""Command -> setting with its default -> what it is."""
EXAMPLES: dict[str, tuple[str, ...]] = {
    "pretrain": (
        "salmask pretrain photos masking=mean localizer=efficientnet_lite0 epochs=10",
        "salmask pretrain --evaluate experiment=demo masking=mean",
    ),
    "evaluate": (
        "salmask evaluate runs/mine",
        "salmask evaluate runs/mine 'evaluation.tasks=[knn]' --only-missing",
    ),
    "transfer": (
        "salmask transfer moco_v2.pth data=flowers102 data.root=data/flowers",
        "salmask transfer runs/mine data=imagefolder data.root=data/mine",
    ),
    "embed": (
        "salmask embed runs/mine photos embedded",
        "salmask embed runs/mine photos embedded --projection pca",
    ),
    "export": (
        "salmask export runs/mine exported",
        "salmask export runs/mine exported --format timm,onnx",
    ),
    "compare": (
        "salmask compare experiment=demo",
        "salmask compare experiment=cifar10_quick data.root=cifar10",
    ),
    "report": ("salmask report runs", "salmask report runs baseline=none title='My runs'"),
    "results": (
        "salmask results docs/results",
        "salmask results docs/results keep=runs study=1_mine",
    ),
    "preview": ("salmask preview photos", "salmask preview photos masking=blur view_size=96"),
    "explain": (
        "salmask explain data=cifar10 data.root=cifar10 masking=mean",
        "salmask explain --all experiment=demo",
    ),
    "cache": (
        "salmask cache data/maps data=cifar10 data.root=cifar10",
        "salmask cache data/maps data=cifar10 data.root=cifar10 --grid 6 --size 192",
    ),
    "audit": (
        "salmask audit data=generated view_size=64",
        "salmask audit data=coco data.root=data/coco --images 1000",
    ),
    "variance": (
        "salmask variance runs/mine",
        "salmask variance runs/mine masking=mean --views 8 --images 200",
    ),
    "detect": (
        "salmask detect runs/mine detection=voc_c4 detection.data.root=data/voc",
        "salmask detect runs/mine detection=quick",
    ),
    "depth": (
        "salmask depth runs/mine depth.data.root=data/kitti",
        "salmask depth runs/mine depth=quick",
    ),
    "plan": (
        "salmask plan data=cifar10 data.root=cifar10",
        "salmask plan experiment=demo",
    ),
    "doctor": ("salmask doctor",),
}
"""Command -> what one types."""


def usage_of(command: str) -> str:
    """Return the main settings of a command with their defaults, and examples."""
    keys = KEYS.get(command, {})
    wide = max(map(len, keys), default=0)
    settings = [f"  {key:{wide}}  {text}".rstrip() for key, text in keys.items()]
    lines = ["main settings:", *settings, ""] if settings else []
    examples = [f"  {line}" for line in EXAMPLES.get(command, ())]
    return "\n".join([*lines, "examples:", *examples] if examples else lines)
