import pytest

from infoplane.report.live import SHARE, LivePage, write_live_page
from infoplane.runs.folder import RunFolder


class Clock:
    """Seconds that pass where a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    return folder


def drawing(clock, seconds, drawn, error=None):
    def draw(run):
        clock.now += seconds
        drawn.append(clock.now)
        if error is not None:
            raise error

    return draw


def test_the_first_epoch_is_drawn(run, clock):
    drawn, said = [], []
    LivePage(run, said.append, clock=clock, draw=drawing(clock, 3.0, drawn)).update()
    assert len(drawn) == 1
    assert "5% of the time; to watch it: infoplane watch" in said[0]


@pytest.mark.parametrize("seconds", [0.2, 3.0, 40.0])
def test_drawing_takes_a_small_share_of_the_time(run, clock, seconds):
    drawn, epoch = [], 10.0
    page = LivePage(run, lambda _: None, clock=clock, draw=drawing(clock, seconds, drawn))
    for _ in range(500):
        clock.now += epoch
        page.update()
    assert len(drawn) * seconds <= SHARE * clock.now
    assert len(drawn) * seconds > 0.8 * SHARE * clock.now or len(drawn) == 500


def test_a_page_that_cannot_be_drawn_is_said_once_and_the_run_goes_on(run, clock):
    drawn, said = [], []
    page = LivePage(run, said.append, clock=clock, draw=drawing(clock, 1.0, drawn, ValueError("no\nplane")))
    for _ in range(100):
        clock.now += 10
        page.update()
    assert len(drawn) > 1
    assert said == ["note: report.html could not be drawn (ValueError: no plane); the run goes on"]


def test_an_interruption_while_drawing_is_no_failure_of_the_page(run, clock):
    page = LivePage(run, lambda _: None, clock=clock, draw=drawing(clock, 1.0, [], KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        page.update()


def test_the_page_of_a_run_that_goes_on_has_its_epochs_and_is_in_the_manifest(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0, 1), layers=("fc",), trainings=("normal",))
    write_live_page(run)
    content = run.read_file(run.path / "report.html", "")  # checked against the manifest
    assert b'"epochs":[0,1]' in content
    assert b"This run is not complete" in content
    assert not (run.path / "figures").exists()
