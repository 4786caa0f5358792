"""Decoded information about the label that a hidden layer keeps under an attack: one number, for early stopping."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from infoplane.estimators import HeldOutInformation
from infoplane.estimators.distinct_rows import distinct_rows
from infoplane.measuring.evaluate import BATCH
from infoplane.measuring.fitted_decoders import fitted_decoders
from infoplane.measuring.probes import gather_activations, record_activations
from infoplane.networks.logits import logits_of


def robust_information(
    model: nn.Module, originals: Tensor, attacked: Tensor, labels: Tensor, *, layer: str, examples_seed: int = 0
) -> HeldOutInformation:
    """Return I(T;Y), in nats, that decoders trained on original images find in the attacked ones.

    The images are cross-fitted: a linear decoder is fitted to the outputs for the originals of four fifths, and applied
    to the attacked images of the other fifth. Decoders that are fitted on attacked images would also use the
    perturbation, which was made with the label. Folds depend on `examples_seed` alone, so they are the same at every
    epoch. Copies of an image share a fold.

    The value does not say how accurate the network is: it can be above 0 for a network at chance.

    Args:
        model: in evaluation mode.
        originals: `(n, channels, height, width)` floats in [0, 1], at least 10 different ones.
        attacked: the same images under an attack, of the same shape; the originals themselves if there is no attack.
        labels: `(n,)` integers.
        layer: name of the module; of one that runs several times, its last output counts.
        examples_seed: seed of the folds.

    Raises:
        ValueError: there is no such layer, or its outputs are not finite.
    """
    groups = distinct_rows(originals.flatten(start_dim=1), torch.zeros(len(originals), dtype=torch.long))
    before, after = (
        list(gather_activations(model, images, [layer], batch_size=BATCH).values())[-1]
        for images in (originals, attacked)
    )
    (decoded,) = fitted_decoders(
        before, labels.cpu(), groups=groups.cpu(), examples_seed=examples_seed, permutations=0, decoder="linear"
    )
    return decoded.transferred(after, labels.cpu())


def last_hidden_layer(model: nn.Module, images: Tensor, layers: Sequence[str]) -> str:
    """Return the last of `layers` whose outputs are not the logits; the last one if all are.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)` floats in [0, 1]; two of them are passed through the model.
        layers: names of modules, from input to output.
    """
    with torch.no_grad(), record_activations(model, layers) as recorded:
        logits = logits_of(model(images[:2].clone())).flatten(start_dim=1)
    last = {name.partition("#")[0]: outputs for name, outputs in recorded.items()}
    hidden = [layer for layer in layers if not torch.equal(last[layer], logits)]
    return (hidden or list(layers))[-1]
