"""The layers of any network as a table: name, type, output shape, units, parameters and cost."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from infoplane.checks import check_at_least
from infoplane.models.layers import default_layers
from infoplane.models.normalisation import Normalise
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.wrappers import named_layers, unwrapped
from infoplane.text import with_field_help

_COLUMNS = ("layer", "type", "output shape", "units", "parameters", "multiply-adds")
_MARK = "*"  # of probed layers


@with_field_help
class LayerFacts(NamedTuple):
    """One layer of a network; for a layer that holds others, with all that is in it.

    Attributes:
        name: as in `model.named_modules()`, for `--measurement.layers` and `record_activations`.
        type: class of the layer.
        shape: of its output for one image, at its first call; None if it did not run or returned no tensor.
        units: numbers in that output, which is the width of the layer's record.
        parameters: number of weights.
        multiply_adds: of one image, in convolutions and matrix products, of all calls.
        probed: whether studies measure it unless other layers are named.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None
    units: int | None
    parameters: int
    multiply_adds: int
    probed: bool


class LayerTable(Sequence[LayerFacts]):
    """The layers of a network in order of definition; printing it shows a table, `*` marks the probed layers.

    Args:
        rows: one for each layer.
        parameters: of the whole network.
        multiply_adds: of one image in the whole network.
    """

    def __init__(self, rows: Sequence[LayerFacts], *, parameters: int, multiply_adds: int) -> None:
        self._rows = tuple(rows)
        self.parameters, self.multiply_adds = parameters, multiply_adds

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> LayerFacts: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[LayerFacts]: ...
    def __getitem__(self, place: int | slice) -> LayerFacts | Sequence[LayerFacts]:
        return self._rows[place]

    def __repr__(self) -> str:
        """Return the table as text."""
        lines = [
            _COLUMNS,
            *(
                (
                    f"{row.name}{_MARK * row.probed}",
                    row.type,
                    "does not run" if row.shape is None else " x ".join(map(str, row.shape)) or "1",
                    "" if row.units is None else f"{row.units:,}",
                    f"{row.parameters:,}",
                    f"{row.multiply_adds:,}",
                )
                for row in self._rows
            ),
            ("the network", "", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"),
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
        shown = [
            "  ".join(
                cell.rjust(width) if column > 2 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*shown, f"{_MARK} probed by default; multiply-adds of one image"])


def layers(model: nn.Module, images: Tensor | None = None) -> LayerTable:
    """Return a table of all layers of a network, from one pass of one image.

    Args:
        model: any network; left as it was, in its mode.
        images: `(n, channels, height, width)` floats, of which the first is used; any tensor with a batch dimension
            that the network takes. None takes a black image of the size that the network's `Normalise` layer states.

    Returns:
        One row for each module in `model.named_modules()`, those that hold others too.

    Raises:
        ValueError: there are no images and the network does not state their size.
    """
    network = unwrapped(model)
    image = _black_image(network) if images is None else _first(images)
    named = named_layers(network)
    shapes: dict[str, tuple[int, ...]] = {}
    begun: dict[str, list[int]] = {name: [] for name in named}
    costs = dict.fromkeys(named, 0)
    # Attention by matrix products, which the counter knows, and not by an operation of its own.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, ExitStack() as hooks:

        def begin(name: str, _module: nn.Module, _given: object) -> None:
            begun[name].append(counter.get_total_flops())

        def end(name: str, _module: nn.Module, _given: object, output: object) -> None:
            costs[name] += counter.get_total_flops() - begun[name].pop()
            if name not in shapes and (tensor := _tensor(output)) is not None:
                shapes[name] = tuple(tensor.shape[1:])

        for name, module in named.items():
            hooks.callback(module.register_forward_pre_hook(partial(begin, name)).remove)
            hooks.callback(module.register_forward_hook(partial(end, name)).remove)
        with torch.no_grad(), evaluation_mode(network):
            network(image.clone())
        total = counter.get_total_flops()
    probed = _probed(network, shapes)
    return LayerTable(
        [
            LayerFacts(
                name=name,
                type=type(module).__name__,
                shape=shapes.get(name),
                units=math.prod(shapes[name]) if name in shapes else None,
                parameters=_parameters(module),
                multiply_adds=costs[name] // 2,  # the counter counts the two operations of each
                probed=name in probed,
            )
            for name, module in named.items()
        ],
        parameters=_parameters(network),
        multiply_adds=total // 2,
    )


def _black_image(network: nn.Module) -> Tensor:
    for module in network.modules():
        if isinstance(module, Normalise):
            return torch.zeros(1, *module.shape, dtype=module.mean.dtype, device=module.mean.device)
    raise ValueError(f"{type(network).__name__} does not state the size of its images; give images, one is enough")


def _first(images: Tensor) -> Tensor:
    check_at_least(len(images), 1, name="the number of images")
    return images[:1]


def _probed(network: nn.Module, ran: dict[str, Any]) -> set[str]:
    try:
        return set(default_layers(network)) & ran.keys()
    except ValueError:  # nothing that is probed by default
        return set()


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _tensor(output: object) -> Tensor | None:
    """Return the first tensor in the output of a layer that has a batch dimension."""
    if isinstance(output, Tensor):
        return output if output.ndim else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, list | tuple) else ()
    return next((found for part in parts if (found := _tensor(part)) is not None), None)
