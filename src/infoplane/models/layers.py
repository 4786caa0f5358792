"""Which layers of a network to probe when nobody says."""

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from infoplane.wrappers import named_layers, unwrapped


def default_layers(model: nn.Module) -> tuple[str, ...]:
    """Return `model.probed_layers` where the network has it, otherwise its layers with weights.

    Those are all two-dimensional convolutions and linear layers, in order of definition.

    Raises:
        ValueError: it has neither.
    """
    network = unwrapped(model)
    chosen: object = getattr(network, "probed_layers", None)
    if isinstance(chosen, list | tuple):
        return tuple(chosen)
    layers = tuple(
        name
        for name, module in named_layers(network).items()
        # Attention uses the weights of its output layer without calling the layer: a probe would hear nothing.
        if isinstance(module, nn.Conv2d | nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)
    )
    if not layers:
        raise ValueError(f"{type(network).__name__} has no Conv2d or Linear layer; name the layers to probe")
    return layers
