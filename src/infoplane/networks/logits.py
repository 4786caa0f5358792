"""Logits in the output of a network: the output itself, or its field `logits`."""

from collections.abc import Mapping

from torch import Tensor


def logits_of(output: object) -> Tensor:
    """Return the logits, `(batch, classes)`, in the output of a network.

    Args:
        output: a tensor, or a dict, a named tuple or another object with a tensor `logits`, e.g. a `ModelOutput` of
            Hugging Face.

    Raises:
        ValueError: the output has no logits, or they have another shape.
    """
    found = output
    if not isinstance(output, Tensor):
        found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(found, Tensor) and found.ndim == 2 and found.shape[1] > 1:
        return found
    raise ValueError(
        "the model must return logits of shape (batch, classes) for two classes or more, bare or as `logits` of a "
        f"dict, a named tuple or a ModelOutput; got {_description(output, found)}"
    )


def _description(output: object, found: object) -> str:
    if isinstance(found, Tensor):
        return f"shape {tuple(found.shape)}"
    if isinstance(output, Mapping):
        return f"{type(output).__name__} with {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} of {len(output)}"
    return type(output).__name__
