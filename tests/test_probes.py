from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from infoplane.models import LeNet5, WideResNet, construct
from infoplane.probes import gather_activations, record_activations, stream_activations


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
    """A layer that puts out whatever `make` makes of its input."""

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
    model = Calls(lambda network, inputs: checkpoint(network.layer, inputs, use_reentrant=False))
    runs = []
    model.layer.register_forward_pre_hook(lambda *_: runs.append(1))
    with record_activations(model, ["layer"]) as recorded:
        model(torch.ones(1, 2)).sum().backward()
    assert len(runs) == 2  # or this test says nothing
    assert list(recorded) == ["layer"]


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
        assert recorded["layer"].tolist() == [[100.0, 100.0]]
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
        (lambda _: "text", "layer '0' puts out str without a tensor in it"),
        (lambda _: (None, 3), "layer '0' puts out tuple without a tensor in it"),
        (lambda x: x.sum(), "layer '0' puts out a single number, not one row per sample"),
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


# Wrappers


def test_a_compiled_network_is_recorded_also_where_it_ran_before_and_runs_compiled_after(generator):
    images = torch.rand(5, 1, 6, 6, generator=generator)
    model = small_network()
    with torch.no_grad(), record_activations(model, ["0", "2.0", "4"]) as expected:
        model(images)
    runs = []

    def backend(graph, _inputs):
        def run(*inputs):
            runs.append("compiled")
            return graph.forward(*inputs)

        return run

    compiled = torch.compile(model, backend=backend)
    with torch.no_grad():
        compiled(images)
        assert runs == ["compiled"]
        for _ in range(2):
            with record_activations(compiled, ["0", "2.0", "4"]) as recorded:
                compiled(images)
            assert recorded.keys() == expected.keys()
            for name, activations in recorded.items():
                assert torch.equal(activations, expected[name])
        assert runs == ["compiled"]
        compiled(images)
    assert runs == ["compiled"] * 2
    assert_no_hooks(model)


def test_a_compiled_part_goes_by_the_name_it_had_before(generator):
    images = torch.rand(5, 1, 6, 6, generator=generator)
    model = small_network()
    model[2] = torch.compile(model[2], backend="eager")
    model.compile(backend="eager")
    with torch.no_grad():
        model(images)
        with record_activations(model, ["2", "2.0", "4"]) as recorded:
            model(images)
    assert recorded["2"].shape == recorded["2.0"].shape == (5, 12)
    assert torch.equal(recorded["2"], recorded["2.0"].relu())


def test_data_parallel_is_recorded_under_the_names_of_the_network(lenet, images):
    wrapped = nn.DataParallel(lenet)
    with record_activations(wrapped, ["fc3"]) as recorded:
        logits = wrapped(images)
    assert torch.equal(recorded["fc3"], logits)


def test_data_parallel_over_several_devices_is_refused(lenet):
    wrapped = nn.DataParallel(lenet)
    wrapped.device_ids = [0, 1]
    with (
        pytest.raises(ValueError, match=r"scatters each batch over several devices; pass its \.module"),
        record_activations(wrapped, ["fc3"]),
    ):
        pass


def test_distributed_data_parallel_is_recorded_under_the_names_of_the_network(lenet, images):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(lenet)
        with record_activations(wrapped, ["fc3"]) as recorded:
            logits = wrapped(images)
    finally:
        dist.destroy_process_group()
    assert torch.equal(recorded["fc3"], logits)


# Many batches


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_gathered_activations_are_those_of_one_large_batch(lenet, images, batch_size):
    with torch.no_grad(), record_activations(lenet, lenet.probed_layers) as expected:
        lenet(images)
    gathered = gather_activations(lenet, images, lenet.probed_layers, batch_size=batch_size)
    assert list(gathered) == list(lenet.probed_layers)
    for name, activations in gathered.items():
        assert not activations.requires_grad
        torch.testing.assert_close(activations, expected[name])


def test_gathering_keeps_the_float_type_of_the_layer(lenet, images):
    lenet = lenet.double()
    assert gather_activations(lenet, images.double(), ["fc1"], batch_size=4)["fc1"].dtype == torch.double


def test_gathering_numbers_a_layer_that_is_called_twice():
    model = Calls(lambda network, inputs: network.layer(10 * network.layer(inputs)))
    gathered = gather_activations(model, torch.ones(3, 2), ["layer"], batch_size=2)
    assert gathered["layer#2"].tolist() == [[10.0, 10.0]] * 3


class TensorsWithRows(TorchDispatchMode):
    """Lists the shapes of all tensors of a given number of rows that operations make anew."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows
        self.shapes = []
        self.known = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor) and output.shape[:1] == (self.rows,):
            storage = output.untyped_storage().data_ptr()
            if storage not in self.known:
                self.shapes.append(tuple(output.shape))
            self.known.add(storage)
        return output


def test_gathering_allocates_the_result_once_and_nothing_else_of_that_length(lenet, images):
    with TensorsWithRows(len(images)) as made:
        gathered = gather_activations(lenet, images, ["conv1", "fc1"], batch_size=2)
    assert made.shapes == [(6, 6 * 24 * 24), (6, 120)]
    assert [tuple(activations.shape) for activations in gathered.values()] == made.shapes


def test_streaming_passes_each_batch_with_its_rows(lenet, images):
    seen = []
    stream_activations(
        lenet,
        images,
        ["fc2", "fc3"],
        lambda name, rows, activations: seen.append((name, rows, tuple(activations.shape))),
        batch_size=4,
    )
    assert seen == [
        ("fc2", slice(0, 4), (4, 84)),
        ("fc3", slice(0, 4), (4, 10)),
        ("fc2", slice(4, 6), (2, 84)),
        ("fc3", slice(4, 6), (2, 10)),
    ]


def test_streaming_runs_in_the_mode_of_the_caller_and_without_gradients(generator):
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1))
    images = torch.rand(4, 1, 3, 3, generator=generator)
    modes = []
    model[1].register_forward_hook(lambda *_: modes.append((model.training, torch.is_grad_enabled())))
    gather_activations(model, images, ["1"], batch_size=4)
    gather_activations(model.eval(), images, ["1"], batch_size=4)
    assert modes == [(True, False), (False, False)]
    assert model[0].num_batches_tracked == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_activations_that_are_not_finite_are_an_error_that_names_the_layer(lenet, images, value):
    with torch.no_grad():
        lenet.fc2.bias[3] = value
    with pytest.raises(ValueError, match="activations of layer 'fc2' must be finite: 4 of 4 samples"):
        gather_activations(lenet, images, ["fc1", "fc2"], batch_size=4)
    assert_no_hooks(lenet)


def test_a_layer_that_does_not_keep_the_batch_is_an_error_that_names_it():
    model = nn.Sequential(nn.Identity(), nn.Flatten(0, 1))
    with pytest.raises(ValueError, match="layer '1' put out 6 rows for 2 images"):
        gather_activations(model, torch.ones(2, 3, 4), ["1"], batch_size=2)


def test_an_exception_of_the_consumer_passes_through(lenet, images):
    def consumer(*_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        stream_activations(lenet, images, ["fc1"], consumer, batch_size=2)
    assert_no_hooks(lenet)


def test_impossible_batches_are_refused(lenet, images):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        gather_activations(lenet, images, ["fc1"], batch_size=0)
    with pytest.raises(ValueError, match="the number of images must be at least 1, got 0"):
        gather_activations(lenet, images[:0], ["fc1"], batch_size=2)
    with pytest.raises(ValueError, match=r"images must be of a float type, got torch\.uint8"):
        gather_activations(lenet, images.to(torch.uint8), ["fc1"], batch_size=2)
