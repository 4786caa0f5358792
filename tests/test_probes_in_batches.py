import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from infoplane.measuring.probes import gather_activations, record_activations, stream_activations
from infoplane.models import LeNet5, construct


@pytest.fixture
def images(generator):
    return torch.rand(6, 1, 28, 28, generator=generator)


@pytest.fixture
def lenet():
    return construct(LeNet5, seed=0).eval()


class PutsOutTenfold(nn.Module):
    def forward(self, inputs):
        return 10 * inputs


def assert_no_hooks(model):
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_with_kwargs
        assert not module._forward_hooks_always_called


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
    layer = PutsOutTenfold()
    model = nn.Sequential(layer, layer)
    gathered = gather_activations(model, torch.ones(3, 2), ["0"], batch_size=2)
    assert gathered["0"].tolist() == [[10.0, 10.0]] * 3
    assert gathered["0#2"].tolist() == [[100.0, 100.0]] * 3


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
    with pytest.raises(ValueError, match="layer '1' returned 6 rows for 2 images"):
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
    with pytest.raises(ValueError, match="images must be one torch tensor, got ndarray; convert it with"):
        gather_activations(lenet, images.numpy(), ["fc1"], batch_size=2)
    loader = DataLoader(TensorDataset(images), batch_size=2)
    with pytest.raises(ValueError, match=r"images must be one torch tensor, got DataLoader; .*torch\.cat"):
        gather_activations(lenet, loader, ["fc1"], batch_size=2)


class Refines(nn.Module):
    """Runs its block as often as the first value of each batch says; `wide` gives it as many features."""

    def __init__(self, wide=False):
        super().__init__()
        self.block, self.wide = nn.Identity(), wide

    def forward(self, inputs):
        number = int(inputs[0, 0])
        if self.wide:
            return self.block(inputs[:, :1].expand(-1, number))
        for _ in range(number):
            inputs = self.block(inputs)
        return inputs


@pytest.mark.parametrize(("often", "shown"), [((1, 2), "2 times .* but once"), ((2, 1), "once .* but 2 times")])
def test_a_layer_that_runs_more_often_for_some_batches_is_an_error_that_names_it(often, shown):
    inputs = torch.cat([torch.full((2, 3), float(number)) for number in often])
    with pytest.raises(ValueError, match=f"layer 'block' ran {shown} for the first") as caught:
        gather_activations(Refines(), inputs, ["block"], batch_size=2)
    assert "images 2 to 3" in str(caught.value)
    with pytest.raises(ValueError, match=r"layer 'block' returned 2 values .* but 1 of torch\.float32 for the first"):
        gather_activations(Refines(wide=True), torch.tensor([[1.0], [2.0]]), ["block"], batch_size=1)


def test_of_a_batch_that_breaks_the_rule_the_consumer_sees_nothing():
    seen = []
    with pytest.raises(ValueError, match="layer 'block' ran"):
        stream_activations(
            Refines(), torch.tensor([[1.0], [2.0]]), ["block"], lambda *found: seen.append(found), batch_size=1
        )
    assert [name for name, *_ in seen] == ["block"]


def test_a_model_that_writes_over_its_input_leaves_the_images_as_they_are(images):
    model, kept = nn.Sequential(nn.Hardtanh(0.4, 0.6, inplace=True), nn.Flatten()), images.clone()
    gathered = gather_activations(model, images, ["0"], batch_size=4)
    assert torch.equal(images, kept)
    assert torch.equal(gathered["0"], kept.clamp(0.4, 0.6).flatten(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_images_of_another_float_type_than_the_model_s_are_refused_with_the_way_out(lenet, images, dtype):
    shown = str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=rf"cannot take images .*{shown} on cpu: .*its weights are float32") as caught:
        gather_activations(lenet, images.to(dtype), ["fc1"], batch_size=4)
    assert "\n" not in str(caught.value)
    assert_no_hooks(lenet)
