"""Estimate the work of measuring, in forward and backward passes of one image, for the estimate of the time left.

The numbers are processor times divided by that of one pass, for LeNet-5 on one thread with 450 and 1,500 examples of
digits. They are correct to a factor of two. The work per example grows with their number, as KDE compares all pairs.
"""

from infoplane.attacks import attacks_named
from infoplane.config import FlowConfig

FORWARD = 1 / 3  # share of a pass: .37 and .39
_ORDINARY = 12  # per example, of all layers: 11 and 15
_THOROUGH = 75  # decoders and the Monte Carlo estimate per example, of all layers: 57 and 77
_SWEPT = 2.5  # KDE and the Monte Carlo estimate at one more noise: 35 for 13 of them
_CURVE = 15  # learning curve of the decoders, on the originals: 15
_DECODER = 10  # decoders of one permuted set of labels at all layers: 10
_BEST = 250  # decoders of one set of labels, each layer with the best of several families: 8 to 12 times the time
_MISTAKEN = 45  # decoders of the classes that a version of the examples is mistaken for, or of their true classes: 45
_MISTAKEN_PERMUTED = 5  # the same for one permuted set
_ADDED = 95  # what a version adds to the originals, and removes: 95
_LAYERS = 5  # number of layers of LeNet-5; the raw pixels are one more


def measuring_work(config: FlowConfig, *, thorough: bool, final: bool) -> float:
    """Return the work of measuring one example at one epoch, without an attack and under each attack."""
    settings, attacks = config.measurement, len(config.attacks)
    changed = attacks + _controls(config) if final else attacks  # versions beside the originals
    work = attacking_work(config) + (1 + changed) * (_ORDINARY + thorough * _THOROUGH)
    if "best" in settings.decoders:
        work += (1 + changed) * (thorough + final * settings.decoder_permutations) * _BEST
    if final:
        permutations = settings.decoder_permutations
        work += (1 + changed) * (_ORDINARY + thorough * _THOROUGH) / _LAYERS + _CURVE
        work += (1 + attacks) * _SWEPT * len(settings.noise_sweep)
        work += (1 + changed) * permutations * _DECODER
        if attacks:
            work += 2 * (1 + changed) * (_MISTAKEN + permutations * _MISTAKEN_PERMUTED) + changed * _ADDED
        if settings.inputs > settings.examples:
            work += settings.inputs / settings.examples * _ORDINARY
    return work


def _controls(config: FlowConfig) -> int:
    """Return how many controls an attack has: the randomly perturbed examples."""
    return int(len(config.attacks) > 0)


def attacking_work(config: FlowConfig) -> float:
    """Return the work of attacking one example by each attack: its gradients, and its queries, a forward pass each."""
    specs = attacks_named(config.attacks, config.attack.norm).values()
    return sum(spec.cost(config.attack) + FORWARD * spec.queries for spec in specs)


def reading_work(config: FlowConfig) -> float:
    """Return the work per example of study two before any distortion: attacks, and decoders of originals."""
    return attacking_work(config) + _THOROUGH + config.measurement.decoder_permutations * _DECODER


def level_work(config: FlowConfig) -> float:
    """Return the work of measuring one example at one level of a distortion; only the last layer has new decoders."""
    decoding = _THOROUGH + config.measurement.decoder_permutations * _DECODER
    return (1 + len(config.attacks) + _controls(config)) * (_ORDINARY + decoding / _LAYERS)
