import gc
import re

import matplotlib as mpl
import pytest
from tests.report.distorted import distorted_run
from tests.toys.figure import TOYS

from infoplane.errors import UserError
from infoplane.report import figure_files as figures
from infoplane.report.figure import paths_of
from infoplane.report.figure_files import write_figures
from infoplane.report.figures_in_order import FIGURES, SWEEP_FIGURES
from infoplane.report.html import write_report
from infoplane.runs.folder import RunFolder


@pytest.fixture(scope="module")
def small_run(make_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "small"
    return make_run(path, epochs=(0,), layers=("a$\\frac$1", "b_{"), trainings=("normal",))


PER_TRAINING = ("information-flow", "trusted", "relative-noise", "noise-sweep", "class-entropies")


def contents(run):
    return {path: path.read_bytes() for path in paths_of(write_figures(run))}


@pytest.fixture(scope="module")
def written(small_run):
    return contents(small_run)


def test_each_training_gets_its_figures_and_each_seed_a_comparison(small_run, written):
    names = [path.name for path in written]
    assert names == [
        f"{stem}.{suffix}"
        for stem in (*(f"{kind}-normal-s3" for kind in PER_TRAINING), "comparison-s3", "geometry-s3")
        for suffix in ("png", "pdf")
    ]
    assert (small_run.path / "figures" / names[0]).read_bytes().startswith(b"\x89PNG")
    assert (small_run.path / "figures" / names[1]).read_bytes().startswith(b"%PDF")


def test_the_same_records_give_the_same_bytes(small_run, written):
    mpl.rcParams["axes.facecolor"] = "red"  # neither do the caller's settings matter
    try:
        assert contents(small_run) == written
        assert mpl.rcParams["axes.facecolor"] == "red"
    finally:
        mpl.rcdefaults()


def test_what_was_not_recorded_has_no_figure(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), layers=("fc",), trainings=("normal",), trusted=False)
    stems = ["information-flow-normal-s3", "class-entropies-normal-s3", "comparison-s3"]
    assert [one.stem.name for one in write_figures(run)] == stems


def test_drawing_leaves_the_garbage_collector_as_it_was(make_run, tmp_path):
    run = make_run(tmp_path / "run", trainings=())
    for switch, expected in ((gc.disable, False), (gc.enable, True)):
        switch()
        write_figures(run)
        assert gc.isenabled() == expected


def test_a_run_without_records_draws_nothing(make_run, tmp_path):
    assert write_figures(make_run(tmp_path / "run", trainings=())) == []


def test_a_folder_without_a_run_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="holds no config"):
        write_figures(RunFolder(tmp_path))


def test_kinds_differ_and_captions_are_sentences():
    specs = [*FIGURES, *SWEEP_FIGURES]
    assert len({spec.kind for spec in specs}) == len(specs)
    assert all(spec.caption[0].isupper() and spec.caption.endswith(".") for spec in specs)


def test_a_figure_is_added_by_its_file_and_a_line(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", TOYS)
    run = distorted_run(make_run, tmp_path / "run")
    page = write_report(run).read_text()
    stems = ["toy-training-normal-s3", "toy-training-adversarial-s3", "toy-run", "toy-seed-s3"]
    stems += [f"toy-distortion-{name}-s3" for name in ("saturation", "shuffling", "high-pass")]
    assert sorted(path.name for path in (run.path / "figures").iterdir()) == sorted(
        f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")
    )
    listed = (run.path / "manifest.sha256").read_text()
    assert all(f"figures/{stem}.pdf" in listed for stem in stems)
    titles = {
        section: re.findall("<figcaption><strong>(.*?)</strong> (.*?) Also in <code>(.*?)</code>", text)
        for section, text in re.findall('<section id="(.*?)"(.*?)</section>', page, re.DOTALL)
    }
    caption = "A line."
    assert titles["figures"] == [
        ("Toy training, normal training, seed 3.", caption, "figures/toy-training-normal-s3.png"),
        ("Toy training, adversarial training, seed 3.", caption, "figures/toy-training-adversarial-s3.png"),
        ("Toy run.", caption, "figures/toy-run.png"),
        ("Toy seed, seed 3.", caption, "figures/toy-seed-s3.png"),
    ]
    assert page.count("<summary>How to read this</summary><p>It is straight.</p>") == len(stems)
    assert [title for title, _, _ in titles["distortion"]] == [
        f"Toy distortion, {name}, seed 3." for name in ("saturation", "shuffling", "high-pass")
    ]


def test_the_list_of_what_was_drawn_names_both_files(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", TOYS)
    drawn = write_figures(make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), layers=("fc",)))
    assert [one.spec.kind for one in drawn] == ["toy-training", "toy-run", "toy-seed"]
    assert all(one.png.is_file() and one.pdf.is_file() for one in drawn)
    assert [path.suffix for path in paths_of(drawn)] == [".png", ".pdf"] * 3
