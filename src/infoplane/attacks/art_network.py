"""A network as the attacks of ART see it: arrays in, logits and gradients of logits out."""

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infoplane.attacks.closest import Closest, norms_of
from infoplane.attacks.goal import Goal
from infoplane.networks.logits import logits_of

_BATCH = 250  # images per forward pass

Array = NDArray[np.float32]


class OutOfQueriesError(Exception):
    """An attack asked for more logits than it may."""


class ArrayNetwork:
    """Answers in arrays of float32, whatever the type and the device of the network.

    ART's own estimator for torch would switch the network to evaluation mode, run a `Sequential` layer by layer, and
    move it to another device.

    Args:
        model: in the mode in which the attack runs it.
        images: all images that are attacked together; their type and device are those of the network.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._model, self._dtype, self._device = model, images.dtype, images.device
        self._watched: tuple[Closest, Tensor, Goal] | None = None
        self._left = 0
        self.first_logits = self.logits(images)

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits, `(batch, classes)`, without a gradient."""
        with torch.no_grad():
            parts = [logits_of(self._model(part.clone())).to(self._dtype) for part in torch.split(images, _BATCH)]
        return torch.cat(parts)

    def watch(self, closest: Closest, place: Tensor, goal: Goal, *, most: int) -> None:
        """Offer every image that is asked for from now on, and is what is wanted, to `closest`.

        Args:
            closest: knows the originals.
            place: `(1,)`, of the image that is attacked.
            goal: of each image.
            most: number of images that may be asked for.
        """
        self._watched, self._left = (closest, place, goal), most

    def predict(self, x: NDArray[Any]) -> Array:
        """Return the logits of images that are first clipped to [0, 1].

        Raises:
            OutOfQueriesError: more images were asked for than `watch` allows.
        """
        # Some attacks compute in float64 under numpy 2.
        images = torch.as_tensor(x.astype(np.float32)).to(self._device, self._dtype).clamp_(0, 1)
        logits = self.logits(images)
        if self._watched is not None:
            self._left -= len(images)
            self._offer(images, logits, *self._watched)
            if self._left < 0:
                raise OutOfQueriesError
        return logits.float().cpu().numpy()

    def _offer(self, images: Tensor, logits: Tensor, closest: Closest, place: Tensor, goal: Goal) -> None:
        wanted = goal[place.expand(len(images))].is_reached(logits)
        norms = norms_of(images - closest.originals[place], closest.norm)
        best = torch.where(wanted, norms, torch.inf).argmin()[None]
        closest.offer(place, images[best], wanted[best])

    def class_gradient(self, x: NDArray[Any], label: int | None = None) -> Array:
        """Return the gradients of all logits, or of one, to the images: `(batch, logits, channels, height, width)`."""
        images = torch.as_tensor(x.astype(np.float32)).to(self._device, self._dtype).requires_grad_()
        logits = logits_of(self._model(images.clone()))
        places = range(logits.shape[1]) if label is None else [label]
        gradients = [torch.autograd.grad(logits[:, place].sum(), images, retain_graph=True)[0] for place in places]
        return torch.stack(gradients, dim=1).float().cpu().numpy()


def as_estimator(network: ArrayNetwork, shape: tuple[int, ...], clip_values: tuple[float, float] = (0.0, 1.0)) -> Any:
    """Return the estimator of ART for a network.

    Args:
        network: the network.
        shape: of one image.
        clip_values: smallest and largest value of a pixel, as the attack is told.
    """
    return _estimator_class()(network, shape, clip_values)


@cache
def _estimator_class() -> type:
    from art.estimators.classification.blackbox import BlackBoxClassifierNeuralNetwork
    from art.estimators.classification.classifier import ClassGradientsMixin

    class Estimator(ClassGradientsMixin, BlackBoxClassifierNeuralNetwork):  # type: ignore[misc]
        def __init__(self, network: ArrayNetwork, shape: tuple[int, ...], clip_values: tuple[float, float]) -> None:
            classes = network.first_logits.shape[1]
            super().__init__(network.predict, shape, classes, channels_first=True, clip_values=clip_values)
            self._network = network

        def predict(self, x: NDArray[Any], batch_size: int = 0, **_: Any) -> Array:  # noqa: ARG002  # our own size
            return self._network.predict(x)

        def class_gradient(self, x: NDArray[Any], label: int | None = None, **_: Any) -> Array:
            return self._network.class_gradient(x, label)

        def save(self, filename: str, path: str | None = None) -> None:
            raise NotImplementedError

    return Estimator
