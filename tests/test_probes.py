from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from infoplane.measuring.probes import record_activations
from infoplane.models import LeNet5, WideResNet, construct


@pytest.fixture
def images(generator):
    return torch.rand(6, 1, 28, 28, generator=generator)


@pytest.fixture
def lenet():
    return construct(LeNet5, seed=0).eval()


def small_network():
    """conv - in-place ReLU - (conv - ReLU) - linear, on 1x6x6 images."""
    return construct(
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3),
            nn.ReLU(inplace=True),
            nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()),
            nn.Flatten(),
            nn.Linear(12, 4),
        ),
        seed=0,
    )


def assert_no_hooks(model):
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_with_kwargs
        assert not module._forward_hooks_always_called


class Calls(nn.Module):
    """A network whose forward pass is `body(network, inputs)`, with one linear layer that is the identity."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.layer = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.layer.weight)
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs):
        return self.body(self, inputs)


class PutsOut(nn.Module):
    """A layer that returns `make` of its input."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, inputs):
        return self.make(inputs)


# What is recorded


def test_records_are_the_outputs_of_the_layers_flattened_per_sample(lenet, images):
    with record_activations(lenet, ["conv1", "fc3"]) as recorded:
        logits = lenet(images)
    conv1 = lenet.conv1(lenet.normalise(images))
    assert list(recorded) == ["conv1", "fc3"]
    assert torch.equal(recorded["conv1"], conv1.flatten(start_dim=1))
    assert torch.equal(recorded["fc3"], logits)


def test_records_carry_no_gradient_and_the_output_keeps_its_own(lenet, images):
    with record_activations(lenet, lenet.probed_layers) as recorded:
        logits = lenet(images)
    assert logits.requires_grad
    assert not any(activations.requires_grad for activations in recorded.values())


def test_an_in_place_relu_behind_a_layer_leaves_the_record_alone(generator):
    model = small_network()
    images = torch.rand(5, 1, 6, 6, generator=generator)
    with torch.no_grad(), record_activations(model, ["0"]) as recorded:
        model(images)
    assert torch.equal(recorded["0"], model[0](images).flatten(start_dim=1))
    assert (recorded["0"] < 0).any()


def test_a_hook_that_was_there_before_and_rewrites_the_output_leaves_the_record_alone():
    model = nn.Sequential(nn.Identity())
    handle = model[0].register_forward_hook(lambda _module, _args, output: output.zero_())
    with record_activations(model, ["0"]) as recorded:
        model(torch.ones(2, 3))
    handle.remove()
    assert recorded["0"].tolist() == [[1.0] * 3] * 2


def test_features_come_in_channel_height_width_order_whatever_the_memory_format(lenet, images):
    with torch.no_grad(), record_activations(lenet, ["conv1", "conv2"]) as plain:
        lenet(images)
    lenet = lenet.to(memory_format=torch.channels_last)
    with torch.no_grad(), record_activations(lenet, ["conv1", "conv2"]) as recorded:
        outputs = []
        handle = lenet.conv2.register_forward_hook(lambda _module, _args, output: outputs.append(output))
        lenet(images.to(memory_format=torch.channels_last))
        handle.remove()
    assert outputs[0].is_contiguous(memory_format=torch.channels_last)  # or this test says nothing
    for name, activations in recorded.items():
        assert activations.is_contiguous()
        torch.testing.assert_close(activations, plain[name])


def test_layers_inside_containers_go_by_their_dotted_names(generator):
    model = small_network()
    with record_activations(model, ["2.1", "2"]) as recorded:
        model(torch.rand(2, 1, 6, 6, generator=generator))
    assert recorded["2.1"].shape == (2, 12)
    assert torch.equal(recorded["2"], recorded["2.1"])


def test_each_forward_pass_replaces_the_last(lenet, images):
    with torch.no_grad(), record_activations(lenet, ["fc3"]) as recorded:
        lenet(images[:4])
        first = recorded["fc3"]
        logits = lenet(images[4:])
    assert list(recorded) == ["fc3"]
    assert torch.equal(recorded["fc3"], logits)
    assert len(first) == 4  # a record that was taken out stays


def test_a_layer_called_twice_in_one_pass_is_numbered():
    model = Calls(lambda network, inputs: network.layer(10 * network.layer(inputs)))
    with record_activations(model, ["layer"]) as recorded:
        model(torch.ones(1, 2))
        model(2 * torch.ones(1, 2))
    assert {name: activations.tolist() for name, activations in recorded.items()} == {
        "layer": [[2.0, 2.0]],
        "layer#2": [[20.0, 20.0]],
    }


def test_a_second_call_that_the_next_pass_does_not_make_is_forgotten():
    calls = iter([2, 1])

    def body(network, inputs):
        for _ in range(next(calls)):
            inputs = network.layer(inputs)
        return inputs

    model = Calls(body)
    with record_activations(model, ["layer"]) as recorded:
        model(torch.ones(1, 2))
        assert list(recorded) == ["layer", "layer#2"]
        model(torch.ones(1, 2))
        assert list(recorded) == ["layer"]


def test_a_module_in_two_places_is_found_by_either_name():
    shared = nn.Linear(2, 2)
    model = nn.ModuleDict({"first": shared, "second": shared})
    model.forward = lambda inputs: model["second"](inputs)
    with record_activations(model, ["second"]) as recorded:
        model(torch.ones(1, 2))
    assert list(recorded) == ["second"]


def test_recomputation_in_a_backward_pass_adds_nothing():
    # exp: recomputation ends with the last tensor that is needed, which must lie behind the layer.
    model = Calls(lambda network, inputs: checkpoint(lambda x: network.layer(x).exp(), inputs, use_reentrant=False))
    runs = []
    model.layer.register_forward_hook(lambda *_: runs.append(1))
    with record_activations(model, ["layer"]) as recorded:
        model(torch.ones(1, 2)).sum().backward()
    assert len(runs) == 2  # or this test says nothing
    assert list(recorded) == ["layer"]


class CallsItself(nn.Module):
    """Averages its logits of the images and of their mirror images, by calling itself; or starts with a blank pass."""

    def __init__(self, blank=False):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.blank = blank

    def forward(self, inputs, inner=False):
        if inner:
            return self.layer(inputs)
        if self.blank:
            return self.layer(inputs) - self(torch.zeros_like(inputs), inner=True)
        return (self(inputs, inner=True) + self(inputs.flip(1), inner=True)) / 2


def test_a_model_that_calls_itself_makes_one_pass(generator):
    inputs = torch.rand(3, 4, generator=generator)
    for model, second in ((CallsItself(), inputs.flip(1)), (CallsItself(blank=True), torch.zeros(3, 4))):
        with torch.no_grad(), record_activations(model, ["layer"]) as recorded:
            model(torch.ones(3, 4))
            model(inputs)
        assert list(recorded) == ["layer", "layer#2"]
        assert torch.equal(recorded["layer"], model.layer(inputs))
        assert torch.equal(recorded["layer#2"], model.layer(second))


def test_a_call_of_itself_that_fails_and_is_caught_leaves_the_pass_whole():
    class Tries(CallsItself):
        def forward(self, inputs, inner=False):
            if inner:
                raise RuntimeError("no")
            try:
                return self(inputs, inner=True)
            except RuntimeError:
                return self.layer(inputs)

    model = Tries()
    with torch.no_grad(), record_activations(model, ["layer"]) as recorded:
        for _ in range(2):
            model(torch.ones(3, 4))
            model.layer(torch.zeros(1, 4))  # outside a pass of the whole network
    assert list(recorded) == ["layer"]
    assert len(recorded["layer"]) == 3


def test_a_pass_that_failed_leaves_the_next_one_whole():
    def body(network, inputs):
        inputs = network.layer(inputs)
        if inputs.sum() > 10:
            raise RuntimeError("too large")
        return inputs

    model = Calls(body)
    with record_activations(model, ["layer"]) as recorded:
        with pytest.raises(RuntimeError, match="too large"):
            model(100 * torch.ones(1, 2))
        model.layer(torch.ones(1, 2))  # outside a pass of the whole network
        assert {name: record.tolist() for name, record in recorded.items()} == {"layer": [[100.0, 100.0]]}
        model(torch.ones(1, 2))
    assert list(recorded) == ["layer"]
    assert recorded["layer"].tolist() == [[1.0, 1.0]]


Pair = namedtuple("Pair", ["count", "hidden"])


@dataclass
class Output:
    loss: float
    hidden: torch.Tensor


@pytest.mark.parametrize(
    "make",
    [
        lambda x: (x, -x),
        lambda x: [None, x],
        lambda x: {"mask": None, "hidden": x, "other": -x},
        lambda x: Pair(3, x),
        lambda x: Output(loss=0.5, hidden=x),
        lambda x: (None, (x, -x)),
    ],
    ids=["tuple", "list", "dict", "namedtuple", "dataclass", "nested"],
)
def test_of_several_outputs_the_first_tensor_is_recorded(make):
    model = nn.Sequential(PutsOut(make))
    inputs = torch.arange(6.0).view(3, 2)
    with record_activations(model, ["0"]) as recorded:
        model(inputs)
    assert torch.equal(recorded["0"], inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: "text", "layer '0' outputs str without a tensor in it"),
        (lambda _: (None, 3), "layer '0' outputs tuple without a tensor in it"),
        (lambda x: x.sum(), "layer '0' outputs a single number, not one row per sample"),
    ],
)
def test_an_output_that_is_no_activation_is_an_error_that_names_the_layer(make, message):
    model = nn.Sequential(PutsOut(make))
    with pytest.raises(ValueError, match=message), record_activations(model, ["0"]):
        model(torch.ones(3, 2))
    assert_no_hooks(model)


def test_one_number_per_sample_is_one_feature():
    model = nn.Sequential(PutsOut(lambda x: x.sum(dim=1)))
    with record_activations(model, ["0"]) as recorded:
        model(torch.ones(3, 2))
    assert recorded["0"].tolist() == [[2.0]] * 3


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_recording_works_in_every_gradient_mode(lenet, images, context):
    with context(), record_activations(lenet, ["conv1", "fc3"]) as recorded:
        logits = lenet(images)
    assert torch.equal(recorded["fc3"], logits)


def test_under_autocast_the_record_has_the_type_of_the_layer(lenet, images):
    with torch.autocast("cpu", dtype=torch.bfloat16), record_activations(lenet, ["conv1"]) as recorded:
        lenet(images)
    assert recorded["conv1"].dtype == torch.bfloat16


def test_the_mode_stays_the_callers():
    model = WideResNet()
    model.bn.eval()
    with record_activations(model, ["stem"]) as recorded:
        model(torch.zeros(2, 3, 32, 32))
    assert recorded["stem"].shape == (2, 16 * 32 * 32)
    assert model.training
    assert model.group1[0].bn1.training
    assert not model.bn.training


# Hooks


def test_no_hook_stays_behind(lenet, images):
    with record_activations(lenet, lenet.probed_layers):
        lenet(images)
        assert lenet.conv1._forward_hooks  # or this test says nothing
    assert_no_hooks(lenet)


def test_an_exception_inside_the_block_passes_through_and_leaves_no_hook(lenet):
    with pytest.raises(KeyError, match="mine"), record_activations(lenet, ["conv1"]):
        raise KeyError("mine")  # also: that conv1 recorded nothing is no reason to hide it
    assert_no_hooks(lenet)


def test_hooks_of_the_caller_stay(lenet, images):
    seen = []
    lenet.conv1.register_forward_hook(lambda *_: seen.append(1))
    with record_activations(lenet, ["conv1"]):
        lenet(images)
    lenet(images)
    assert len(seen) == 2


# Mistakes


def test_an_unknown_layer_is_named_with_the_nearest_and_all(lenet):
    with (
        pytest.raises(
            ValueError, match=r"unknown layers \['conv3'\]; did you mean 'conv\d'\? the model has \['norm.*fc3'\]"
        ),
        record_activations(lenet, ["conv1", "conv3"]),
    ):
        pass
    assert_no_hooks(lenet)


@pytest.mark.parametrize("layers", [[], "conv1", ""])
def test_layers_must_be_a_sequence_of_names(lenet, layers):
    with (
        pytest.raises(ValueError, match="layers must be a sequence of at least one name"),
        record_activations(lenet, layers),
    ):
        pass


def test_a_repeated_layer_is_refused(lenet):
    with (
        pytest.raises(ValueError, match=r"each layer once, but \['fc1'\] are repeated"),
        record_activations(lenet, ["fc1", "conv1", "fc1"]),
    ):
        pass


def test_a_layer_that_recorded_nothing_is_an_error_at_the_end():
    model = Calls(lambda network, inputs: network.layer(inputs))
    with (
        pytest.raises(ValueError, match=r"layers \['unused'\] recorded nothing"),
        record_activations(model, ["layer", "unused"]),
    ):
        model(torch.ones(1, 2))
    assert_no_hooks(model)


def test_a_block_without_a_forward_pass_is_an_error(lenet):
    with pytest.raises(ValueError, match="ran no forward pass"), record_activations(lenet, ["conv1"]):
        pass
