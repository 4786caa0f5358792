"""Trace a network into a program: the operations that its `forward` calls, in order."""

import copy
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from infoplane.acceleration.choices import PLAIN, Choices
from infoplane.acceleration.inner.autograd_fallback import AutogradFallback
from infoplane.acceleration.inner.convolution import Convolution, is_convolution
from infoplane.acceleration.inner.matching import (
    IN_PLACE,
    match_batch_norm,
    match_max_pooling,
    match_operation,
    overwrites_shared_input,
)
from infoplane.acceleration.inner.max_pooling import MaxPooling
from infoplane.acceleration.inner.operation import Operation
from infoplane.acceleration.inner.program import Program, Step, single_readers, with_last_uses
from infoplane.acceleration.inner.rowwise_convolution import RowwiseConvolution, can_be_rowwise
from infoplane.acceleration.inner.rowwise_pooling import RowwisePooledConvolution


class TracingError(ValueError):
    """The network cannot be traced."""


def trace(network: nn.Module, choices: Choices = PLAIN) -> Program:
    """Return what `network` computes in evaluation mode.

    The `forward` is traced once, and must not take another path later (`plain_attributes` shows some such changes).
    Tracing does not see blocks without gradients, autograd functions of the network's own, and writing through a
    second name of a tensor: `traces_correctly` compares the result with the network.

    Args:
        network: in any mode; left as it was.
        choices: precision, and which convolutions are computed row by row.

    Raises:
        TracingError: the path depends on values or shapes, the network writes over tensors that are read again, or it
            makes tensors of its own.
        AttributeError: the network has no layer of a name in `choices`.
    """
    for name in (*choices.rowwise, *choices.rowwise_pooled):
        network.get_submodule(name)
    try:
        graph = _Tracer().trace(copy.deepcopy(network).eval())  # a forward may keep what passes through it
        return _Translator(network, graph, choices).program()
    except TracingError:
        raise
    except Exception as error:  # a forward can do anything with what it takes for a tensor
        raise TracingError(f"{type(network).__name__} cannot be traced: {error}") from error


def poolable_convolutions(network: nn.Module) -> tuple[str, ...]:
    """Return names of the convolutions whose output only a max-pooling in 2x2 reads.

    Raises:
        TracingError: as `trace` does.
    """
    names = {id(layer): name for name, layer in network.named_modules()}
    found = []
    for step, reader in single_readers(trace(network)):
        operation = step.operation
        if isinstance(operation, Convolution) and operation.norm is None and can_be_rowwise(operation.layer):
            halved = isinstance(reader.operation, MaxPooling) and reader.operation.halves
            found += [names[id(operation.layer)]] * halved
    return tuple(found)


def is_mostly_convolutions(network: nn.Module) -> bool:
    """Return whether the program has at least as many convolutions as nodes that run under autograd.

    Raises:
        TracingError: as `trace` does.
    """
    operations = [step.operation for step in trace(network).steps]
    convolutions = sum(isinstance(operation, Convolution) for operation in operations)
    return convolutions > 0 and convolutions >= sum(isinstance(one, AutogradFallback) for one in operations)


def plain_attributes(network: nn.Module) -> list[tuple[int, str, Any]]:
    """Return numbers, strings and flags of the traced modules: a change may mean another path through `forward`."""
    return [
        (id(module), name, value)
        for module in _traced_modules(network)
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and name != "training"
    ]


def _traced_modules(network: nn.Module) -> list[nn.Module]:
    """Return the modules whose `forward` is traced; the others are called as a whole."""
    return [module for module in network.modules() if not _is_called(module)]


def _is_called(module: nn.Module) -> bool:
    return not isinstance(module, nn.Sequential) and not module._modules


class _Proxy(fx.Proxy):
    """Records `x += y`, which torch.fx would record as `x + y`."""


def _recorded(function: Callable[..., Any]) -> Callable[[_Proxy, Any], Any]:
    return lambda value, other: value.tracer.create_proxy("call_function", function, (value, other), {})


for _function in IN_PLACE:
    setattr(_Proxy, f"__{_function.__name__}__", _recorded(_function))


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002  # torch.fx passes both
        return _is_called(m)


class _Translator:
    """Translates the graph of a network into a program."""

    def __init__(self, network: nn.Module, graph: fx.Graph, choices: Choices) -> None:
        self._network, self._graph, self._choices = network, graph, choices
        self._indices: dict[fx.Node, int] = {}
        self._from_images: set[int] = set()
        self._steps: list[Step] = []

    def program(self) -> Program:
        images, *nodes, output = self._graph.nodes
        if images.op != "placeholder" or any(node.op == "placeholder" for node in nodes):
            raise self._refusal("takes something other than images")
        if not isinstance(output.args[0], fx.Node):
            raise self._refusal("returns something other than logits")
        if any(module._buffers for module in _traced_modules(self._network)):
            raise self._refusal("has buffers of its own, on which its path may depend")
        self._indices[images] = 0
        self._from_images.add(0)
        for node in nodes:
            self._add(node)
        logits = self._indices[output.args[0]]
        return with_last_uses(Program(steps=tuple(self._steps), values=len(self._graph.nodes), logits=logits))

    def _refusal(self, reason: str) -> TracingError:
        return TracingError(f"{type(self._network).__name__} cannot be traced: it {reason}")

    def _add(self, node: fx.Node) -> None:
        if overwrites_shared_input(node, self._network):
            raise self._refusal(f"writes over a tensor that is read again, in {node.name}")
        if node.op == "get_attr" and str(node.target).startswith("_tensor_constant"):
            raise self._refusal("makes a tensor of its own, which may have other values later")
        node.target = IN_PLACE.get(node.target, node.target)
        if self._needs_no_step(node):
            self._indices[node] = self._indices[node.all_input_nodes[0]]
            return
        inputs = tuple(self._indices[one] for one in node.all_input_nodes)
        from_images = [index in self._from_images for index in inputs]
        operation = self._operation(node) if inputs and all(from_images) else None
        operation = operation or AutogradFallback(self._network, node, self._choices.autocast_dtype, from_images)
        index = self._indices[node] = len(self._indices)
        if any(from_images):
            self._from_images.add(index)
        self._steps.append(Step(operation=operation, inputs=inputs, output=index, from_images=any(from_images)))

    def _needs_no_step(self, node: fx.Node) -> bool:
        """Whether a node does nothing in evaluation mode, or the convolution before it does its part too."""
        layer = self._layer(node)
        if type(layer) in (nn.Identity, nn.Dropout, nn.Dropout2d):
            return True
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        if source is None or not is_convolution(self._layer(source)) or self._indices[source] not in self._from_images:
            return False
        if source.target in self._choices.rowwise_pooled and self._is_halved(source):
            return True
        return layer is not None and self._norm_after(source) is layer

    def _operation(self, node: fx.Node) -> Operation | None:
        layer, dtype = self._layer(node), self._choices.autocast_dtype
        if not is_convolution(layer):
            return match_operation(node, layer, dtype)
        if node.target in self._choices.rowwise_pooled and self._is_halved(node):
            return RowwisePooledConvolution(layer, dtype)
        rowwise = node.target in self._choices.rowwise and can_be_rowwise(layer)
        return (RowwiseConvolution if rowwise else Convolution)(layer, dtype, self._norm_after(node))

    def _layer(self, node: fx.Node) -> nn.Module | None:
        return self._network.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _norm_after(self, node: fx.Node) -> nn.BatchNorm2d | None:
        reader = _single_reader(node)
        return None if reader is None else match_batch_norm(self._layer(reader))

    def _is_halved(self, node: fx.Node) -> bool:
        reader = _single_reader(node)
        pooling = None if reader is None else match_max_pooling(reader, self._layer(reader))
        return pooling is not None and pooling.halves


def _single_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
