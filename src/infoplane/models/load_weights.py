"""Load weights into a network, whatever wrapper the network was in when they were saved."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from infoplane.errors import UserError

_WRAPPERS = ("module.", "model.")  # of DataParallel, and of Lightning and the like
_COMPILED = "_orig_mod."  # of torch.compile, at any depth
_SHOWN = 3  # names in a message


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, of: str, named: str) -> None:
    """Load weights into `model`; prefixes of wrappers are removed from names that the model does not have.

    Args:
        model: the network.
        weights: by name.
        of: where the weights are from, for messages.
        named: name of the network, for messages.

    Raises:
        UserError: a weight is missing, has another shape, or has no place in the network.
    """
    expected = model.state_dict()
    fitting: dict[str, Tensor] = {}
    for name, weight in weights.items():
        short = _unwrapped(name, expected)
        if short in fitting:
            raise UserError(f"{of}: two weights are called {short} without their prefixes, one of them {name}")
        fitting[short] = weight
    shapes = [
        f"{name} is {tuple(weight.shape)}, not {tuple(expected[name].shape)}"
        for name, weight in fitting.items()
        if name in expected and weight.shape != expected[name].shape
    ]
    rest = {name: weight for name, weight in fitting.items() if name in expected}
    try:
        found = model.load_state_dict(rest if not shapes else {}, strict=False)
    except RuntimeError as error:
        raise UserError(f"{of} does not fit the model {named} ({' '.join(str(error).split())[:300]})") from None
    unexpected = [name for name in fitting if name not in expected]
    missing = [name for name in found.missing_keys if name not in fitting]
    faults = [
        *([f"missing {_first(missing)}"] if missing else []),
        *([f"not in the model: {_first(unexpected)}"] if unexpected else []),
        *([f"other shapes: {_first(shapes)}"] if shapes else []),
    ]
    if faults:
        raise UserError(f"{of} does not fit the model {named}: {'; '.join(faults)}")


def _unwrapped(name: str, expected: Mapping[str, Tensor]) -> str:
    """Return a name without the prefixes of wrappers."""
    if name in expected:
        return name
    name = name.replace(_COMPILED, "")
    while name not in expected and name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def _first(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return f"{', '.join(texts[:_SHOWN])}{more}"
