"""An attack of the user's own is a function, or what a function or a class makes from the settings."""

import sys

import pytest
import torch
from tests.attacks.test_pgd import batch, network

from infoplane.attacks import apply_attack
from infoplane.attacks.own import own_attack
from infoplane.config import AttackConfig
from infoplane.errors import UserError

SETTINGS = AttackConfig(norm="l2", epsilon=0.5, step_size=0.25, steps=4)
CODE = """
import torch

def itself(model, images, labels, *, generator, target=None):
    return images / 2

def without_target(model, images, labels, *, generator):
    return images / 2

def other_names(net, x, y, generator, target=None, *, strength=2):
    return x / strength

class Instance:
    def __call__(self, model, images, labels, *, generator, target=None):
        return images / 2
instance = Instance()

class Class:
    def __init__(self, epsilon, steps):
        self.divisor, self.norm, self.epsilon = epsilon * steps, "linf", 1.0
    def __call__(self, model, images, labels, *, generator, target=None):
        return images / self.divisor

class Plain:
    def __call__(self, model, images, labels, *, generator, target=None):
        return images / 2

def maker(steps, norm, step_size, further=1):
    assert norm == "l2"
    return lambda model, images, labels, *, generator: images / (steps * step_size * 2 * further)

def maker_of_all(**settings):
    assert settings == {"norm": "l2", "epsilon": 0.5, "step_size": 0.25, "steps": 4}
    return itself

def asks_for_more(epsilon, restarts):
    return itself

def makes_no_attack(epsilon):
    return epsilon

def makes_another_form(epsilon):
    return lambda images: images

def lacks_generator(model, images, labels):
    return images

def takes_two(images, generator):
    return images

def fails(model, images, labels, *, generator, target=None):
    raise KeyError("mine")

def makes_nothing():
    raise RuntimeError("no GPU")

class Far(Plain):
    norm, epsilon = "linf", 0.01

number = 3
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    (tmp_path / "own_attacks.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    sys.modules.pop("own_attacks", None)


def attacked(name: str) -> torch.Tensor:
    attack = own_attack(f"own_attacks:{name}").build(SETTINGS)
    return apply_attack(attack, network().eval(), *batch(), generator=torch.Generator())


@pytest.mark.parametrize(
    "name",
    ["itself", "without_target", "other_names", "instance", "Class", "Plain", "maker", "maker_of_all"],
)
def test_an_attack_is_a_function_with_a_generator_or_made_by_one_without(name):
    assert torch.equal(attacked(name), batch()[0] / 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("asks_for_more", "asks for restarts; only norm, epsilon, step_size, steps can be passed"),
        ("lacks_generator", r"asks for model, images, labels; .* \(an attack itself has an argument generator\)"),
        ("takes_two", r"must be, or return, a function of \(model, images, labels, \*, generator\); got arguments"),
        ("makes_no_attack", r"must be, or return, a function of .*; got float"),
        ("makes_another_form", r"must be, or return, a function of .*; got arguments \(images\)"),
        ("makes_nothing", "raised RuntimeError: no GPU"),
        ("missing", "has no function 'missing'"),
        ("number", "is a int; name a function"),
        ("fails", "^the attack own_attacks:fails raised KeyError: 'mine'; correct it$"),
    ],
)
def test_what_is_no_attack_is_one_line(name, message):
    with pytest.raises(UserError, match=message) as caught:
        attacked(name)
    assert "own_attacks" in str(caught.value)


def test_the_ball_that_it_states_is_checked_and_the_message_has_its_path():
    with pytest.raises(ValueError, match=r"the attack own_attacks:Far moved an image by .* own epsilon 0.01"):
        attacked("Far")


def test_nothing_is_imported_before_it_is_built():
    spec = own_attack("own_attacks:itself")
    assert "own_attacks" not in sys.modules
    assert (spec.examples, spec.is_own) == ("itself", True)
