"""Load weights into a network, whatever wrapper or library the network was in when they were saved."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.errors import UserError
from infoplane.models.key_layout import MEAN, STD, KeyLayout

_WRAPPERS = ("module.", "model.")  # of DataParallel, and of Lightning and the like
_COMPILED = "_orig_mod."  # of torch.compile, at any depth
_SHOWN = 3  # names in a message
_NO_LAYOUT = KeyLayout(renamed=())


class Loaded(NamedTuple):
    """What was found in a file of weights."""

    renamed: bool  # whether weights had the names of another library
    normalisation: bool  # whether the mean and the standard deviation of the pixels were among them


def load_weights(
    model: nn.Module, weights: Mapping[str, Tensor], *, of: str, named: str, layout: KeyLayout | None = None
) -> Loaded:
    """Load weights into `model`; names that the model does not have lose the prefixes of wrappers, or are translated.

    Args:
        model: the network.
        weights: by name.
        of: where the weights are from, for messages.
        named: name of the network, for messages.
        layout: names of the weights in another library. If weights have them, the normalisation of the pixels may be
            missing, and the model keeps its own.

    Returns:
        What was found.

    Raises:
        UserError: a weight is missing, has another shape, has no place in the network, or is of a kind of numbers that
            the network's weight cannot hold: complex ones, say, or integers of a quantised network.
    """
    expected = model.state_dict()
    fitting: dict[str, Tensor] = {}
    renamed = False
    for name, weight in weights.items():
        short = _unwrapped(name, expected, layout or _NO_LAYOUT)
        if short not in expected and layout is not None:
            if layout.is_unused(short):
                continue
            there, short = short, layout.name_here(short)
            renamed = renamed or short != there
        if short in fitting:
            raise UserError(f"{of}: two weights are called {short} without their prefixes, one of them {name}")
        fitting[short] = weight
    if layout is not None:
        for name in {MEAN, STD} & fitting.keys() & expected.keys():  # saved as (1, channels, 1, 1) or (channels,)
            if fitting[name].numel() == expected[name].numel():
                fitting[name] = fitting[name].reshape(expected[name].shape)
    normalisation = {MEAN, STD} <= fitting.keys()
    if renamed:
        fitting = {**{name: expected[name] for name in (MEAN, STD) if name in expected}, **fitting}
    _load_named(model, fitting, expected, of=of, named=named)
    return Loaded(renamed, normalisation)


def _load_named(
    model: nn.Module, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, of: str, named: str
) -> None:
    """Load weights that have the names of the model, or say which do not fit."""
    shapes = [
        f"{name} is {tuple(weight.shape)}, not {tuple(expected[name].shape)}"
        for name, weight in weights.items()
        if name in expected and weight.shape != expected[name].shape
    ]
    kinds = [
        f"{name} is {_dtype(weight)}, not {_dtype(expected[name])}"
        for name, weight in weights.items()
        if name in expected and weight.shape == expected[name].shape and not _holds(expected[name], weight)
    ]
    rest = {name: weight for name, weight in weights.items() if name in expected}
    try:
        found = model.load_state_dict(rest if not shapes and not kinds else {}, strict=False)
    except RuntimeError as error:
        raise UserError(f"{of} does not fit the model {named} ({' '.join(str(error).split())[:300]})") from None
    unexpected = [name for name in weights if name not in expected]
    missing = [name for name in found.missing_keys if name not in weights]
    faults = [
        *([f"missing {_first(missing)}"] if missing else []),
        *([f"not in the model: {_first(unexpected)}"] if unexpected else []),
        *([f"other shapes: {_first(shapes)}"] if shapes else []),
        *([f"other numbers: {_first(kinds)}"] if kinds else []),
    ]
    if faults:
        raise UserError(f"{of} does not fit the model {named}: {'; '.join(faults)}")


def _holds(own: Tensor, weight: Tensor) -> bool:
    """Return whether a weight can be copied into the network's own, which may round floats but change nothing else."""
    # copy_ would drop imaginary parts, read quantised integers as floats, and wrap integers around, without a word.
    if own.is_quantized or weight.is_quantized:
        return False
    kinds = _kind(weight), _kind(own)
    if kinds[0] == kinds[1] in ("floating", "complex"):
        return bool((weight.to(own.dtype).isfinite() | ~weight.isfinite()).all())  # no overflow
    if kinds[0] == kinds[1] or kinds == ("floating", "integer"):  # a counter that was saved in half precision
        return torch.equal(weight.to(own.dtype).to(weight.dtype), weight)
    return False


def _kind(tensor: Tensor) -> str:
    if tensor.is_complex():
        return "complex"
    if tensor.is_floating_point():
        return "floating"
    return "bool" if tensor.dtype == torch.bool else "integer"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _unwrapped(name: str, expected: Mapping[str, Tensor], layout: KeyLayout) -> str:
    """Return a name without the prefixes of wrappers."""
    if name in expected:
        return name
    name = name.replace(_COMPILED, "")
    while name not in expected and layout.name_here(name) not in expected and name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def _first(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return f"{', '.join(texts[:_SHOWN])}{more}"
