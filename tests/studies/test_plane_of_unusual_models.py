"""Models, labels and attacks of all kinds are measured as they should be, or refused in one line."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from infoplane.attacks import LinfPGD
from infoplane.config import MeasurementConfig
from infoplane.models import construct
from infoplane.studies import Plane

SETTINGS = MeasurementConfig(permutations=2)
IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 4


class Network(nn.Module):
    """A small network whose logits leave as `returned` says."""

    def __init__(self, returned=lambda logits: logits) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(64, 8), nn.Linear(8, 4)
        self.returned = returned

    def forward(self, images: torch.Tensor) -> object:
        return self.returned(self.head(self.hidden(images.flatten(1)).relu()))


class WithNorm(nn.Sequential):
    """A network with batch statistics and dropout."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 4)
        )


def measured(model, *, images=IMAGES, labels=LABELS, **more) -> Plane:
    plane = Plane(images, labels, settings=SETTINGS, **more)
    plane.measure(model, epoch=0, thorough=False)
    return plane


def assert_refused(message, model, **more) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        measured(model, **more)
    assert "\n" not in str(caught.value)


# What a model returns


@dataclass
class ModelOutput:
    loss: None
    logits: torch.Tensor


Named = namedtuple("Named", ["features", "logits"])


@pytest.mark.parametrize(
    "returned",
    [
        lambda logits: {"loss": None, "logits": logits},
        lambda logits: ModelOutput(None, logits),
        lambda logits: Named(logits * 2, logits),
    ],
    ids=["dict", "ModelOutput", "named tuple"],
)
def test_logits_in_a_larger_output_are_taken(returned):
    attack = LinfPGD(epsilon=0.1, steps=2)
    found, plain = (
        measured(construct(lambda returned=returned: Network(*returned), seed=0), attack=attack)
        for returned in ([returned], [])
    )
    assert found.measurements.equals(plain.measurements)
    assert found.performance.equals(plain.performance)


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda logits: (logits, logits), "got tuple of 2"),
        (lambda logits: {"scores": logits}, "got dict with scores"),
        (lambda logits: logits.unbind(1)[0], r"got shape \(\d+,\)"),
        (lambda logits: logits[..., None, None], r"got shape \(\d+, 4, 1, 1\)"),
        (lambda logits: logits[:, :1], r"got shape \(\d+, 1\)"),
        (lambda logits: {"logits": logits.tolist()}, "got dict with logits"),
        (lambda logits: None, "got NoneType"),
    ],
)
def test_an_output_without_logits_is_refused(returned, got):
    assert_refused(f"the model must return logits of shape .*{got}", Network(returned))


def test_logits_that_are_nan_are_refused():
    assert_refused("the model's logits are not finite", Network(lambda logits: logits * torch.nan), layers=["hidden"])


def test_logits_of_another_number_of_images_are_refused():
    assert_refused("logits of 1 rows for 2 images", Network(lambda logits: logits[:1]))


# What a model takes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_float_type_is_refused_with_the_way_out(dtype):
    model = Network().to(dtype)
    shown = str(dtype).removeprefix("torch.")
    assert_refused(rf"cannot take images of shape .*float32 on cpu.*its weights are {shown} on cpu: convert", model)
    measured(model.float())


def test_a_model_for_other_images_is_refused():
    assert_refused(r"the model cannot take images of shape \(2, 1, 8, 8\)", nn.Sequential(nn.Conv2d(3, 4, 3)))


class Normalises(nn.Module):
    """A network that normalises its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.sub_(0.5).div_(0.25).flatten(1))


def test_a_model_that_writes_over_its_input_leaves_the_images_as_they_are():
    images, model = IMAGES.clone(), construct(Normalises, seed=0)
    plane = Plane(images, LABELS, settings=SETTINGS, attack=LinfPGD(epsilon=0.1, steps=1))
    for epoch in (0, 1):
        plane.measure(model, epoch=epoch, thorough=False)
    truth = F.cross_entropy(model(IMAGES.clone()), LABELS).item()
    losses = plane.performance["loss"].to_list()
    assert losses[0] == losses[2] == pytest.approx(truth, rel=1e-6)
    assert losses[1] == losses[3] > losses[0]
    assert torch.equal(images, IMAGES)


# Layers


class WithHeads(Network):
    """A network with a head that runs in training alone, and one that never does."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary, self.forgotten = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(images.flatten(1)).relu()
        logits = self.head(hidden)
        return logits + self.auxiliary(hidden) if self.training else logits


def test_default_layers_that_do_not_run_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="layers auxiliary, forgotten do not run and are left out"):
        plane = measured(WithHeads().train())
    assert plane.measurements["layer"].unique(maintain_order=True).to_list() == ["hidden", "head"]


def test_a_layer_that_was_named_and_does_not_run_is_refused():
    assert_refused(r"layers \['forgotten'\] recorded nothing", WithHeads(), layers=["hidden", "forgotten"])


def test_a_model_of_which_no_default_layer_runs_is_refused():
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.forgotten = nn.Linear(2, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, :4]

    with pytest.warns(UserWarning, match="left out"):
        assert_refused("none of the layers forgotten runs", Bare())


class Refines(nn.Module):
    """Runs a layer once more for images whose first pixel is bright."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.block, self.head = nn.Linear(64, 64), nn.Linear(64, 4)
        self.threshold = threshold

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.block(images.flatten(1))
        if images.mean() > self.threshold:
            hidden = self.block(hidden)
        return self.head(hidden)


def test_a_layer_that_runs_more_often_for_some_batches_is_refused():
    images = torch.cat([torch.full((250, 1, 8, 8), 0.1), torch.full((50, 1, 8, 8), 0.9)])
    assert_refused(
        "layer 'block' ran 2 times for images 250 to 299 but once",
        Refines(0.5),
        images=images,
        labels=torch.arange(300) % 4,
    )


def test_a_layer_that_runs_more_often_for_one_image_than_for_a_batch_is_refused():
    images = torch.full((40, 1, 8, 8), 0.9)
    images[0] = 0.1
    assert_refused("layer 'block' ran 2 times for whole batches but once", Refines(0.5), images=images)


def test_a_layer_that_runs_more_often_for_attacked_images_is_refused():
    def brighter(model, images, labels, *, generator, target=None):
        return images * 0 + 0.9

    images = torch.full((40, 1, 8, 8), 0.1)
    assert_refused(
        "layer 'block' ran 2 times for the same images attacked", Refines(0.5), images=images, attack=brighter
    )


# Labels


@pytest.mark.parametrize(
    "dtype",
    [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64],
)
def test_labels_may_be_integers_of_any_type(dtype):
    attack = LinfPGD(epsilon=0.1, steps=1)
    model = construct(Network, seed=0)
    found = measured(model, labels=LABELS.to(dtype), attack=attack)
    expected = measured(model, attack=attack)
    assert found.measurements.equals(expected.measurements)
    assert found.performance.equals(expected.performance)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 1, "labels must be indices of the model's 4 logits, 0 to 3; found 1 to 4"),
        (LABELS - 1, "found -1 to 2"),
        (torch.where(LABELS == 0, -100, LABELS), "found -100 to 3"),
        (LABELS.float(), "labels must be integers"),
        (LABELS.tolist(), "labels must be one torch tensor, got list"),
    ],
)
@pytest.mark.parametrize("attack", [None, LinfPGD(epsilon=0.1, steps=1)])
def test_labels_that_are_no_places_of_logits_are_refused(labels, message, attack):
    assert_refused(message, Network(), labels=labels, attack=attack)


def test_a_data_loader_is_refused_with_the_way_out():
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8)
    assert_refused(r"images must be one torch tensor, got DataLoader; .*torch\.cat", Network(), images=loader)


# Attacks


def test_a_rude_attack_changes_neither_the_numbers_nor_the_model():
    def polite(model, images, labels, *, generator, target=None):
        return (images + 0.1).clamp(0, 1)

    def rude(model, images, labels, *, generator, target=None):
        model.train()
        return images.add_(0.1).clamp_(0, 1)

    planes = []
    for attack in (polite, rude):
        model = construct(WithNorm, seed=0).eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        planes.append(measured(model, attack=attack))
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert not any(module.training for module in model.modules())
    assert planes[0].measurements.equals(planes[1].measurements)
    assert planes[0].performance.equals(planes[1].performance)


def test_a_result_that_breaks_the_contract_is_refused():
    def outside(model, images, labels, *, generator, target=None):
        return images + 3

    assert_refused("the attack outside must return images in", Network(), attack=outside)
