"""The command `infoplane models`: the list, the layers of one network, and times."""

import subprocess
import sys

import pytest
from tests.test_toys import TOY_MODEL

from infoplane.commands import models as command
from infoplane.commands.cli import main
from infoplane.models import MODELS


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def printed(capsys, *words) -> str:
    assert main(["models", *words]) == 0
    return capsys.readouterr().out


def test_every_network_is_listed_with_its_parameters_and_images(capsys):
    text = printed(capsys)
    for model in MODELS:
        (line,) = (line for line in text.splitlines() if f" {model.name} " in line)
        assert f"{model.parameters:,}" in line
        assert " x ".join(map(str, model.usual_images.shape)) in line
    assert "100 images" not in text


def test_the_list_needs_no_torch():
    code = "import sys, infoplane.commands.cli as cli; cli.main(['models']); assert not {'torch'} & {*sys.modules}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_network_is_shown_with_its_layers_and_settings(capsys):
    text = printed(capsys, "vit")
    assert "blocks.0.readout*" in text
    assert "--model.tokens (default cls)" in text
    assert "arXiv:2010.11929" in text
    assert "resnet18" not in text


def test_times_are_measured_where_they_are_asked_for(capsys, monkeypatch):
    monkeypatch.setattr("infoplane.measuring.speed.time.perf_counter", iter(range(100)).__next__)
    text = printed(capsys, "mlp-tanh", "--measure")
    # The clock says that each batch of 20 images takes a second.
    (line,) = (line for line in text.splitlines() if "12-10-7-5-4-3-2" in line)
    assert line.count("5 s") == 2
    assert command.TIMED == 20


def test_a_network_without_usual_images_is_listed_without_a_size(capsys, monkeypatch):
    monkeypatch.setattr("infoplane.models.catalogue.MODELS", [TOY_MODEL])
    assert "toy-layers" in printed(capsys)
    assert "--model.hidden-units (default 6)" in printed(capsys, "toy-layers", "--measure")


def test_a_name_that_is_none_is_one_line(capsys):
    assert main(["models", "resnet19"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'resnet18'?" in line
