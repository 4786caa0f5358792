"""Match the nodes of a traced graph with operations."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from infoplane.acceleration.inner.batch_norm import BatchNorm
from infoplane.acceleration.inner.elementwise import Activation, Flattening, PixelNormalisation
from infoplane.acceleration.inner.linear import Linear
from infoplane.acceleration.inner.max_pooling import MaxPooling
from infoplane.acceleration.inner.operation import Operation

# operators that write over their first argument, and those that compute the same in new memory
IN_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_POOLING = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False}


def match_batch_norm(layer: nn.Module | None) -> nn.BatchNorm2d | None:
    """Return the layer if it is a BatchNorm with statistics for evaluation mode, else None."""
    return layer if type(layer) is nn.BatchNorm2d and layer.running_mean is not None else None


def match_operation(node: fx.Node, layer: nn.Module | None, dtype: torch.dtype | None) -> Operation | None:
    """Return the operation for a node that is no convolution, or None where there is none.

    Args:
        node: of the graph.
        layer: that it calls, or None.
        dtype: in which linear layers compute; None for the type of their input.
    """
    if (norm := match_batch_norm(layer)) is not None:
        return BatchNorm(norm)
    if type(layer) is nn.Linear:
        return Linear(layer, dtype)
    if layer is not None and hasattr(layer, "divides_pixels_by"):
        return PixelNormalisation(layer)
    return match_max_pooling(node, layer) or _match_activation(node, layer) or _match_flattening(node, layer)


def match_max_pooling(node: fx.Node, layer: nn.Module | None) -> MaxPooling | None:
    """Return the operation for a node that is a max-pooling, else None."""
    if type(layer) is nn.MaxPool2d:
        settings = {name: getattr(layer, name) for name in ("kernel_size", *_POOLING)}
    elif node.target is F.max_pool2d:
        positional = dict(zip(("input", "kernel_size", *_POOLING), node.args, strict=False))
        settings = {**_POOLING, **positional, **node.kwargs}
        settings.pop("input")
    else:
        return None
    return None if settings.pop("return_indices") else MaxPooling(**settings)


def _match_activation(node: fx.Node, layer: nn.Module | None) -> Activation | None:
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


def _match_flattening(node: fx.Node, layer: nn.Module | None) -> Flattening | None:
    if node.target is torch.flatten or (node.op, node.target) == ("call_method", "flatten"):
        dimensions = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | node.kwargs
        return Flattening() if dimensions == {"start_dim": 1} else None
    usual = type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)
    return Flattening() if usual else None


def overwrites_shared_input(node: fx.Node, network: nn.Module) -> bool:
    """Return whether a node writes over its input while another node reads that input too."""
    if node.op == "call_module":
        writes = bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    elif node.op == "call_method":
        writes = str(node.target).endswith("_") and not str(node.target).endswith("__")
    else:
        name = getattr(node.target, "__name__", "")
        writes = bool(node.kwargs.get("inplace")) or node.target in (*IN_PLACE, operator.setitem)
        writes = writes or (name.endswith("_") and not name.endswith("__"))
    return writes and (not node.all_input_nodes or len(node.all_input_nodes[0].users) > 1)
