"""The page of a run that goes on: written after measured epochs, so rarely that the training hardly waits for it."""

import time
from collections.abc import Callable

from infoplane.report.evaluated import evaluation_of
from infoplane.report.html import judges_claims, page_html, run_findings
from infoplane.report.page_section import PageSource
from infoplane.runs.folder import RunFolder
from infoplane.text import decodable

SHARE = 0.05  # of the elapsed time, at most, that drawing takes after the first page


class LivePage:
    """Writes `report.html` of a run while it goes on. Figures are drawn when the run ends; charts are in every page.

    The first call draws. Later ones draw only where all drawing so far, and one more as long as the last, take at most
    `SHARE` of the time since this object was made. A page that cannot be drawn is a note; the run goes on.

    Args:
        run: its folder.
        say: prints one line.
        clock: returns seconds.
        draw: writes the page.
    """

    def __init__(
        self,
        run: RunFolder,
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[RunFolder], None] | None = None,
    ) -> None:
        self._run, self._say, self._clock, self._draw = run, say, clock, draw or write_live_page
        self._began, self._spent, self._last = clock(), 0.0, 0.0
        self._complained = False

    def update(self) -> None:
        """Draw the page, unless that would take too much of the time."""
        now = self._clock()
        if self._spent and self._spent + self._last > SHARE * (now - self._began):
            return
        first = not self._spent
        try:
            self._draw(self._run)
        except Exception as error:  # noqa: BLE001 - whatever a page cannot take, the training must not stop for it
            self._complain(error)
        else:
            if first:
                self._say(
                    f"{self._run.path / 'report.html'} is drawn again as epochs are measured, in at most {SHARE:.0%} "
                    f"of the time; to watch it: infoplane watch {self._run.path}"
                )
        self._last = max(self._clock() - now, 1e-3)  # never 0, which would draw after every epoch
        self._spent += self._last
        self._run.log("page", seconds=self._last)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            reason = " ".join(str(error).split())[:200]
            self._say(f"note: report.html could not be drawn ({type(error).__name__}: {reason}); the run goes on")


def write_live_page(run: RunFolder) -> None:
    """Write `report.html` from the records so far, without figures; whole or not at all.

    Raises:
        UserError: the records are damaged.
    """
    config = run.read_config()
    source = PageSource(
        config=config,
        measurements=run.measurements(),
        geometry=run.geometry(),
        performance=run.performance(),
        findings=run_findings(run),
        run=run,
        folder=run.path,
        evaluation=evaluation_of(run),
        claims=judges_claims(config),
    )
    run.write_file(run.path / "report.html", decodable(page_html(source)).encode())
