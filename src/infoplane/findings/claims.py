"""The claims of the study, in its order."""

from infoplane.findings.claim import Claim
from infoplane.findings.claim1_trends import SAME_TRENDS
from infoplane.findings.claim2_adversarial_lags import ADVERSARIAL_LAGS
from infoplane.findings.claim3_compression import HARDLY_COMPRESSION
from infoplane.findings.claim3_depth import NOT_ALWAYS_FALLING
from infoplane.findings.claim4_texture_and_shape import TEXTURE_AND_SHAPE
from infoplane.findings.claim5_texture_of_others import TEXTURE_OF_OTHERS
from infoplane.findings.claim6_geometry import GEOMETRY

# The claims of the study, in the order of their numbers.
CLAIMS: tuple[Claim, ...] = (
    SAME_TRENDS,
    ADVERSARIAL_LAGS,
    HARDLY_COMPRESSION,
    NOT_ALWAYS_FALLING,
    TEXTURE_AND_SHAPE,
    TEXTURE_OF_OTHERS,
    GEOMETRY,
)
