"""Known information against the mean of its density."""

import math

import numpy as np
import pytest


def assert_agrees(terms: np.ndarray, information: float, *, error: float) -> None:
    """The mean log ratio of densities is the information, within four of its standard errors."""
    stated = terms.std() / math.sqrt(len(terms))
    assert stated < error
    assert terms.mean() == pytest.approx(information, abs=4 * stated)
