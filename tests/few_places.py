"""The sweeps of study three at few places each, for tests of what does not depend on where they go."""

import pytest

from infoplane.studies.sweeps import geometry, limits

_PLACES = {
    "_SPREADS": (0.5, 8.0),
    "_TIGHTNESSES": (0.0, 0.9),
    "_PURITIES": (0.0, 1.0),
    "_NOISES": (0.01, 1.0),
    "_WIDTHS": (0.25, 1.0),
    "_SHARES": (0.5, 1),
    "_FEATURES": (10, 20),
}


def keep_few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, places in _PLACES.items():
        monkeypatch.setattr(geometry, name, places)
    monkeypatch.setattr(limits, "WIDTHS", (2.0**-10, 2.0**-5, 1.0, 4.0))
