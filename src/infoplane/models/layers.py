"""Choose the layers of a network to probe if the user names none."""

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from infoplane.networks.gaussian_layer import GaussianLayer
from infoplane.networks.wrappers import named_layers, unwrapped


def chosen_layers(model: nn.Module) -> tuple[str, ...]:
    """Return `model.probed_layers`, or an empty tuple if the network has no such attribute."""
    chosen: object = getattr(unwrapped(model), "probed_layers", None)
    return tuple(chosen) if isinstance(chosen, list | tuple) else ()


def default_layers(model: nn.Module) -> tuple[str, ...]:
    """Return `model.probed_layers` if the network has it, otherwise its layers with weights or noise of their own.

    These are all two-dimensional convolutions, linear layers and Gaussian layers (`GaussianLayer`), in order of
    definition. Layers that a forward pass does not call are included.

    Raises:
        ValueError: the network has neither.
    """
    network = unwrapped(model)
    if own := chosen_layers(network):
        return own
    layers = tuple(
        name
        for name, module in named_layers(network).items()
        # Attention uses the weights of its output layer without calling the layer, so a hook on it never runs.
        if isinstance(module, nn.Conv2d | nn.Linear | GaussianLayer)
        and not isinstance(module, NonDynamicallyQuantizableLinear)
    )
    if not layers:
        raise ValueError(f"{type(network).__name__} has no Conv2d or Linear layer; name the layers to probe")
    return layers
