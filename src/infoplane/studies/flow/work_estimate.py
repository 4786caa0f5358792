"""How much work measuring is, in passes of one image forward and back: the estimate of the time left rests on it.

The numbers are processor time over that of a pass, of LeNet-5 on one thread with 450 and 1,500 examples of digits.
They are good to a factor of two, and more examples cost more each: KDE compares all pairs.
"""

from infoplane.attacks import attacks_named
from infoplane.config import FlowConfig

FORWARD = 1 / 3  # of a pass: .37 and .39
_ORDINARY = 12  # per example, of all layers: 10 and 17
_THOROUGH = 75  # decoders and the value between the KDE bounds, likewise: 62 and 83
_SWEPT = 1.5  # KDE at one noise more: 20 for 13 of them
_DECODER = 25  # decoders of one set of labels at all layers: 25
_LAYERS = 5  # of LeNet-5
_MISTAKES = 2  # questions about attacked examples that decoders answer at the last epoch: wrong class, and true one


def measuring_work(config: FlowConfig, *, thorough: bool, final: bool) -> float:
    """Return the work of measuring one example at one epoch: as it is, and under each attack."""
    settings, attacks = config.measurement, len(config.attacks)
    work = attacking_work(config) + (1 + attacks) * (_ORDINARY + thorough * _THOROUGH)
    if final:
        work += (1 + attacks) * (_SWEPT * len(settings.noise_sweep) + settings.decoder_permutations * _DECODER)
        work += attacks * _MISTAKES * (1 + settings.decoder_permutations) * _DECODER
    return work


def attacking_work(config: FlowConfig) -> float:
    """Return the work of attacking one example by each attack."""
    specs = attacks_named(config.attacks, config.attack.norm).values()
    return sum(spec.cost(config.attack) for spec in specs)


def reading_work(config: FlowConfig) -> float:
    """Return the work that study two does before it distorts: attacks, and decoders of originals, per example."""
    return attacking_work(config) + (1 + config.measurement.decoder_permutations) * _DECODER


def level_work(config: FlowConfig) -> float:
    """Return the work of measuring one example at one level of a distortion; the last layer alone is decoded anew."""
    decoding = _THOROUGH + config.measurement.decoder_permutations * _DECODER
    return (1 + len(config.attacks)) * (_ORDINARY + decoding / _LAYERS)
