"""A backbone with its filter as an ONNX graph."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from salmask_plugin.evaluation.backbone import PretrainedBackbone
from salmask_plugin.filters import HighPassFilter, blur_matrix


class FixedSizeHighPass(nn.Module):
    """:class:`HighPassFilter` for square images of one size: two matrices, which a graph can hold.

    Args:
        view_filter: the filter.
        size: side of the images in pixels.
    """

    matrix: Tensor

    def __init__(self, view_filter: HighPassFilter, size: int) -> None:
        super().__init__()
        kernel = (view_filter.kernel_size, view_filter.sigma)
        matrix = blur_matrix(size, *kernel, torch.device("cpu"), torch.float32)
        self.register_buffer("matrix", matrix)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``images - blur(images)``, (B, C, size, size)."""
        return images - self.matrix @ images @ self.matrix.T


def write_onnx(
    backbone: PretrainedBackbone, path: Path, described: dict[str, Any], view_size: int
) -> str:
    """Write the graph: "images" (B, 3, view_size, view_size), normalised -> "features" (B, D).

    The batch size is free; the side is fixed, as the filter's matrices are.

    Raises:
        ImportError: if onnx or onnxscript is not installed.
        ValueError: if the filter does not fit into the view.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise ImportError(f"{error}. Install it with: pip install '.[export]' in its clone.") from (
            error
        )
    network: nn.Module = backbone.network
    example = torch.zeros(2, 3, view_size, view_size)
    if backbone.view_filter is not None:
        backbone.view_filter(example)  # refuses a view that is too small
        network = nn.Sequential(FixedSizeHighPass(backbone.view_filter, view_size), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter about itself
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
        assert program is not None
    model = program.model_proto
    for key in ("architecture", "fingerprint", "normalisation", "view_filter"):
        entry = model.metadata_props.add()
        entry.key, entry.value = f"salmask.{key}", str(described[key])
    onnx.save_model(model, str(path))
    return path.name
