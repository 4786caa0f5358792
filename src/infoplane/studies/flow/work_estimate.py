"""Estimate the work of measuring, in forward and backward passes of one image, for the estimate of the time left.

The numbers are processor times divided by that of one pass, for LeNet-5 on one thread with 450 and 1,500 examples of
digits. They are correct to a factor of two. The work per example grows with their number, as KDE compares all pairs.
"""

from infoplane.attacks import attacks_named
from infoplane.config import FlowConfig

FORWARD = 1 / 3  # share of a pass: .37 and .39
_ORDINARY = 12  # per example, of all layers: 10 and 17
_THOROUGH = 75  # decoders and the Monte Carlo estimate per example, of all layers: 62 and 83
_SWEPT = 1.5  # KDE at one more noise: 20 for 13 of them
_DECODER = 25  # decoders of one set of labels at all layers: 25
_BEST = 10 * _DECODER  # the same with the best of several families: 8 to 12 times the time
_LAYERS = 5  # number of layers of LeNet-5
_MISTAKES = 2  # sets of labels of attacked examples that are decoded at the last epoch: wrong class, true class


def measuring_work(config: FlowConfig, *, thorough: bool, final: bool) -> float:
    """Return the work of measuring one example at one epoch, without an attack and under each attack."""
    settings, attacks = config.measurement, len(config.attacks)
    control = int(final and attacks > 0)  # the randomly perturbed examples
    work = attacking_work(config) + (1 + attacks + control) * (_ORDINARY + thorough * _THOROUGH)
    if "best" in settings.decoders:
        work += (1 + attacks + control) * (thorough + final * settings.decoder_permutations) * _BEST
    if final:
        work += (1 + attacks) * _SWEPT * len(settings.noise_sweep)
        work += (1 + attacks + control) * settings.decoder_permutations * _DECODER
        work += attacks * _MISTAKES * (1 + settings.decoder_permutations) * _DECODER
    return work


def attacking_work(config: FlowConfig) -> float:
    """Return the work of attacking one example by each attack: its gradients, and its queries, a forward pass each."""
    specs = attacks_named(config.attacks, config.attack.norm).values()
    return sum(spec.cost(config.attack) + FORWARD * spec.queries for spec in specs)


def reading_work(config: FlowConfig) -> float:
    """Return the work per example of study two before any distortion: attacks, and decoders of originals."""
    return attacking_work(config) + (1 + config.measurement.decoder_permutations) * _DECODER


def level_work(config: FlowConfig) -> float:
    """Return the work of measuring one example at one level of a distortion; only the last layer has new decoders."""
    decoding = _THOROUGH + config.measurement.decoder_permutations * _DECODER
    return (1 + len(config.attacks)) * (_ORDINARY + decoding / _LAYERS)
