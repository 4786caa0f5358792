"""Accuracy along distortions, as claims 4 and 5 compare it."""

import numpy as np

from infoplane.findings.evidence import Floats

SATURATION = "saturation"
ACCURACY = "accuracy"


def accuracy_error(accuracy: Floats, examples: Floats) -> Floats:
    """Return the binomial standard error, with two successes and two failures added: it is never 0.

    Source: Agresti & Coull (1998), Amer. Statist. 52, 119.
    """
    share = (accuracy * examples + 2) / (examples + 4)
    error: Floats = np.sqrt(share * (1 - share) / (examples + 4))
    return error
