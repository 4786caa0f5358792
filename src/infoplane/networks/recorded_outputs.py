"""Record the outputs of named layers with their gradients, so that a training loss can use them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import Tensor, nn

from infoplane.networks.wrappers import named_layers, unwrapped


@contextmanager
def recorded_outputs(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of named layers, `(batch, features)`, with gradients; each forward pass replaces the last.

    `record_activations` is for measuring: its records are detached. Here they are part of the graph. They are in the
    order in which the layers ran. A layer that does not run has no record. Of a layer that runs more than once in a
    pass, the last output is recorded.

    Args:
        model: any network; call it, or its wrapper, inside the block.
        layers: names as in `model.named_modules()`.

    Raises:
        ValueError: a name is unknown; in a pass, a layer's output is not one tensor.
    """
    root, modules = unwrapped(model), named_layers(model)
    if unknown := [name for name in layers if name not in modules]:
        raise ValueError(f"unknown layers {unknown}; the model has {list(modules)}")
    recorded: dict[str, Tensor] = {}

    def begin(_root: nn.Module, _args: object) -> None:
        recorded.clear()

    def record(name: str, _layer: nn.Module, _args: object, output: object) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"layer {name!r} must output one tensor, got {type(output).__name__}")
        # A copy: an in-place ReLU behind this layer would rewrite the record.
        recorded[name] = output.clone().flatten(start_dim=1)

    with ExitStack() as hooks:  # the hooks leave with the block, also after an error
        hooks.callback(root.register_forward_pre_hook(begin).remove)
        for name in layers:
            hooks.callback(modules[name].register_forward_hook(partial(record, name)).remove)
        yield recorded
