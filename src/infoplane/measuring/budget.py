"""Budget of measuring in a user's own training loop: which epochs are measured, so that training is not held up."""

import time
import warnings
from collections.abc import Callable

from infoplane.checks import check_positive
from infoplane.measuring.cost import MeasuringSeconds


class Budget:
    """Decides at each epoch whether to measure. The time between two measurements counts as training.

    Args:
        share: largest share of the time of training that measuring may take; None for no limit.

    Raises:
        ValueError: `share` is not positive.
    """

    def __init__(self, share: float | None) -> None:
        if share is not None:
            check_positive(share, name="budget")
        self.share = share
        self.left_out: list[int] = []
        self._training = self._measuring = 0.0  # seconds
        self._last: dict[bool, float] = {}  # seconds of the last measurement, by whether it was thorough
        self._began = self._ended = 0.0
        self._warned = False

    def decide(
        self, epoch: int, *, thorough: bool, needed: bool, estimate: Callable[[], MeasuringSeconds]
    ) -> bool | None:
        """Return whether to measure thoroughly now; None if the epoch is to be left out.

        Args:
            epoch: completed epochs.
            thorough: whether that is wanted.
            needed: whether the epoch is measured as wanted in any case.
            estimate: gives seconds of a measurement, for a kind that was not timed yet.
        """
        now = time.perf_counter()
        if self._ended:
            self._training += now - self._ended
            self._ended = now
        found: bool | None = thorough
        if self.share is not None and self._last and not needed:
            found = next((kind for kind in {thorough: None, False: None} if self._allows(kind, estimate)), None)
        if found is not thorough:
            self._say(epoch, found)
        self._began = time.perf_counter()
        return found

    def measured(self, *, thorough: bool) -> None:
        """Note the time since `decide`."""
        self._ended = time.perf_counter()
        self._last[thorough] = self._ended - self._began
        self._measuring += self._last[thorough]

    def _allows(self, thorough: bool, estimate: Callable[[], MeasuringSeconds]) -> bool:
        assert self.share is not None
        if thorough in self._last:
            cost = self._last[thorough]
        else:
            cost = estimate().thorough if thorough else min(estimate().ordinary, *self._last.values())
        return self._measuring + cost <= self.share * self._training

    def _say(self, epoch: int, found: bool | None) -> None:
        if found is None:
            self.left_out.append(epoch)
        if not self._warned:
            self._warned = True
            what = "is not measured" if found is None else "is measured without decoders and the Monte Carlo estimate"
            warnings.warn(
                f"epoch {epoch} {what}: measuring has taken {self._measuring:.0f} s beside {self._training:.0f} s of "
                f"training, and budget={self.share:g} allows no more now; so it may be at later epochs "
                "(InformationPlane.left_out)",
                stacklevel=4,
            )
