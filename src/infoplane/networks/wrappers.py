"""Unwrap a network from `torch.compile`, `DataParallel` and the like, and name its layers."""

from torch import nn

from infoplane.acceleration import AcceleratedNetwork


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside `AcceleratedNetwork`, `torch.compile`, `DataParallel` and `DistributedDataParallel`.

    Raises:
        ValueError: `model` splits each batch over several devices, so no single module gets all of it.
    """
    while True:
        if isinstance(model, nn.DataParallel):
            if len(model.device_ids) > 1:
                raise ValueError("DataParallel splits each batch over several devices; pass its .module instead")
            model = model.module
        elif isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(model, AcceleratedNetwork):
            model = model.network
        elif isinstance(original := getattr(model, "_orig_mod", None), nn.Module):  # torch.compile's
            model = original
        else:
            return model


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Map names to modules of the unwrapped network, in order of definition and without the network itself.

    A part that was compiled separately keeps its earlier name. A module in two places has both names.
    """
    named = {}
    for name, module in unwrapped(model).named_modules(remove_duplicate=False):
        plain = ".".join(part for part in name.split(".") if part != "_orig_mod")
        if plain:
            named[plain] = unwrapped(module)
    return named
