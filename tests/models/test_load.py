import sys

import pytest
import torch

from infoplane.errors import UserError
from infoplane.models import LeNet5, WideResNet, construct, model_from_path

FACTS = {"image_size": 28, "channels": 1, "classes": 10}


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Return a function that writes a module into the current directory, forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(text, name="networks.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    return write


def message_of(path, **facts):
    with pytest.raises(UserError) as caught:
        model_from_path(path, **facts)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("factory", [LeNet5, WideResNet])
def test_equal_seeds_give_equal_weights_and_other_seeds_others(factory):
    first, again, other = (
        torch.nn.utils.parameters_to_vector(construct(factory, seed=seed).parameters()) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_construction_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = construct(LeNet5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(construct(LeNet5, seed=0).fc3.weight, first.fc3.weight)


def test_a_function_in_the_current_directory_makes_the_model(write_module):
    write_module("from torch import nn\ndef small(): return nn.Linear(3, 2)")
    assert model_from_path("networks:small", **FACTS).weight.shape == (2, 3)


def test_a_module_in_a_package_is_found(write_module):
    write_module("", "package/__init__.py")
    write_module("from torch import nn\ndef small(): return nn.Linear(3, 2)", "package/module.py")
    assert model_from_path("package.module:small", **FACTS).weight.shape == (2, 3)


def test_an_installed_class_serves_as_a_function():
    model = model_from_path("infoplane.models:LeNet5", image_size=32, channels=3, classes=7)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_only_the_facts_in_the_signature_are_passed(write_module):
    write_module(
        "from torch import nn\n"
        "def one(classes, width=4): return nn.Linear(width, classes)\n"
        "def all_of_them(**facts): return nn.Linear(facts['image_size'], facts['classes'])\n"
        "def keyword(*, channels): return nn.Linear(channels, 2)\n"
    )
    assert model_from_path("networks:one", **FACTS).weight.shape == (10, 4)
    assert model_from_path("networks:all_of_them", **FACTS).weight.shape == (10, 28)
    assert model_from_path("networks:keyword", **FACTS).weight.shape == (2, 1)


@pytest.mark.parametrize("path", ["networks", "networks:", ":small", ""])
def test_a_path_without_module_or_function_is_refused(path):
    assert "must be written as package.module:function" in message_of(path)


def test_a_missing_module_is_named_with_the_folder_that_was_searched(write_module, tmp_path):
    write_module("")
    message = message_of("netwoks:small")
    assert "no module 'netwoks'" in message
    assert str(tmp_path) in message
    assert "no module 'networks.deeper'" in message_of("networks.deeper:small")


def test_a_missing_import_of_the_users_file_is_not_mistaken_for_a_missing_file(write_module):
    write_module("import no_such_library")
    message = message_of("networks:small")
    assert "importing 'networks' raised ModuleNotFoundError: No module named 'no_such_library'" in message


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def small(:", "SyntaxError"),
        ("raise RuntimeError('first\\nsecond')", "RuntimeError: first second"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_file_that_fails_to_import_is_named_with_its_error(write_module, text, error):
    write_module(text)
    assert f"importing 'networks' raised {error}" in message_of("networks:small")


def test_a_missing_function_is_named_with_the_nearest_or_all(write_module):
    write_module("def small_network(): ...\ndef other(): ...")
    assert "has no function 'smal_network'; did you mean 'small_network'?" in message_of("networks:smal_network")
    assert "has no function 'zzz'; it has small_network, other" in message_of("networks:zzz")


def test_something_that_cannot_be_called_is_refused(write_module):
    write_module("network = 3")
    assert "networks:network is a int; name a function" in message_of("networks:network")


@pytest.mark.parametrize("signature", ["classes, width", "width, /", "width, classes=3, *rest", "image_size, /, width"])
def test_a_parameter_that_cannot_be_filled_is_named(write_module, signature):
    write_module(f"def small({signature}): ...")
    message = message_of("networks:small", **FACTS)
    assert "width" in message.partition("; only")[0]
    assert "only image_size, channels, classes can be passed" in message


def test_a_fact_that_cannot_be_passed_by_name_is_named(write_module):
    write_module("def small(image_size, /): ...")
    assert "networks:small asks for image_size" in message_of("networks:small", **FACTS)


def test_an_exception_inside_the_function_is_named(write_module):
    write_module("def small(): raise KeyError('weights')")
    assert "networks:small raised KeyError: 'weights'; correct it" in message_of("networks:small")


def test_another_return_type_is_named(write_module):
    write_module("def small(): return [1]")
    assert "networks:small returned list; it must return a torch.nn.Module" in message_of("networks:small")


def test_the_current_directory_is_searched_once(write_module):
    write_module("from torch import nn\ndef small(): return nn.Linear(3, 2)")
    model_from_path("networks:small")
    path = sys.path.copy()
    model_from_path("networks:small")
    assert sys.path == path
