"""A backbone with its filter as an ONNX graph."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from salmask_plugin.encoders.backbone import PretrainedBackbone
from salmask_plugin.encoders.convnets import image_channels
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


def remove_traces(model: Any) -> None:
    """Remove what torch notes on every node: the source lines it came from, with their files.

    These are folders of the machine. No runtime reads them.

    Args:
        model: an ONNX model, changed in place.
    """
    model.doc_string = ""
    for graph in (model.graph, *model.functions):
        _remove_traces(graph)


def _remove_traces(graph: Any) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    for name in ("input", "output", "value_info", "initializer"):
        for entry in getattr(graph, name, ()):
            if not isinstance(entry, str):  # functions have names alone
                entry.doc_string = ""
                del entry.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                _remove_traces(inner)


def write_onnx(
    backbone: PretrainedBackbone, path: Path, described: dict[str, Any], view_size: int
) -> str:
    """Write the graph: "images" (B, C, view_size, view_size), normalised -> "features" (B, D).

    The batch size is free; the side is fixed, as the filter's matrices are.

    Raises:
        ImportError: if onnx or onnxscript is not installed.
        ValueError: if the filter does not fit into the view.
    """
    try:
        import onnx  # noqa: F401 - torch's exporter needs both
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{error}. Install it with: pip install '.[export]' in its clone.") from (
            error
        )
    network: nn.Module = backbone.network
    example = torch.zeros(2, image_channels(backbone.network), view_size, view_size)
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
    remove_traces(model)
    for key in ("architecture", "fingerprint", "normalisation", "view_filter"):
        entry = model.metadata_props.add()
        entry.key, entry.value = f"salmask.{key}", str(described[key])
    path.write_bytes(model.SerializeToString())
    return path.name
