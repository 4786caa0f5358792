"""One full synthetic run, written and drawn once for all tests that only read it."""

import pytest
from matplotlib.axes import Axes
from synthetic_run import synthetic_run
