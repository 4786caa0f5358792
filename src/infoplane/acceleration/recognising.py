"""Which operation a call in a network's graph is."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from infoplane.acceleration.operations import (
    Activation,
    AveragePooling,
    BatchNorm,
    Flattening,
    Linear,
    MaxPooling,
    Normalising,
    Operation,
    Sum,
)

# what writes over its first argument, and what does the same elsewhere
IN_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_POOLING = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False}


def is_convolution(layer: nn.Module | None) -> bool:
    """Whether a layer is a convolution with zeros around its maps, and no subclass or parametrised one."""
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def with_fixed_statistics(layer: nn.Module | None) -> nn.BatchNorm2d | None:
    """Return the layer if it is a BatchNorm that has statistics for evaluation, else None."""
    return layer if type(layer) is nn.BatchNorm2d and layer.running_mean is not None else None


def other_operation(node: fx.Node, layer: nn.Module | None, low: torch.dtype | None) -> Operation | None:
    """Return the operation of a call that is no convolution, None where there is none for it.

    Args:
        node: of the graph.
        layer: that it calls, if it calls one.
        low: in which linear layers compute.
    """
    if (norm := with_fixed_statistics(layer)) is not None:
        return BatchNorm(norm)
    if type(layer) is nn.Linear:
        return Linear(layer, low)
    if layer is not None and hasattr(layer, "divides_pixels_by"):
        return Normalising(layer)
    return pooling_of(node, layer) or _averaging(node, layer) or _activation(node, layer) or _joining(node, layer)


def pooling_of(node: fx.Node, layer: nn.Module | None) -> MaxPooling | None:
    """Return the max-pooling of a call, None where it is another."""
    if type(layer) is nn.MaxPool2d:
        given = {name: getattr(layer, name) for name in ("kernel_size", *_POOLING)}
    elif node.target is F.max_pool2d:
        given = {**_POOLING, **dict(zip(("input", "kernel_size", *_POOLING), node.args, strict=False)), **node.kwargs}
        given.pop("input")
    else:
        return None
    return None if given.pop("return_indices") else MaxPooling(**given)


def _averaging(node: fx.Node, layer: nn.Module | None) -> AveragePooling | None:
    if type(layer) is nn.AvgPool2d:
        size, stride = layer.kernel_size, layer.stride
        usual = (layer.padding, layer.ceil_mode, layer.divisor_override) == (0, False, None)
        return AveragePooling(size) if isinstance(size, int) and stride == size and usual else None
    if node.target is F.avg_pool2d and len(node.args) == 2 and not node.kwargs and isinstance(node.args[1], int):
        return AveragePooling(node.args[1])
    return None


def _activation(node: fx.Node, layer: nn.Module | None) -> Activation | None:
    if (
        type(layer) is nn.ReLU
        or node.target in (F.relu, torch.relu)
        or (node.op, node.target) == ("call_method", "relu")
    ):
        return Activation()
    slope: Any = None
    if type(layer) is nn.LeakyReLU:
        slope = layer.negative_slope
    elif node.target is F.leaky_relu:
        slope = node.kwargs.get("negative_slope", node.args[1] if len(node.args) > 1 else 0.01)
    return Activation(slope) if isinstance(slope, float) and slope > 0 else None


def _joining(node: fx.Node, layer: nn.Module | None) -> Operation | None:
    if node.target in (operator.add, torch.add) and set(node.kwargs) <= {"inplace"}:
        return Sum() if [isinstance(one, fx.Node) for one in node.args] == [True, True] else None
    given = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | node.kwargs
    if node.target is torch.flatten or (node.op, node.target) == ("call_method", "flatten"):
        return Flattening() if given == {"start_dim": 1} else None
    usual = type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)
    return Flattening() if usual else None


def writes_over_others(node: fx.Node, network: nn.Module) -> bool:
    """Whether a call writes in place where another call reads too."""
    if node.op == "call_module":
        writes = bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    elif node.op == "call_method":
        writes = str(node.target).endswith("_") and not str(node.target).endswith("__")
    else:
        name = getattr(node.target, "__name__", "")
        writes = bool(node.kwargs.get("inplace")) or node.target in (*IN_PLACE, operator.setitem)
        writes = writes or (name.endswith("_") and not name.endswith("__"))
    return writes and (not node.all_input_nodes or len(node.all_input_nodes[0].users) > 1)
