"""`infoplane attacks RUN` as a user types it."""

import shutil

import pytest
from tests.command import UNRENDERED, assert_one_clear_line, infoplane

from infoplane.attacks import ATTACKS
from infoplane.commands.attacks import usual_attacks

OPTIONS = [
    "--data.train-examples=80", "--data.test-examples=60", "--epochs=1", "--measurement.layers", "conv2", "fc3",
    "--measurement.permutations=2", "--measurement.thorough-epochs=0", "--measurement.noise-sweep=1",
    "--methods=normal", "--device=cpu", "--attack", "fgsm", "--examples=50", "--deterministic",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("attacks") / "run"
    done = infoplane("flow", "digits-lenet5", "--run", path, *OPTIONS, drawn=())
    assert done.returncode == 0, done.stderr
    assert "attack fgsm (white-box): epsilon 24/255; 1 gradient per image" in done.stdout
    return path


def test_the_command_prints_tables_answers_and_files_and_continues(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    asked = ("attacks", tmp_path / "run", "--attacks", "pgd", "fgsm", "transfer")
    done = infoplane(*asked, drawn=UNRENDERED)
    assert done.returncode == 0, done.stderr
    for words in (
        "50 examples of each network",
        "attack transfer (transfer): norm linf, epsilon 24/255, step_size 6/255, steps 7; 7 gradients per image, on a",
        "substitute trained normally for 1 epoch in",
        "Normal training, 50 examples",
        "where the label is lost",
        "weak (fgsm) against strong (pgd)",
        "pgd examples made on one network (rows) and tested on another (columns)",
        "losses.csv",
    ):
        assert words in " ".join(done.stdout.split()), words
    assert (tmp_path / "run" / "attacks" / "losses.csv").read_text().startswith("training,examples,layer_index,layer")
    assert "Traces of attacks" in (tmp_path / "run" / "report.html").read_text()
    again = infoplane(*asked, drawn=UNRENDERED)
    assert again.returncode == 0, again.stderr
    assert "normal training, seed 0: complete" in again.stdout


def test_unknown_names_are_one_line(run, tmp_path):
    assert_one_clear_line(infoplane("attacks", run, "--attacks", "pgb"), "unknown attack 'pgb'", "did you mean 'pgd'")
    assert_one_clear_line(infoplane("attacks", tmp_path / "none"), "is no run folder")


def test_the_usual_attacks_are_those_of_the_list_that_fit_the_norm():
    known = {spec.name: spec for spec in ATTACKS}
    for norm in ("linf", "l2"):
        names = usual_attacks(norm)
        assert names[0] == "pgd"
        assert all(norm in known[name].norms for name in names)
        assert not any(known[name].extra for name in names)
    assert "fgsm" in usual_attacks("linf")
    assert "fgsm" not in usual_attacks("l2")
