"""Models of one's own are trained and measured whatever they return, write over or leave unused."""

import pytest
import torch
from tests.studies.test_information_flow import Listener, assert_same_records, changed

from infoplane.acceleration import Choices
from infoplane.errors import UserError
from infoplane.studies.flow.information_flow import information_flow

SOURCE = """
import torch
from torch import nn

class Usual(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.last = nn.Linear(784, 20), nn.Linear(20, classes)

    def forward(self, images):
        return self.last(self.first((images - 0.5).div(0.25).flatten(1)).relu())

class Output(Usual):
    def forward(self, images):
        return {"loss": None, "logits": super().forward(images)}

class Overwriting(Usual):
    def forward(self, images):
        return self.last(self.first(images.sub_(0.5).div_(0.25).flatten(1)).relu())

class Headed(Usual):
    def __init__(self, classes):
        super().__init__(classes)
        self.unused = nn.Linear(20, classes)

class Pair(Usual):
    def forward(self, images):
        return super().forward(images), images

class Unused(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.scale, self.unused, self.classes = nn.Parameter(torch.ones(())), nn.Linear(20, classes), classes

    def forward(self, images):
        return images.flatten(1)[:, :self.classes] * self.scale
"""


@pytest.fixture
def own_flow(small_flow, tmp_path, monkeypatch):
    """Make the study of a network of `SOURCE`, by its name."""
    module = f"own_networks_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, **parts):
        measurement = {"examples": 40, "permutations": 2, "thorough_epochs": 0, "noise_sweep": (1.0,)}
        own = {"model": {"name": f"{module}:{name}"}, "training": {"epochs": 1}, "measurement": measurement}
        return changed(small_flow, **own, **parts)

    return make


@pytest.fixture(scope="module")
def usual():
    """Records of a network that is like others, by methods."""
    return {}


@pytest.mark.parametrize("name", ["Output", "Overwriting"])
@pytest.mark.parametrize("methods", [("normal", "adversarial"), ("free", "trades")])
def test_what_a_model_returns_and_writes_over_changes_no_number(name, methods, own_flow, usual):
    if methods not in usual:
        usual[methods] = information_flow(own_flow("Usual", methods=methods))
    assert_same_records(information_flow(own_flow(name, methods=methods)), usual[methods])


def test_a_model_with_a_larger_output_can_be_accelerated_or_says_that_it_cannot(own_flow):
    try:
        records = information_flow(own_flow("Output", methods=("adversarial",)), choices=Choices(traced=True))
    except ValueError:
        return
    assert records.performance["loss"].is_finite().all()


def test_layers_that_do_not_run_are_left_out_with_a_note(own_flow):
    listener = Listener()
    records = information_flow(own_flow("Headed", methods=("normal",)), progress=listener)
    assert records.measurements["layer"].unique().sort().to_list() == ["first", "last", "pixels"]
    assert listener.lines.count("layers unused do not run when the network classifies and are left out") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Pair", "the model own_networks.*:Pair: the model must return logits .* got tuple of 2"),
        ("Unused", "no convolution or linear layer runs when the model classifies; name --measurement.layers"),
    ],
)
def test_a_model_that_cannot_be_measured_is_one_clear_line(name, message, own_flow):
    with pytest.raises(UserError, match=message) as caught:
        information_flow(own_flow(name, methods=("normal",)))
    assert "\n" not in str(caught.value)
    assert torch.is_grad_enabled()
