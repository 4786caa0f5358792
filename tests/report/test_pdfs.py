"""Figures as PDF, by a second process or by this one: the same bytes."""

import sys
import tempfile
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from infoplane.report import pdfs
from infoplane.report.pdfs import pdfs_beside
from infoplane.report.style import STYLE, figure_style, save_figure


@pytest.fixture(autouse=True)
def folder_of_jobs(tmp_path, monkeypatch):
    """Two cores, and a place for figures on their way that this test alone uses."""
    monkeypatch.setattr(pdfs, "_cores", lambda: 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    yield
    assert list((tmp_path / "temporary").iterdir()) == []  # nothing is left there, whatever happened


def draw(folder: Path, *, beside: bool, figures: int = 3) -> dict[str, bytes]:
    with figure_style(), pdfs_beside(STYLE, beside=beside) as writer:
        for number in range(figures):
            figure = Figure(figsize=(2, 2))
            axes = figure.subplots()
            axes.plot([0, 1, 2], [number, 0.5, 0.1], marker="o", label="$I(T;Y)$")
            axes.set(xlabel="epochs", yscale="log" if number else "linear")
            axes.legend()
            save_figure(figure, folder / f"{number}", writer)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def drawn_here(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("here"), beside=False)


def test_both_ways_give_the_same_files(drawn_here, tmp_path, monkeypatch):
    here = []
    monkeypatch.setattr(pdfs, "pdf_bytes", lambda figure: here.append(figure) or b"")
    (tmp_path / "figures").mkdir()
    assert draw(tmp_path / "figures", beside=True) == drawn_here
    assert sorted(drawn_here) == [f"{number}.{suffix}" for number in range(3) for suffix in ("pdf", "png", "svg")]
    assert here == []  # this process drew none of them


@pytest.mark.parametrize(
    "program",
    ["import sys; sys.exit(1)", "import sys; sys.stdin.readline(); sys.exit(1)", "import sys; sys.stdin.read()"],
)
def test_what_the_second_process_leaves_undone_is_drawn_here(program, drawn_here, tmp_path, monkeypatch):
    (tmp_path / "useless.py").write_text(program)
    monkeypatch.setattr(pdfs.pdf_process, "__file__", str(tmp_path / "useless.py"))
    (tmp_path / "figures").mkdir()
    assert draw(tmp_path / "figures", beside=True) == drawn_here


def test_where_no_process_can_be_started_all_is_drawn_here(drawn_here, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    (tmp_path / "figures").mkdir()
    assert draw(tmp_path / "figures", beside=True) == drawn_here


def test_on_one_core_no_process_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(pdfs, "_cores", lambda: 1)
    monkeypatch.setattr(pdfs, "_started", lambda folder: pytest.fail("a process was started"))
    (tmp_path / "figures").mkdir()
    assert len(draw(tmp_path / "figures", beside=True, figures=1)) == 3


def test_an_error_while_drawing_ends_the_second_process(tmp_path, monkeypatch):
    begun = []
    started = pdfs._started
    monkeypatch.setattr(pdfs, "_started", lambda folder: begun.append(started(folder)) or begun[0])

    def fail() -> None:
        with figure_style(), pdfs_beside(STYLE, beside=True) as writer:
            save_figure(Figure(), tmp_path / "one", writer)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert begun[0].poll() is not None
    assert not (tmp_path / "one.pdf").exists()


def test_modules_in_the_users_folder_are_not_loaded(drawn_here, tmp_path, monkeypatch):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    here = []
    monkeypatch.setattr(pdfs, "pdf_bytes", lambda figure: here.append(figure) or b"")
    (tmp_path / "figures").mkdir()
    assert draw(tmp_path / "figures", beside=True) == drawn_here
    assert here == []  # the second process drew them: it did not fail on that module
