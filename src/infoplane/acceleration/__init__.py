"""How networks compute faster while they train and are attacked; what is measured of them never goes this way."""

from infoplane.acceleration.layers import with_substitutes
from infoplane.acceleration.network import PLAIN, AcceleratedNetwork, Choices
from infoplane.acceleration.probe import fastest_choices, usual_candidates
from infoplane.acceleration.substitutes import weights_held_still

__all__ = [
    "PLAIN",
    "AcceleratedNetwork",
    "Choices",
    "fastest_choices",
    "usual_candidates",
    "weights_held_still",
    "with_substitutes",
]
