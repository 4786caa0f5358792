"""Whatever a network calls that is no operation of ours, with autograd's own way back."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from infoplane.acceleration.operations import Operation


class Called(Operation):
    """Anything else that a network calls: as it is, with autograd's own way back.

    Args:
        network: whose it is.
        node: of the graph.
        low: autocast's precision, None without.
        moving: of what it is given, what depends on the images.
    """

    fresh = False
    gives_back = "shared"  # autograd may return what it was given, or one number for many

    def __init__(self, network: nn.Module, node: fx.Node, low: torch.dtype | None, moving: Sequence[bool]) -> None:
        self._network, self._node, self._low, self._moving = network, node, low, moving

    def forward(self, *given: Any) -> tuple[Any, Any]:
        """Return what it gives.

        Raises:
            RuntimeError: several tensors at once, whose gradients would be lost.
        """
        leaves = [_leaf(value) if moving else value for value, moving in zip(given, self._moving, strict=True)]
        values = dict(zip(self._node.all_input_nodes, leaves, strict=True))
        device = next((value.device.type for value in given if isinstance(value, Tensor)), "cpu")
        with torch.enable_grad(), torch.autocast(device, dtype=self._low, enabled=self._low is not None):
            output = self._call(map_arg(self._node.args, values.get), map_arg(self._node.kwargs, values.get))
        if not isinstance(output, Tensor):
            if any(isinstance(part, Tensor) and part.requires_grad for part in _parts(output)):
                raise RuntimeError(f"{self._node.name} gives several tensors at once; only one can be gone back from")
            return output, None
        return output.detach(), (output, leaves) if output.requires_grad else None

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return autograd's gradients."""
        if saved is None:
            return ()
        output, leaves = saved
        asked = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad]
        found = iter(torch.autograd.grad(output, asked, gradient, retain_graph=True, allow_unused=True))
        return tuple(next(found) if isinstance(leaf, Tensor) and leaf.requires_grad else None for leaf in leaves)

    def _call(self, args: Any, kwargs: Any) -> Any:
        kind, target = self._node.op, self._node.target
        if kind == "get_attr":
            return operator.attrgetter(str(target))(self._network)
        if kind == "call_module":
            return self._network.get_submodule(str(target))(*args, **kwargs)
        if kind == "call_method":
            return getattr(args[0], str(target))(*args[1:], **kwargs)
        assert callable(target)
        return target(*args, **kwargs)


def _leaf(value: Any) -> Any:
    return value.detach().requires_grad_() if isinstance(value, Tensor) and value.is_floating_point() else value


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = tuple(value.values())
    return [part for one in value for part in _parts(one)] if isinstance(value, list | tuple) else [value]
