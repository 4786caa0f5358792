"""Fallback: run any other graph node under autograd."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from infoplane.acceleration.inner.operation import Operation


class AutogradFallback(Operation):
    """A graph node that no other operation matches: it is called as it is, and autograd gives the gradients.

    Args:
        network: the network that was traced.
        node: of its graph.
        dtype: for autocast; None without.
        from_images: for each input, whether it depends on the images.
    """

    gradient_memory = "shared"  # autograd may return the gradient it was given, or one number for many

    def __init__(
        self, network: nn.Module, node: fx.Node, dtype: torch.dtype | None, from_images: Sequence[bool]
    ) -> None:
        self._network, self._node, self._dtype, self._from_images = network, node, dtype, from_images

    def forward(self, *inputs: Any) -> tuple[Any, Any]:
        """Return the output of the node.

        Raises:
            RuntimeError: it gives several tensors at once, whose gradients would be lost.
        """
        leaves = [_leaf(value) if moves else value for value, moves in zip(inputs, self._from_images, strict=True)]
        values = dict(zip(self._node.all_input_nodes, leaves, strict=True))
        device = next((value.device.type for value in inputs if isinstance(value, Tensor)), "cpu")
        with torch.enable_grad(), torch.autocast(device, dtype=self._dtype, enabled=self._dtype is not None):
            output = self._call(map_arg(self._node.args, values.get), map_arg(self._node.kwargs, values.get))
        if not isinstance(output, Tensor):
            if any(isinstance(part, Tensor) and part.requires_grad for part in _parts(output)):
                raise RuntimeError(f"{self._node.name} gives several tensors at once: gradients need a single one")
            return output, None
        return output.detach(), (output, leaves) if output.requires_grad else None

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return autograd's gradients."""
        if saved is None:
            return ()
        output, leaves = saved
        wanted = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad]
        found = iter(torch.autograd.grad(output, wanted, gradient, retain_graph=True, allow_unused=True))
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
