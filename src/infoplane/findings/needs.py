"""Claims of the study that a run cannot decide, whatever it finds: said before it begins, not after hours."""

from collections.abc import Collection

from infoplane.config import FlowConfig
from infoplane.findings import claim1_trends, claim3_compression
from infoplane.findings.claims import CLAIMS

# Epochs at which decoders must have been measured.
_EPOCHS = {
    claim1_trends.SAME_TRENDS.number: claim1_trends.FEWEST_EPOCHS,
    claim3_compression.HARDLY_COMPRESSION.number: claim3_compression.FEWEST_EPOCHS,
}


def undecidable(config: FlowConfig, numbers: Collection[str]) -> list[str]:
    """Return a line for each of these claims that the planned run is too small to decide.

    Args:
        config: of the run.
        numbers: of the claims.
    """
    planned, lines = len(config.thorough_epochs()), []
    for claim in CLAIMS:
        if claim.number not in numbers:
            continue
        why = []
        compares_seeds = claim is claim1_trends.SAME_TRENDS  # its baseline is curves of different seeds
        if (claim.needs_several_seeds or compares_seeds) and config.seeds < 2:
            why.append("it needs two seeds or more (--seeds)")
        if planned < (needed := _EPOCHS.get(claim.number, 0)):
            why.append(
                f"it needs decoders at {needed} epochs or more, and {planned} are planned "
                "(--measurement.thorough-epochs, --measure-every)"
            )
        if why:
            lines.append(f"claim {claim.number} of the study stays undecided: {' and '.join(why)}")
    return lines
