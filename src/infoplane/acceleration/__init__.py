"""How networks compute faster while they train and are attacked; what is measured of them never goes this way."""

from infoplane.acceleration.choices import PLAIN, Choices
from infoplane.acceleration.layers import with_frozen
from infoplane.acceleration.network import AcceleratedNetwork
from infoplane.acceleration.probe import fastest_choices, usual_candidates
from infoplane.acceleration.reading import UnreadableError

__all__ = [
    "PLAIN",
    "AcceleratedNetwork",
    "Choices",
    "UnreadableError",
    "fastest_choices",
    "usual_candidates",
    "with_frozen",
]
