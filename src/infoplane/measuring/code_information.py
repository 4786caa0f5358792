"""Information in the stochastic layer of a finished network: its rate, I(X;T) at its own noise, and decoded I(T;Y)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.estimators.decoding import decoded_information
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.own_noise import own_noise_information
from infoplane.measuring.evaluate import BATCH
from infoplane.measuring.probes import gather_activations
from infoplane.networks.gaussian_layer import gaussian_layers, recorded_codes
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.randomness import seeded_generator


class CodeInformation(NamedTuple):
    """Estimates about one layer, in nats; the first two are None for a layer without noise of its own."""

    rate: Estimate | None  # upper bound of I(X;T)
    input: Estimate | None  # Monte Carlo estimate of I(X;T), of the mixture of these images' own Gaussians
    label: Estimate  # lower bound of I(T;Y), by linear decoders of the mean


def code_layer(model: nn.Module) -> str:
    """Return the first stochastic layer, or the last probed layer before the logits of a network without one."""
    stochastic = list(gaussian_layers(model))
    if stochastic:
        return stochastic[0]
    probed: tuple[str, ...] = model.probed_layers  # type: ignore[assignment]
    return probed[max(0, len(probed) - 2)]


def code_information(model: nn.Module, images: Tensor, labels: Tensor, *, seed: int) -> CodeInformation:
    """Measure the layer that `code_layer` names.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)`, float in [0, 1].
        labels: `(n,)` integers.
        seed: decides folds of decoders and draws of the noise.
    """
    layer = code_layer(model)
    images = as_pixels(images, memory_format(model))

    def generator(purpose: str) -> torch.Generator:
        return seeded_generator(seed, purpose, device=images.device)

    if layer not in gaussian_layers(model):
        outputs = gather_activations(model, images, [layer], batch_size=BATCH)[layer]
        return CodeInformation(None, None, decoded_information(outputs, labels, generator=generator("decoders")))
    parts: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad(), recorded_codes(model) as codes:
        for start in range(0, len(images), BATCH):
            model(images[start : start + BATCH])
            code = codes[layer]
            parts.append((code.mean.flatten(1), code.variance.expand_as(code.mean).flatten(1)))
    means, variances = (torch.cat(part) for part in zip(*parts, strict=True))
    if bool((variances == variances[:1]).all()):
        variances = variances[0]
    found = own_noise_information(means, variances, labels, generator=generator("own noise"), lower=False)
    label = decoded_information(means, labels, generator=generator("decoders"))
    return CodeInformation(found.rate, found.input, label)
