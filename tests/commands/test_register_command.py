"""`infoplane register`: claims go into a new folder once, and the run's report judges them."""

import shutil

import pytest
from tests.command import infoplane
from tests.report.conftest import synthetic_run

from infoplane.commands.cli import main
from infoplane.report.html import write_report
from infoplane.runs.folder import RunFolder

TEXT = """
title = "digits <b>"
seeds = [0]

[settings.training]
epochs = 1

[[study]]
claim = "2"
expect = "supported"

[[claims]]
name = "accuracy & more"
quantity = "accuracy"
above = 0.01
of = {training = "normal"}
"""


@pytest.fixture
def claims(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_hash_is_printed_and_claims_are_kept_once(claims, tmp_path, capsys):
    assert main(["register", str(claims)]) == 0
    printed = capsys.readouterr().out
    assert "accuracy & more: accuracy of normal training, original examples, is above 0.01" in printed
    folder = tmp_path / "run"
    for said in ("registered", "was registered before"):
        assert main(["register", str(claims), str(folder)]) == 0
        again = capsys.readouterr().out
        assert again == f"{printed}{said}: {folder}\n"
    claims.write_text(TEXT.replace("0.01", "0.02"), encoding="utf-8")
    assert main(["register", str(claims), str(folder)]) == 2
    assert "already holds other registered claims" in capsys.readouterr().err


def test_claims_come_before_results(claims, tmp_path, capsys):
    run = synthetic_run(tmp_path / "run", epochs=(0, 1))
    assert main(["register", str(claims), str(run.path)]) == 2
    assert "already holds results; claims are registered before a run" in capsys.readouterr().err
    assert not (run.path / "registered.json").exists()


def test_changed_claims_are_refused(claims, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])
    folder = tmp_path / "run"
    main(["register", str(claims), str(folder)])
    kept = (folder / "registered.json").read_text().replace("0.01", "0.00")
    (folder / "registered.json").write_text(kept)
    synthetic_run(tmp_path / "made", epochs=(0, 1))
    for name in ("measurements", "performance", "geometry"):
        shutil.copytree(tmp_path / "made" / name, folder / name)
    shutil.copy(tmp_path / "made" / "config.json", folder)
    with (folder / "manifest.sha256").open("a") as file:
        file.write((tmp_path / "made" / "manifest.sha256").read_text())
    assert main(["report", str(folder)]) == 2
    assert "registered.json" in capsys.readouterr().err


def test_the_page_shows_the_outcomes_and_escapes_names(claims, tmp_path, monkeypatch):
    from infoplane.report import figure_files

    monkeypatch.setattr(figure_files, "FIGURES", ())
    made = synthetic_run(tmp_path / "made", epochs=(0, 1))
    folder = tmp_path / "run"
    main(["register", str(claims), str(folder)])
    for name in ("measurements", "performance", "geometry"):
        shutil.copytree(made.path / name, folder / name)
    shutil.copy(made.path / "config.json", folder)
    with (folder / "manifest.sha256").open("a") as file:
        file.write((made.path / "manifest.sha256").read_text())
    page = write_report(RunFolder(folder)).read_text("utf-8")
    assert "Claims registered before the run" in page
    assert "accuracy &amp; more" in page
    assert "digits &lt;b&gt;" in page


def test_a_run_judges_its_claims(claims, tmp_path):
    folder = tmp_path / "run"
    assert infoplane("register", claims, folder).returncode == 0
    small = [
        "--training.epochs", "0", "--measurement.examples", "60", "--methods", "normal", "--deterministic",
        "--data.train-examples=60", "--data.test-examples=60", "--measurement.layers", "fc3",
        "--measurement.permutations=2", "--measurement.noise-sweep=1", "--measurement.inputs=0",
    ]  # fmt: skip
    done = infoplane("flow", "digits-lenet5", *small, "--run", folder, drawn=())
    assert done.returncode == 0, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "deviates from its registered claims: training.epochs was registered as 1, and is 0" in said
    assert "registered claim 2 of the study stays undecided: it needs two seeds or more (--seeds)" in said
    assert "Claims registered before the run" in said
    assert "deviated (" in said
