"""A network in two parts: its first layer, and all the rest."""

from typing import NamedTuple

from torch import Tensor, nn

from infoplane.wrappers import named_layers, unwrapped


class Passed(NamedTuple):
    """What one pass through the whole network gave."""

    logits: Tensor
    features: Tensor  # of the first layer: a leaf, so that a backward pass stops there and leaves its gradient


class _ReachedFirstLayer(Exception):  # noqa: N818 - no error: the pass has got where it should
    pass


class SplitNetwork:
    """Runs `model` as g(f0(x)), with f0 everything up to the output of its first layer.

    Args:
        model: whose `first_layer` names the layer; without it the first convolution or linear layer that is defined.

    Raises:
        ValueError: there is no such layer.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._name, self._layer = _first_layer(model)

    @property
    def name(self) -> str:
        """The first layer's name."""
        return self._name

    @property
    def first_parameters(self) -> list[nn.Parameter]:
        """The weights of f0's last layer, all that f0 has: what comes before it must have none."""
        return list(self._layer.parameters())

    def whole(self, images: Tensor) -> Passed:
        """Pass through f0, then through g on a copy of its output that no gradient passes.

        Gradients that reach the images all the same have found a way past f0.

        Raises:
            ValueError: the first layer was not called exactly once.
        """
        features: list[Tensor] = []

        def cut(_layer: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            features.append(output.detach().requires_grad_())
            return features[-1]

        with _hooked(self._layer, cut):
            logits = self._model(images)
        if len(features) != 1:
            raise ValueError(f"the first layer, {self._name}, must be called once per pass, not {len(features)} times")
        return Passed(logits, features[0])

    def first(self, images: Tensor) -> Tensor:
        """Return f0(images) and nothing behind it."""
        found: list[Tensor] = []

        def stop(_layer: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            found.append(output)
            raise _ReachedFirstLayer

        with _hooked(self._layer, stop):
            try:
                self._model(images)
            except _ReachedFirstLayer:
                return found[0]
        raise ValueError(f"the first layer, {self._name}, is never called")


def _first_layer(model: nn.Module) -> tuple[str, nn.Module]:
    layers = named_layers(model)
    name = getattr(unwrapped(model), "first_layer", None)
    if name is None:
        linear = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
        name = next((known for known, layer in layers.items() if isinstance(layer, linear)), None)
    if name not in layers:
        raise ValueError(f"the network has no first layer {name!r}; set its attribute first_layer to a layer's name")
    return name, layers[name]


class _hooked:  # noqa: N801 - a context manager
    def __init__(self, layer: nn.Module, hook: object) -> None:
        self._handle = layer.register_forward_hook(hook)  # type: ignore[arg-type]

    def __enter__(self) -> None:
        return None

    def __exit__(self, *details: object) -> None:
        self._handle.remove()
