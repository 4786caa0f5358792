"""A network read as a list of operations: what its `forward` calls, in order."""

import copy
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from infoplane.acceleration.called import Called
from infoplane.acceleration.choices import PLAIN, Choices
from infoplane.acceleration.operations import Convolution, MaxPooling, Operation, Sum
from infoplane.acceleration.pixel_groups import ConvolutionByGroups, can_go_by_groups
from infoplane.acceleration.pooled_rows import PooledConvolutionByRows
from infoplane.acceleration.recognising import (
    IN_PLACE,
    is_convolution,
    other_operation,
    pooling_of,
    with_fixed_statistics,
    writes_over_others,
)
from infoplane.acceleration.row_products import ConvolutionByRows, can_go_by_rows
from infoplane.acceleration.steps import Reading, Step, carry, let_write, taken_by_one, with_last
from infoplane.acceleration.strided_points import StridedPoints, sees_points


class UnreadableError(ValueError):
    """The network's `forward` cannot be read as a list of operations."""


def read(network: nn.Module, choices: Choices = PLAIN) -> Reading:
    """Return what `network` computes in evaluation mode. It is read once: its `forward` must not change its way later
    (`way_of` shows some such changes). Blocks without gradients, autograd functions of the network's own, and writing
    through two names of one tensor leave no trace: `with_frozen` compares with the usual way.

    Args:
        network: in any mode; left as it was.
        choices: the precision, and which convolutions go another way.

    Raises:
        UnreadableError: its way depends on values or shapes, it writes over what others read, or it makes tensors of
            its own.
        AttributeError: it has no layer of such a name.
    """
    for name in (*choices.by_rows, *choices.by_groups, *choices.pooled):
        network.get_submodule(name)
    try:
        graph = _Tracer().trace(copy.deepcopy(network).eval())  # a forward may keep what passes through it
        return _Reader(network, graph, choices).reading()
    except UnreadableError:
        raise
    except Exception as error:  # whatever a forward does with what it takes for a tensor
        raise UnreadableError(f"{type(network).__name__} cannot be read as a list of operations: {error}") from error


def poolable_convolutions(network: nn.Module) -> tuple[str, ...]:
    """Return the names of convolutions of which a max-pooling in 2x2 alone sees what they give.

    Raises:
        UnreadableError: as `read` does.
    """
    names = {id(layer): name for name, layer in network.named_modules()}
    found = []
    for step, taker in taken_by_one(read(network)):
        operation = step.operation
        if isinstance(operation, Convolution) and operation.norm is None and can_go_by_rows(operation.layer):
            found += [names[id(operation.layer)]] * (isinstance(taker.operation, MaxPooling) and taker.operation.halves)
    return tuple(found)


def way_of(network: nn.Module) -> list[tuple[int, str, Any]]:
    """Return the plain values that modules with a `forward` of their own keep: where they change, it may go another
    way than it was read.
    """
    return [
        (id(module), name, value)
        for module in passed_through(network)
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and name != "training"
    ]


def passed_through(network: nn.Module) -> list[nn.Module]:
    """Return the modules of which the `forward` is read; others are called."""
    return [module for module in network.modules() if not _is_called(module)]


def _is_called(module: nn.Module) -> bool:
    return not isinstance(module, nn.Sequential) and not module._modules


class _Value(fx.Proxy):
    """In torch.fx, `x += y` leaves no trace of writing over x."""


def _in_place(function: Callable[..., Any]) -> Callable[[_Value, Any], Any]:
    return lambda value, other: value.tracer.create_proxy("call_function", function, (value, other), {})


for _function in IN_PLACE:
    setattr(_Value, f"__{_function.__name__}__", _in_place(_function))


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002  # as fx calls it
        return _is_called(m)


class _Reader:
    def __init__(self, network: nn.Module, graph: fx.Graph, choices: Choices) -> None:
        self._network, self._graph, self._choices = network, graph, choices
        self._places: dict[fx.Node, int] = {}
        self._moving: set[int] = set()
        self._steps: list[Step] = []

    def reading(self) -> Reading:
        images, *nodes, output = self._graph.nodes
        if images.op != "placeholder" or any(node.op == "placeholder" for node in nodes):
            raise UnreadableError(f"{type(self._network).__name__} takes something other than images")
        if not isinstance(output.args[0], fx.Node):
            raise UnreadableError(f"{type(self._network).__name__} gives something other than logits")
        if any(module._buffers for module in passed_through(self._network)):
            raise UnreadableError(f"{type(self._network).__name__} has buffers of its own, which may decide its way")
        self._places[images] = 0
        self._moving.add(0)
        for node in nodes:
            self._add(node)
        reading = Reading(steps=tuple(self._steps), places=len(self._graph.nodes), logits=self._places[output.args[0]])
        let_write(reading)
        carry(reading)
        return with_last(reading)

    def _add(self, node: fx.Node) -> None:
        if writes_over_others(node, self._network):
            raise UnreadableError(f"{type(self._network).__name__} writes over what others read, in {node.name}")
        if node.op == "get_attr" and str(node.target).startswith("_tensor_constant"):
            raise UnreadableError(
                f"{type(self._network).__name__} makes a tensor of its own, which may be another later"
            )
        node.target = IN_PLACE.get(node.target, node.target)
        if self._is_done_before(node):
            self._places[node] = self._places[node.all_input_nodes[0]]
            return
        given = tuple(self._places[one] for one in node.all_input_nodes)
        moving = [place in self._moving for place in given]
        operation = self._operation(node) if moving and all(moving) else None
        operation = operation or Called(self._network, node, self._choices.low, moving)
        if isinstance(operation, Sum) and len(given) == 1:
            given *= 2
        place = self._places[node] = len(self._places)
        if any(moving):
            self._moving.add(place)
        self._steps.append(Step(operation=operation, given=given, gives=place, moves=any(moving)))

    def _is_done_before(self, node: fx.Node) -> bool:
        """Whether the operation before it does its part too, or there is nothing to do."""
        layer = self._layer(node)
        if type(layer) in (nn.Identity, nn.Dropout, nn.Dropout2d):
            return True
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        if source is None or not is_convolution(self._layer(source)) or self._places[source] not in self._moving:
            return False
        if source.target in self._choices.pooled and self._is_halved(source):
            return True
        return layer is not None and self._norm_after(source) is layer

    def _layer(self, node: fx.Node) -> nn.Module | None:
        return self._network.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _taker(self, node: fx.Node) -> fx.Node | None:
        return next(iter(node.users)) if len(node.users) == 1 else None

    def _norm_after(self, node: fx.Node) -> nn.BatchNorm2d | None:
        taker = self._taker(node)
        return None if taker is None else with_fixed_statistics(self._layer(taker))

    def _is_halved(self, node: fx.Node) -> bool:
        taker = self._taker(node)
        pooling = None if taker is None else pooling_of(taker, self._layer(taker))
        return pooling is not None and pooling.halves

    def _operation(self, node: fx.Node) -> Operation | None:
        layer = self._layer(node)
        if not is_convolution(layer):
            return other_operation(node, layer, self._choices.low)
        assert isinstance(layer, nn.Conv2d)
        low, choices = self._choices.low, self._choices
        if node.target in choices.pooled and self._is_halved(node):
            return PooledConvolutionByRows(layer, low)
        kind = Convolution
        if node.target in choices.by_rows and can_go_by_rows(layer):
            kind = ConvolutionByRows
        elif node.target in choices.by_groups and can_go_by_groups(layer):
            kind = ConvolutionByGroups
        elif sees_points(layer):
            kind = StridedPoints
        return kind(layer, low, self._norm_after(node))
