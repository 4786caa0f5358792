"""A layer to which the network itself adds noise is measured at that noise, as well as on its mean path."""

import io
import math
import re

import polars as pl
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import infoplane
from infoplane.attacks import LinfPGD
from infoplane.config import FlowConfig, MeasurementConfig
from infoplane.estimators import own_noise_information
from infoplane.findings.curves import rows_to_judge
from infoplane.measuring.evaluate import layer_activations, own_noises
from infoplane.measuring.probes import OwnNoise, record_activations
from infoplane.models.bottleneck_mlp import BottleneckMLP
from infoplane.networks.gaussian_layer import GaussianLayer, drawing
from infoplane.randomness import seeded_generator
from infoplane.report.bits import in_bits, own_noise_layers, plane_points
from infoplane.report.labels import TRUSTED
from infoplane.report.latex_tables import About, information_latex
from infoplane.report.page_tables import information_html
from infoplane.report.table import summary_table
from infoplane.report.trusted_figure import trusted_figure
from infoplane.studies import Plane
from infoplane.studies.flow.information_flow import information_flow

SETTINGS = MeasurementConfig(permutations=3, noise_sweep=())


def examples(number: int = 40) -> tuple[Tensor, Tensor]:
    images = torch.rand(number, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(number) % 4


def network(noise: str = "diagonal") -> BottleneckMLP:
    torch.manual_seed(0)
    return BottleneckMLP(hidden=[20], code=6, noise=noise, image_size=8, classes=4).eval()


def own_rows(plane: Plane, **columns) -> pl.DataFrame:
    return plane.measurements.filter(noise_mode="own", **columns)


@pytest.fixture(scope="module")
def measured() -> Plane:
    """Thorough at epoch 0, ordinary at epoch 1, on originals and attacked examples."""
    plane = Plane(*examples(), attack=LinfPGD(epsilon=0.1, steps=2), settings=SETTINGS)
    for epoch, thorough in ((0, True), (1, False)):
        plane.measure(network(), epoch=epoch, thorough=thorough)
    return plane


def test_every_epoch_has_the_numbers_of_the_code_alone_original_and_attacked(measured):
    rows = own_rows(measured)
    assert set(rows["layer"]) == {"code"}
    expected = {
        ("kde-kl", "I(X;T)", "upper"),
        ("kde-kl", "I(T;Y)", "estimate"),
        ("noisy", "I(X;T)", "estimate"),
        ("noisy", "I(T;Y)", "estimate"),
        ("rate", "I(X;T)", "upper"),
    }
    lower = {
        ("kde-bd", "I(X;T)", "lower"),
        ("kde-bd", "I(T;Y)", "estimate"),
        ("kde-mixed", "I(T;Y)", "lower"),
        ("kde-mixed", "I(T;Y)", "upper"),
    }
    for examples_name in ("original", "adversarial"):
        for epoch, numbers in ((0, expected | lower), (1, expected)):
            own = rows.filter(epoch=epoch, examples=examples_name)
            assert set(own.select("estimator", "quantity", "kind").rows()) == numbers
            assert len(own) == len(numbers)


def test_the_numbers_are_those_of_the_estimator_for_mean_and_variance(measured):
    model, (images, labels) = network(), examples()
    with torch.no_grad():
        means, rho = model.encode(model.hidden(model.normalise(images).flatten(start_dim=1))).chunk(2, dim=1)
    variances = nn.functional.softplus(rho - 5).square()
    direct = own_noise_information(
        means, variances, labels, permutations=3, generator=seeded_generator(0, "permutations")
    )
    rows = own_rows(measured, epoch=0, examples="original")
    for name in ("input", "label", "rate", "input_upper", "input_lower", "label_upper", "label_lower"):
        estimate = getattr(direct, name)
        (row,) = rows.filter(estimator=estimate.estimator, quantity=estimate.quantity, kind=estimate.kind).to_dicts()
        assert row["value_nats"] == pytest.approx(estimate.value, rel=1e-5)
        assert row["standard_error"] == pytest.approx(estimate.error, rel=1e-4)
        assert row["noise_variance"] == pytest.approx(variances.double().mean().item(), rel=1e-5)
        assert row["noise_ratio"] is None
        assert len(row["group_means"]) == 20
        if estimate.quantity == "I(X;T)":
            assert row["gaussian_ceiling_nats"] == pytest.approx(direct.gaussian_ceiling, rel=1e-5)
        if name.startswith("label"):
            assert row["null_mean_nats"] == pytest.approx(estimate.null.mean, rel=1e-4)


def test_the_rate_has_no_ceiling_and_is_never_saturated(measured):
    rows = own_rows(measured, estimator="rate")
    assert rows["ceiling_nats"].to_list() == [None] * 4
    assert not rows["saturated"].any()
    assert set(rows["distribution"]) == {"population"}
    assert set(own_rows(measured, estimator="noisy", quantity="I(X;T)")["ceiling_nats"]) == {math.log(40)}


def test_other_rows_are_those_of_the_mean_path(measured):
    class WithoutNoise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()
            self.probed_layers = tuple(f"inner.{layer}" for layer in self.inner.probed_layers)

        def forward(self, images: Tensor) -> Tensor:
            self.inner.code.__class__ = _Mean
            return self.inner(images)

    plane = Plane(*examples(), attack=LinfPGD(epsilon=0.1, steps=2), settings=SETTINGS)
    plane.measure(WithoutNoise().eval(), epoch=1, thorough=False)
    assert own_rows(plane).is_empty()
    mean = measured.measurements.filter(pl.col("noise_mode").ne_missing("own"), epoch=1)
    assert plane.measurements["value_nats"].to_list() == mean["value_nats"].to_list()


class _Mean(nn.Module):
    def forward(self, mean: Tensor, variance: Tensor) -> Tensor:
        return mean


@pytest.mark.parametrize(("noise", "variance"), [("scalar", 1.0), ("unit", 1.0)])
def test_one_variance_for_all_gives_the_numbers_at_fixed_noise_of_that_variance(noise, variance):
    settings = MeasurementConfig(permutations=3, noise_sweep=(), noise_variance=variance)
    plane = Plane(*examples(), settings=settings)
    plane.measure(network(noise), epoch=0, thorough=True)
    fixed, own = (
        plane.measurements.filter(pl.col("class_index").is_null(), noise_mode=mode, layer="code", quantity="I(X;T)")
        for mode in ("fixed", "own")
    )
    for estimator in ("kde-kl", "kde-bd", "noisy"):
        (one,), (other,) = (rows.filter(estimator=estimator)["value_nats"].to_list() for rows in (fixed, own))
        assert one == pytest.approx(other, abs=1e-5)


class Stochastic(nn.Module):
    """The noise of images as feature maps, in a block of its own and with what follows it."""

    probed_layers = ("encode", "block", "same", "changed", "linear")

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Conv2d(1, 2, 3)
        self.block = Noise()
        self.same, self.changed, self.linear = nn.Identity(), nn.ReLU(inplace=True), nn.Linear(72, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.changed(self.same(self.block(self.encode(images)))).flatten(start_dim=1))


class Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.noise = GaussianLayer()

    def forward(self, mean: Tensor) -> Tensor:
        return self.noise(mean, variance=torch.tensor([0.5, 2.0]).view(1, 2, 1, 1))


def test_noise_is_found_where_the_output_is_that_of_a_gaussian_layer_and_maps_are_flattened():
    torch.manual_seed(0)
    model, (images, _) = Stochastic().eval(), examples(300)  # two batches
    found = own_noises(model, images, model.probed_layers)
    assert set(found) == {"block", "same"}  # not the layer before the noise, nor one that changes its output in place
    for noise in found.values():
        assert torch.equal(noise.variances, torch.tensor([0.5, 2.0]).repeat_interleave(36).expand(300, 72))
        (expected,) = (outputs for _, outputs in layer_activations(model, images, ["block"]))
        assert torch.equal(noise.means, expected)


def test_means_are_those_of_the_layer_also_where_it_draws():
    model, (images, _) = network(), examples()
    still = own_noises(model, images, ["code"])["code"]
    with drawing(model):
        drawn = own_noises(model, images, ["code"])["code"]
        (outputs,) = (found for _, found in layer_activations(model, images, ["code"]))
    assert torch.equal(still.means, drawn.means)
    assert not torch.equal(outputs, drawn.means)


def test_a_layer_that_runs_twice_has_both_of_its_noises():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code = GaussianLayer()

        def forward(self, images: Tensor) -> Tensor:
            flat = images.flatten(start_dim=1)
            return self.code(2 * self.code(flat, torch.tensor(1.0)), torch.tensor(3.0))

    found = own_noises(Twice().eval(), examples()[0], ["code"])
    assert {name: float(noise.variances.unique()) for name, noise in found.items()} == {"code": 1.0, "code#2": 3.0}


def test_networks_without_noise_of_their_own_have_none():
    model, images = infoplane.models.LeNet5(), torch.rand(3, 1, 28, 28)
    assert own_noises(model, images, ["fc1"]) == {}
    noises: dict[str, OwnNoise] = {}
    with torch.no_grad(), record_activations(model, ["fc1"], noises=noises):
        model(images)
    assert noises == {}


def test_a_variance_of_zero_is_named_and_left_out():
    model = network()
    nn.init.zeros_(model.encode.weight)
    nn.init.constant_(model.encode.bias, -500.0)  # softplus of it is 0
    plane = Plane(*examples(), settings=SETTINGS)
    with pytest.warns(UserWarning, match="layer code adds noise of variance 0 to 0"):
        plane.measure(model, epoch=0, thorough=False)
    assert own_rows(plane).is_empty()
    assert "code" in set(plane.measurements["layer"])


def test_a_variance_that_is_not_finite_is_refused_with_the_name_of_the_layer():
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code = GaussianLayer()

        def forward(self, images: Tensor) -> Tensor:
            return self.code(images.flatten(start_dim=1), torch.tensor(math.inf))

    with pytest.raises(ValueError, match="noise variance of layer 'code' must be finite"):
        own_noises(Broken().eval(), examples()[0], ["code"])


# reports


@pytest.fixture(scope="module")
def shown(measured) -> pl.DataFrame:
    return measured.measurements.filter(epoch=0)


def printed(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(renderable)
    return console.file.getvalue()


def test_planes_show_the_code_at_its_own_noise_and_other_layers_at_relative_noise(shown):
    rows = in_bits(shown)
    points = plane_points(rows).filter(estimator=TRUSTED, examples="original")
    for layer, estimator in (("hidden.0", "noisy@relative"), ("code", "noisy@own"), ("linear", "noisy@relative")):
        (expected,) = rows.filter(layer=layer, estimator=estimator, quantity="I(X;T)", examples="original")[
            "value_bits"
        ]
        assert points.filter(layer=layer)["input_value_bits"].to_list() == [expected]
    assert own_noise_layers(rows) == ["code"]


def test_the_terminal_table_shows_the_own_noise_and_the_rate_of_the_code_alone(shown, measured):
    text = printed(summary_table(shown, measured.performance.filter(epoch=0)))
    rows = in_bits(shown).filter(layer="code", examples="original", quantity="I(X;T)")
    words = " ".join(text.split())
    assert "I(X;T) of code is at the network's own noise." in words
    ((value, saturated),) = rows.filter(estimator="noisy@own").select("value_bits", "saturated").rows()
    assert re.search(rf"\ncode +orig +{value:.2f}{' sat' if saturated else ''}", text)
    (rate,) = rows.filter(estimator="rate@own")["value_bits"]
    assert f"{rate:.2f}" in text.partition("Other estimators")[2]
    assert "hidden.0" not in text.partition("Other estimators")[2].partition("decoded:")[0]
    assert max(map(len, text.splitlines())) <= 80


def test_the_first_table_of_the_page_has_one_monte_carlo_value_of_each_layer(shown):
    first, _, rest = information_html(shown).partition("<details")
    assert "Monte Carlo estimate, at the network&#x27;s own noise" in first
    assert "Rate (variational upper bound)" in first
    assert "other estimates at the network&#x27;s own noise" in rest
    rows = in_bits(shown).filter(layer="code", examples="original", quantity="I(X;T)")
    (relative,) = rows.filter(estimator="noisy@relative")["value_bits"]
    cells = first.partition(">code<")[2].partition("</tr>")[0]
    assert f"{rows.filter(estimator='noisy@own')['value_bits'][0]:.2f}" in cells
    assert f"{relative:.2f}" not in cells


def test_figures_and_the_latex_table_name_the_own_noise(shown):
    figure = trusted_figure(in_bits(shown), "title")
    planes, curves = figure.axes[:3], figure.axes[3:6]  # of the three layers
    assert ["own noise" in axes.get_xlabel() for axes in planes] == [False, True, False]
    texts = [[text.get_text() for text in axes.texts] for axes in curves]
    assert ["at the network's own noise" in own for own in texts] == [False, True, False]
    about = About(name="run", hash="0000000", version="0.1")
    assert "own noise" in information_latex(shown, about)


def test_bounds_that_are_missing_at_ordinary_epochs_leave_the_figure_whole(measured):
    figure = trusted_figure(in_bits(measured.measurements), "title")
    assert len(figure.axes) >= 9


def test_no_claim_rests_on_the_own_noise(measured):
    judged = rows_to_judge(measured.measurements)
    assert not judged["noise_mode"].eq_missing("own").any()
    assert {"fixed", "relative"} < set(judged["noise_mode"])


def test_a_study_of_a_network_with_noise_records_it(small_flow):
    settings = small_flow.model_dump() | {"methods": ("normal",)}
    settings["model"] |= {"name": "mlp-vib", "settings": {"hidden": "12", "code": 3}}
    settings["training"] |= {"epochs": 1}
    settings["measurement"] |= {"examples": 30, "permutations": 2, "thorough_epochs": 0}
    records = information_flow(FlowConfig.model_validate(settings))
    rows = records.measurements.filter(noise_mode="own", quantity="I(X;T)", estimator="rate")
    assert set(rows.select("epoch", "examples", "layer").rows()) >= {
        (epoch, examples, "code") for epoch in (0, 1) for examples in ("original", "adversarial")
    }
    assert set(rows["layer"]) == {"code"}
