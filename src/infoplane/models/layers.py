"""Which layers of a network to probe when nobody says."""

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from infoplane.networks.wrappers import named_layers, unwrapped


def chosen_layers(model: nn.Module) -> tuple[str, ...]:
    """Return `model.probed_layers`, or nothing where the network does not have it."""
    chosen: object = getattr(unwrapped(model), "probed_layers", None)
    return tuple(chosen) if isinstance(chosen, list | tuple) else ()


def default_layers(model: nn.Module) -> tuple[str, ...]:
    """Return `model.probed_layers` where the network has it, otherwise its layers with weights.

    Those are all two-dimensional convolutions and linear layers, in order of definition, also ones that a forward pass
    does not call.

    Raises:
        ValueError: it has neither.
    """
    network = unwrapped(model)
    if own := chosen_layers(network):
        return own
    layers = tuple(
        name
        for name, module in named_layers(network).items()
        # Attention uses the weights of its output layer without calling the layer: a probe would hear nothing.
        if isinstance(module, nn.Conv2d | nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)
    )
    if not layers:
        raise ValueError(f"{type(network).__name__} has no Conv2d or Linear layer; name the layers to probe")
    return layers
