"""Load weights into a network, whatever wrapper or library the network was in when they were saved."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
        UserError: a weight is missing, has another shape, or has no place in the network.
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
    rest = {name: weight for name, weight in weights.items() if name in expected}
    try:
        found = model.load_state_dict(rest if not shapes else {}, strict=False)
    except RuntimeError as error:
        raise UserError(f"{of} does not fit the model {named} ({' '.join(str(error).split())[:300]})") from None
    unexpected = [name for name in weights if name not in expected]
    missing = [name for name in found.missing_keys if name not in weights]
    faults = [
        *([f"missing {_first(missing)}"] if missing else []),
        *([f"not in the model: {_first(unexpected)}"] if unexpected else []),
        *([f"other shapes: {_first(shapes)}"] if shapes else []),
    ]
    if faults:
        raise UserError(f"{of} does not fit the model {named}: {'; '.join(faults)}")


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
