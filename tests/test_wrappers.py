import pytest
import torch
import torch.distributed as dist
from torch import nn

from infoplane.measuring.probes import record_activations
from infoplane.models import LeNet5, construct


@pytest.fixture
def images(generator):
    return torch.rand(6, 1, 28, 28, generator=generator)


@pytest.fixture
def lenet():
    return construct(LeNet5, seed=0).eval()


def small_network():
    """Convolution, in-place ReLU, a nested pair, linear: on 1x6x6 images."""
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
    assert not any(module._forward_hooks for module in model.modules())


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
        pytest.raises(ValueError, match=r"splits each batch over several devices; pass its \.module"),
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
