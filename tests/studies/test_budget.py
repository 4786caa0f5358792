"""A budget thins the measured epochs, says so, and the time of a measurement is estimated from its first layer."""

import pytest
import torch

from infoplane.acceleration import PLAIN
from infoplane.attacks import LinfPGD
from infoplane.config import FlowConfig, MeasurementConfig, TrainingConfig
from infoplane.measuring import budget as budgets
from infoplane.measuring import cost
from infoplane.measuring.cost import MeasuringSeconds, in_words
from infoplane.measuring.speed import Speed
from infoplane.models import LeNet5, construct
from infoplane.models.bottleneck_mlp import BottleneckMLP
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY, Plane
from infoplane.studies.flow import costs
from infoplane.studies.flow.costs import Costs, estimate_line, probed_costs, within_budget
from infoplane.studies.flow.information_flow import information_flow
from infoplane.studies.parts import load_images


class Clock:
    """A clock that stands still until time passes."""

    def __init__(self) -> None:
        self.now = 1.0

    def perf_counter(self) -> float:
        return self.now


def examples(number: int = 40):
    return torch.rand(number, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(number) % 10


def plane(**more) -> Plane:
    settings = MeasurementConfig(permutations=2, layers=(), **more.pop("settings", {}))
    return Plane(*examples(), layers=("fc3",), settings=settings, **more)


# in a user's own loop


@pytest.mark.parametrize("given", [{"budget": 0.25}, {"settings": {"budget": 0.25}}])
def test_measuring_takes_at_most_its_share_of_training(monkeypatch, given):
    clock, model = Clock(), construct(LeNet5, seed=0)
    monkeypatch.setattr(budgets, "time", clock)
    measured = plane(**given)
    decide = measured._budget.measured

    def two_seconds(*, thorough: bool) -> None:
        clock.now += 2
        decide(thorough=thorough)

    monkeypatch.setattr(measured._budget, "measured", two_seconds)
    measured.measure(model, epoch=0, thorough=False)
    clock.now += 3
    with pytest.warns(UserWarning, match="epoch 1 is not measured: measuring has taken 2 s beside 3 s of training"):
        measured.measure(model, epoch=1, thorough=False)
    for epoch in range(2, 31):
        clock.now += 3
        measured.measure(model, epoch=epoch, thorough=False, final=epoch == 30)
    found = sorted({*measured.measurements["epoch"]})
    # 2 s at epoch 0, and at most a quarter of 3 s an epoch: after 6 epochs 18 s allow 4.5, after 8 epochs 24 s allow 6
    assert found == [0, 6, 8, 11, 14, 16, 19, 22, 24, 27, 30]
    assert measured.left_out == [epoch for epoch in range(31) if epoch not in found]


def test_decoders_are_left_out_before_a_whole_epoch():
    clock = Clock()
    budget = budgets.Budget(0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "time", clock)
        decided = []
        for epoch in range(4):
            given = {"thorough": True, "needed": False, "estimate": lambda: MeasuringSeconds(1.0, 10.0)}
            if epoch == 1:
                with pytest.warns(UserWarning, match="without decoders and the Monte Carlo estimate"):
                    decided.append(budget.decide(epoch, **given))
            else:
                decided.append(budget.decide(epoch, **given))
            clock.now += 10 if decided[-1] else 1
            if decided[-1] is not None:
                budget.measured(thorough=decided[-1])
            clock.now += 30
    assert decided == [True, False, True, True]


def test_without_a_budget_every_epoch_is_measured():
    measured, model = plane(), construct(LeNet5, seed=0)
    for epoch in range(3):
        measured.measure(model, epoch=epoch, thorough=False)
    assert measured.left_out == []
    assert sorted({*measured.measurements["epoch"]}) == [0, 1, 2]


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan")])
def test_a_budget_must_be_positive(share):
    with pytest.raises(ValueError, match="budget must be positive and finite"):
        plane(budget=share)


# the estimate


def test_the_time_of_all_layers_follows_from_four_measurements(monkeypatch):
    """Planted times n (a + b D) + n^2 (c + d D) are found again, at any number of examples and width.

    What thorough epochs add, four times as much, takes at most 2^27 activations of a layer.
    """
    clock = Clock()

    def takes(n: int, width: int) -> float:
        return n * (1e-3 + 2e-6 * width) + n**2 * (3e-7 + 4e-10 * width)

    def measure(activations, labels, settings, thorough):
        clock.now += takes(*activations.shape) * (5 if thorough else 1)

    monkeypatch.setattr(cost, "time", clock)
    monkeypatch.setattr(cost, "_measure", measure)
    probed = cost._number_probed(60_000, 2000)
    first, labels = torch.zeros(probed, 2000), torch.zeros(probed, dtype=torch.long)
    for samples, held in ((5000, (5000, 5000, 5000)), (60_000, (8192, 60_000, 60_000))):
        widths = (2**14, 120, 16)
        ordinary = sum(takes(samples, width) for width in widths)
        added = sum(4 * takes(number, width) for number, width in zip(held, widths, strict=True))
        found = cost._of_layers(first, labels, samples, widths, MeasurementConfig())
        assert found == pytest.approx((ordinary, ordinary + added), rel=1e-6)


@pytest.mark.parametrize(
    ("samples", "features", "number"),
    [(10_000, 100, 900), (60_000, 16_384, 3000), (60_000, 2**16, 1024), (90, 10, 900)],
)
def test_more_examples_are_timed_of_very_many_as_far_as_memory_allows(samples, features, number):
    assert cost._number_probed(samples, features) == number


@pytest.mark.parametrize("noise", ["diagonal", "scalar"])
def test_the_time_at_the_networks_own_noise_is_counted(monkeypatch, noise):
    """Planted times n a + n^2 b are found again, once per version of the examples; lower bounds at thorough epochs."""
    clock = Clock()

    def takes(n: int, *, lower: bool) -> float:
        return n * 1e-3 + n**2 * (4e-6 if lower else 1e-6)

    def measure_own(means, variances, labels, *, lower, **_rest):
        assert means.shape == variances.shape == (len(labels), 6)
        clock.now += takes(len(labels), lower=lower)

    monkeypatch.setattr(cost, "time", clock)
    monkeypatch.setattr(cost, "_measure", lambda *_: None)
    monkeypatch.setattr(cost, "own_noise_information", measure_own)
    images = torch.rand(1500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network = construct(lambda: BottleneckMLP(hidden=[20], code=6, noise=noise, image_size=8, classes=4), seed=0)
    measured = Plane(images, torch.arange(1500) % 4, attack=LinfPGD(epsilon=0.1, steps=2))
    found = measured.estimate(network)
    assert found.ordinary == pytest.approx(2 * takes(1500, lower=False))
    assert found.thorough == pytest.approx(2 * takes(1500, lower=True))


def test_times_that_grow_slower_than_they_can_give_no_negative_part():
    assert cost._linear_and_square([300, 900], [2.0, 3.0]) == (3.0 / 900, 0.0)
    assert cost._linear_and_square([300, 900], [1.0, 27.0]) == (0.0, 27.0 / 900**2)


def test_an_estimate_leaves_the_model_and_the_records_alone():
    measured, model = plane(attack=LinfPGD(epsilon=0.1, steps=2)), construct(LeNet5, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seconds = measured.estimate(model)
    assert 0 < seconds.ordinary < 100
    assert measured.measurements.is_empty()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert measured.estimate(model) is seconds  # not timed again


def test_a_first_measurement_of_minutes_is_announced(monkeypatch):
    images, labels = examples(1200)
    measured = Plane(images, labels, layers=("fc3",), settings=MeasurementConfig(permutations=0))
    monkeypatch.setattr(cost, "_LONG_WORK", 0.0)
    monkeypatch.setattr(
        "infoplane.measuring.plane.estimated_seconds", lambda *_: MeasuringSeconds(ordinary=187.0, thorough=400.0)
    )
    model = construct(LeNet5, seed=0)
    with pytest.warns(UserWarning, match=r"1,200 examples and 1 layers takes about 3 min, .* about 7 min; .*budget="):
        measured.measure(model, epoch=0, thorough=False)
    measured.measure(model, epoch=1, thorough=False)  # says it once


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.0, "59 s"), (187.0, "3 min"), (5400.0, "90 min"), (12_000.0, "3.3 h")]
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words


# in study one


def planted(training: float = 720.0, ordinary: float = 7.0, thorough: float = 24.0, final: float = 80.0) -> Costs:
    return Costs(training=training, measuring=MeasuringSeconds(ordinary, thorough), final=final)


def long_study(share: float = 0.25, **more) -> FlowConfig:
    return FlowConfig(training=TrainingConfig(epochs=200), measurement=MeasurementConfig(budget=share, **more))


def test_the_study_measures_as_often_as_its_budget_allows():
    config, found = long_study(), planted()
    assert found.measuring_all(config) == pytest.approx(201 * 7 + 12 * 17 + 56)
    thinned, line = within_budget(config, found)
    assert thinned.measurement.thorough_epochs == 5  # half of 180 s for decoders and Monte Carlo: 5 x 17 s
    assert found.measuring_all(thinned) <= 0.25 * 720
    more_often = thinned.model_copy(update={"measure_every": thinned.measure_every - 1})
    assert found.measuring_all(more_often) > 0.25 * 720
    assert {0, 200} <= set(thinned.measured_epochs())
    assert f"of 201 epochs (--measure-every {thinned.measure_every})" in line
    assert f"{len(thinned.thorough_epochs())} of them with decoders" in line


def test_a_budget_below_the_first_and_last_epoch_is_said():
    thinned, line = within_budget(long_study(0.01), planted())
    assert thinned.measured_epochs() == [0, 200]
    assert thinned.thorough_epochs() == [0, 200]
    assert "the budget of 1% is less than the first and the last epoch take" in line


def test_a_wide_budget_changes_nothing():
    thinned, _ = within_budget(long_study(3.0), planted())
    assert thinned == long_study(3.0)


def test_the_estimate_names_all_trainings():
    line = estimate_line(long_study(), planted())
    assert line == (
        "estimate: measuring 201 epochs of 2 trainings takes about 56 min (7 s each, 24 s with decoders and the Monte "
        "Carlo estimate), training about 24 min, one after the other"
    )


def test_a_probe_of_the_study_gives_seconds(small_flow):
    config = small_flow.model_copy(update={"measurement": MeasurementConfig(examples=60, layers=("fc3",))})
    found = probed_costs(config, load_images(config, "cpu"), PLAIN)
    assert 0 < found.measuring.ordinary < 100
    assert 0 < found.training < 100
    assert found.final > found.measuring.thorough


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, work: float) -> None: ...
    def advance(self, work: float) -> None: ...
    def doing(self, activity: str) -> None: ...

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_a_study_keeps_the_epochs_that_its_budget_gave(small_flow, monkeypatch, tmp_path):
    settings = small_flow.model_dump() | {"methods": ("normal",)}
    settings["training"] |= {"epochs": 4}
    settings["measurement"] |= {"examples": 40, "layers": ("fc3",), "budget": 0.5, "thorough_epochs": 0}
    config = FlowConfig.model_validate(settings)
    run = RunFolder(tmp_path / "run")
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    monkeypatch.setattr(costs, "probed_costs", lambda *_: planted(training=60.0, ordinary=10.0))
    lines = Lines()
    records = information_flow(config, run=run, progress=lines)
    assert sorted({*records.measurements["epoch"]}) == [0, 2, 4]
    assert run.read_config()["settings"]["measure_every"] == 2
    assert any(line.startswith("budget: measuring 3 of 5 epochs (--measure-every 2)") for line in lines.lines)
    monkeypatch.setattr(costs, "probed_costs", lambda *_: planted(training=60.0, ordinary=1.0))
    again = information_flow(config, run=run, progress=lines)  # another timing changes no epoch of a run
    assert sorted({*again.measurements["epoch"]}) == [0, 2, 4]


@pytest.mark.parametrize(("seconds", "said"), [(1.0, 1), (0.02, 1), (1e-7, 0)])  # 0.02: trained in 30 s
def test_a_study_of_few_examples_says_its_cost_if_its_network_is_large(small_flow, monkeypatch, seconds, said):
    images = load_images(small_flow, "cpu")
    monkeypatch.setattr(costs, "speed", lambda _model, _pixels: Speed(forward=seconds / 3, gradient=seconds))
    monkeypatch.setattr(costs, "probed_costs", lambda *_: planted(training=60.0, ordinary=10.0))
    lines = Lines()
    assert costs.with_chosen_epochs(small_flow, images, PLAIN, None, lines) == small_flow
    assert sum(line.startswith("estimate: ") for line in lines.lines) == said


@pytest.mark.parametrize(("seconds", "number"), [(8 * 0.01, 16), (8 * 1.0, 8), (8 * 1e-5, 60)])
def test_an_attack_on_a_large_network_is_timed_on_few_images(monkeypatch, seconds, number):
    # a forward pass of 10 ms an image leaves 5 s for 16 images at 30 passes each
    monkeypatch.setattr(cost, "_seconds", lambda _device, _work, calls=2: seconds)
    assert cost._affordable(LeNet5(), torch.zeros(60, 1, 28, 28)) == number
