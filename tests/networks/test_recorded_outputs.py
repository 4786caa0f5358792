import pytest
import torch
from torch import Tensor, nn

from infoplane.networks.recorded_outputs import recorded_outputs


def stack() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 3))


def test_outputs_are_flat_in_order_and_have_gradients():
    model, images = stack(), torch.rand(5, 1, 4, 4)
    with recorded_outputs(model, ["3", "0"]) as recorded:
        logits = model(images)
    assert list(recorded) == ["0", "3"]
    assert torch.equal(recorded["3"], logits)
    assert torch.equal(recorded["0"], model[0](images).flatten(1))  # not rewritten by the ReLU
    recorded["0"].sum().backward()
    assert model[0].bias.grad.tolist() == pytest.approx([20, 20])  # 5 images of 2 x 2 pixels


def test_each_pass_replaces_the_last_and_the_hooks_leave():
    model = stack()
    with recorded_outputs(model, ["0"]) as recorded:
        model(torch.rand(5, 1, 4, 4))
        model(torch.rand(2, 1, 4, 4))
        assert len(recorded["0"]) == 2
    model(torch.rand(3, 1, 4, 4))
    assert len(recorded["0"]) == 2


def test_a_layer_that_a_pass_leaves_out_has_no_record_of_an_earlier_pass():
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.always, self.sometimes = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.always(self.sometimes(images) if len(images) > 1 else images)

    model = Sometimes()
    with recorded_outputs(model, ["sometimes", "always"]) as recorded:
        model(torch.rand(2, 2))
        assert list(recorded) == ["sometimes", "always"]
        model(torch.rand(1, 2))
        assert list(recorded) == ["always"]


def test_hooks_leave_after_an_error():
    model = stack()
    with pytest.raises(RuntimeError), recorded_outputs(model, ["0"]):
        model(torch.rand(2, 5, 4, 4))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_layer_that_does_not_run_has_no_record():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.used(images)

    model = Unused()
    with recorded_outputs(model, ["used", "unused"]) as recorded:
        model(torch.rand(1, 2))
    assert list(recorded) == ["used"]


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match=r"unknown layers \['conv'\]; the model has \['0', '1', '2', '3'\]"):
        recorded_outputs(stack(), ["conv"]).__enter__()


def test_a_layer_with_several_outputs_is_refused():
    class Two(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, images

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def forward(self, images: Tensor) -> Tensor:
            return self.two(images)[0]

    model = Outer()
    with (
        pytest.raises(ValueError, match="layer 'two' must output one tensor, got tuple"),
        recorded_outputs(model, ["two"]),
    ):
        model(torch.rand(1, 2))
