"""A trace that fails on operations which make the host wait for a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

READS = {
    aten._local_scalar_dense.default: "item(), int(), float() or bool() of a tensor",
    aten.nonzero.default: "nonzero",
    aten.nonzero_numpy.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten.unique_dim.default: "unique",
    aten._unique2.default: "unique",
    aten.repeat_interleave.Tensor: "repeat_interleave by a tensor of counts",
    aten.equal.default: "torch.equal",
    aten.is_nonzero.default: "a tensor's truth",
}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
MAKERS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}
SENDS = "the host waits for the device: a list or number becomes a tensor"


class _NoSending(TorchFunctionMode):
    """Raise where a list or number becomes a tensor that is not on the CPU.

    On the level of calls, since torch before 2.15 dispatches no operation there.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in MAKERS and not isinstance(args[-1], Tensor) and result.device.type != "cpu":
            raise AssertionError(SENDS)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device.type != "cpu":
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(each, (list, np.ndarray)) for each in index):
                raise AssertionError(SENDS)
        return result


def _target(kwargs: dict[str, Any]) -> str:
    device = kwargs.get("device")
    return "cpu" if device is None else device.type


class NoWaiting(TorchDispatchMode):
    """Raise on what would synchronise if the tensors were on a GPU; run it on a CPU.

    Their sizes or values are known on the device only: reads of a scalar, ``nonzero`` and its kin,
    boolean indices. Copies to the host cannot be seen here, where everything is on it already.
    Numbers that the host sends to the device can, where the tensors are on "meta".
    """

    def __init__(self) -> None:
        super().__init__()
        self.sending = _NoSending()

    def __enter__(self) -> Any:
        self.sending.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.sending.__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in READS:
            raise AssertionError(f"the host waits for the device: {READS[func]} ({func})")
        if func is aten.lift_fresh.default and args[0].device.type != "cpu":
            raise AssertionError(SENDS)
        if func is aten._to_copy.default and args[0].device.type == "cpu" != _target(kwargs):
            raise AssertionError("the host waits for the device: a tensor of the host is copied")
        if func in INDEXED and any(
            isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)
            for index in args[1]
        ):
            raise AssertionError(f"the host waits for the device: a boolean index ({func})")
        return func(*args, **(kwargs or {}))


class CountOperations(TorchDispatchMode):
    """Count the operations that are dispatched. What one does inside is its own affair."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))
