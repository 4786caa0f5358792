"""Split a network into its first layer and the remaining layers."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.autograd.graph import Node

from infoplane.networks.wrappers import named_layers, unwrapped


class Passed(NamedTuple):
    """Result of one pass through the whole network."""

    logits: Tensor
    first: Tensor  # f0(x), with the graph back to the images and to the first layer's weights
    features: Tensor  # the input of g: a detached leaf, where a backward pass stops and stores its gradient


class _ReachedFirstLayer(Exception):  # noqa: N818 - not an error: it stops the pass after f0
    pass


class SplitNetwork:
    """Runs `model` as g(f0(x)), where f0 is everything up to the output of its first layer.

    Args:
        model: its attribute `first_layer` names the layer; by default the first convolution or linear layer defined.

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
        """Weights of f0's last layer; layers before it must have no weights."""
        return list(self._layer.parameters())

    def whole(self, images: Tensor) -> Passed:
        """Run f0, then g on a detached copy of its output.

        If gradients of the logits still reach the images, the images bypass f0.

        Raises:
            ValueError: the first layer was not called exactly once.
        """
        first: list[Tensor] = []
        features: list[Tensor] = []

        def cut(_layer: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            first.append(output)
            features.append(output.detach().requires_grad_())
            return features[-1]

        with _hooked(self._layer, cut):
            logits = self._model(images)
        if len(features) != 1:
            raise ValueError(f"the first layer, {self._name}, must be called once per pass, not {len(features)} times")
        return Passed(logits, first[0], features[0])

    def first(self, images: Tensor) -> Tensor:
        """Return f0(images) without running g."""
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


def is_affine(passed: Tensor, images: Tensor) -> bool:
    """Whether f0 is affine, so that its gradients are the same at every point.

    This is read from the autograd graph: it must be a single chain of operations that are affine in their input.

    Args:
        passed: f0(images).
        images: a leaf that requires gradients.
    """
    node = passed.grad_fn
    while node is not None and (variable := getattr(node, "variable", None)) is not images:
        if variable is not None or node.name() not in _AFFINE:
            return False
        ahead = [step for step, _ in node.next_functions if step is not None and _leads_to(step, images)]
        # with a divisor or a kernel computed from the images, the operation would not be affine
        if len(ahead) != 1 or node.next_functions[0][0] is not ahead[0]:
            return False
        node = ahead[0]
    return node is not None


_AFFINE = {
    "ConvolutionBackward0", "SubBackward0", "AddBackward0", "DivBackward0", "MulBackward0", "ToCopyBackward0",
    "ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "CloneBackward0", "MkldnnConvolutionBackward0",
}  # fmt: skip


def _leads_to(node: Node, images: Tensor) -> bool:
    seen, ahead = set(), [node]
    while ahead:
        one = ahead.pop()
        if getattr(one, "variable", None) is images:
            return True
        if one not in seen:
            seen.add(one)
            ahead += [step for step, _ in one.next_functions if step is not None]
    return False


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
