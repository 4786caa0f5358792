from dataclasses import replace

import pytest
import torch

from infoplane.calibration import estimator_cases as calibrated
from infoplane.calibration.estimator_cases import CHANNEL_FITS, LABEL_FITS, PAIR_FITS
from infoplane.estimators.binning import binning_information
from infoplane.estimators.bins import EqualBins, LayerQuantiles, UnitQuantiles
from infoplane.estimators.cca import cca_information
from infoplane.estimators.copula import copula_information
from infoplane.estimators.decoding import decoded_information
from infoplane.estimators.kde import kde_information
from infoplane.estimators.neighbours import ksg_information, mixed_ksg_information
from infoplane.estimators.neural import NeuralEstimate, NeuralInformation
from infoplane.estimators.noisy import noisy_information
from infoplane.estimators.ross import ross_information
from infoplane.estimators.tasks import CHANNEL_TASKS, LABEL_TASKS, PAIR_TASKS

SAMPLES = 300


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def readings(fits, name, task):
    return {(one.estimator, one.quantity, one.kind): one for one in fits[name].readings(task, seeded())}


def within(value, error):
    return pytest.approx((value - 1.959964 * error, value + 1.959964 * error))


@pytest.fixture
def labels():
    return LABEL_TASKS["gaussians-10-a2"].draw(SAMPLES, seeded(0))


@pytest.fixture
def pair():
    return PAIR_TASKS["normal-0.9"].draw(SAMPLES, seeded(0))


@pytest.mark.parametrize("fits", [CHANNEL_FITS, LABEL_FITS], ids=["channel", "label"])
def test_kde_states_bounds_of_the_input_and_estimates_and_bounds_of_the_label(fits, labels):
    task = CHANNEL_TASKS["noisy-gaussians-10-a2"].draw(SAMPLES, seeded(0)) if fits is CHANNEL_FITS else labels
    noise_variance = task.noise_variance if fits is CHANNEL_FITS else 0.1
    assert noise_variance == (1.0 if fits is CHANNEL_FITS else 0.1)
    expected = kde_information(task.activations, task.labels, noise_variance=noise_variance)
    found = readings(fits, "kde", task)
    names = {
        ("KDE (BD)", "I(X;T)", "lower"): "input_lower",
        ("KDE (KL)", "I(X;T)", "upper"): "input_upper",
        ("KDE (BD)", "I(T;Y)", "estimate"): "label_lower",
        ("KDE (KL)", "I(T;Y)", "estimate"): "label_upper",
        ("KDE mixed", "I(T;Y)", "lower"): "label_lower_bound",
        ("KDE mixed", "I(T;Y)", "upper"): "label_upper_bound",
    }
    assert found.keys() == names.keys()
    for key, name in names.items():
        assert found[key].value == pytest.approx(getattr(expected, name).value)
        assert (found[key].low, found[key].high) == within(found[key].value, getattr(expected, name).error)


@pytest.mark.parametrize("fits", [CHANNEL_FITS, LABEL_FITS], ids=["channel", "label"])
def test_noisy_states_estimates_of_both_informations(fits, labels):
    task = CHANNEL_TASKS["noisy-gaussians-10-a2"].draw(SAMPLES, seeded(0)) if fits is CHANNEL_FITS else labels
    expected = noisy_information(
        task.activations,
        task.labels,
        noise_variance=1.0 if fits is CHANNEL_FITS else 0.1,
        permutations=20,
        generator=seeded(),
    )
    found = readings(fits, "noisy", task)
    about_input, about_label = (found["noisy (SP-MC)", name, "estimate"] for name in ("I(X;T)", "I(T;Y)"))
    assert len(found) == 2
    assert (about_input.value, about_label.value) == (expected.input.value, expected.label.value)
    for reading, stated in ((about_input, expected.input), (about_label, expected.label)):
        assert (reading.low, reading.high) == (stated.low, stated.high)


@pytest.mark.parametrize("quantity", ["input", "label"])
def test_noisy_is_flagged_where_it_calls_itself_undersampled_or_reaches_its_ceiling(quantity, labels, monkeypatch):
    honest = noisy_information(
        labels.activations * 0, labels.labels, noise_variance=0.1, permutations=2, generator=seeded()
    )
    assert (honest.input.undersampled, honest.label.undersampled) == (False, False)
    at = {"input": "I(X;T)", "label": "I(T;Y)"}
    for changes, expected in (
        ({"value": 5.0}, False),
        ({"value": 5.0, "undersampled": True}, True),
        ({"value": 9.6}, True),
    ):
        changed = replace(getattr(honest, quantity), ceiling=10.0, **changes)
        result = replace(honest, **{quantity: changed})
        monkeypatch.setattr(calibrated, "noisy_information", lambda *given, found=result, **settings: found)
        assert readings(LABEL_FITS, "noisy", labels)["noisy (SP-MC)", at[quantity], "estimate"].flagged is expected


@pytest.mark.parametrize(
    ("fit", "name", "settings"),
    [
        ("binning", "bins of width 0.5", {"bin_width": 0.5}),
        ("binning-equal", "30 bins of [-1, 1]", {"bins": EqualBins(count=30, lower=-1, upper=1)}),
        ("binning-units", "30 quantiles of units", {"bins": UnitQuantiles(count=30)}),
        ("binning-layer", "30 quantiles of layer", {"bins": LayerQuantiles(count=30)}),
    ],
)
def test_binning_states_the_plug_in_estimate_and_the_corrected_one(fit, name, settings):
    # Seven different rows: few cells, so that the correction says something.
    rows = torch.randn(7, 3, generator=seeded(0))[torch.randint(7, (SAMPLES,), generator=seeded(1))]
    task = LABEL_TASKS["gaussians-10-a2"].draw(SAMPLES, seeded(0))._replace(activations=rows)
    expected = binning_information(task.activations, task.labels, **settings)
    found = readings(LABEL_FITS, fit, task)
    plain, corrected = (found[key, "I(T;Y)", "estimate"] for key in (name, f"{name}, corrected"))
    assert len(found) == 2
    assert (plain.value, corrected.value) == (expected.label.value, expected.label.value + expected.label_correction)
    assert expected.label_correction < -0.01
    for one in (plain, corrected):
        assert (one.low, one.high) == within(one.value, expected.label.error)
    assert (plain.null_like, corrected.null_like) == (True, None)


def test_flags_tell_memorised_labels_from_information():
    generator = seeded(0)
    names = torch.randint(10, (SAMPLES,), generator=generator)
    task = LABEL_TASKS["gaussians-10-a2"].draw(SAMPLES, generator)
    memorised = task._replace(activations=torch.randn(SAMPLES, 100, generator=generator), labels=names)
    # Half of a class lies at its place and half with another class: well below the ceiling, far above chance.
    places = torch.where(torch.rand(SAMPLES, generator=generator) < 0.5, names, names // 2)
    informed = task._replace(activations=torch.nn.functional.one_hot(places).float() * 5, labels=names)
    for fit in ("kde", "noisy", "binning"):
        for one in LABEL_FITS[fit].readings(memorised, seeded()):
            if one.quantity == "I(T;Y)" and "corrected" not in one.estimator:
                assert one.null_like, one
                assert one.flagged in (True, None)
        for one in LABEL_FITS[fit].readings(informed, seeded()):
            if one.quantity == "I(T;Y)":
                assert not one.null_like, one
                assert not one.flagged, one


@pytest.mark.parametrize(("fit", "decoder"), [("decoded", "linear"), ("decoded-mlp", "mlp")])
def test_decoders_state_a_lower_bound(fit, decoder, labels):
    expected = decoded_information(labels.activations, labels.labels, decoder=decoder, generator=seeded())
    ((key, found),) = readings(LABEL_FITS, fit, labels).items()
    assert key == (f"decoded, {decoder}", "I(T;Y)", "lower")
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert (found.flagged, found.null_like) == (expected.undersampled, None)


@pytest.mark.parametrize(
    ("fit", "reduction", "name"), [("ross", "decoder", "Ross, decoder"), ("ross-raw", "none", "Ross, raw")]
)
def test_ross_states_estimates_with_and_without_reduction(fit, reduction, name, labels):
    expected = ross_information(labels.activations, labels.labels, reduction=reduction, generator=seeded())
    ((key, found),) = readings(LABEL_FITS, fit, labels).items()
    assert key == (name, "I(T;Y)", "estimate")
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


@pytest.mark.parametrize(
    ("fit", "name", "estimate"),
    [
        ("ksg", "KSG", lambda x, y: ksg_information(x, y, neighbours=3, generator=seeded())),
        ("mixed-ksg", "mixed KSG", lambda x, y: mixed_ksg_information(x, y, neighbours=5, generator=seeded())),
        ("copula", "Gaussian copula", copula_information),
        ("cca", "shrunk CCA", lambda x, y: cca_information(x, y, generator=seeded())),
    ],
)
def test_estimators_of_pairs_state_estimates(fit, name, estimate, pair):
    expected = estimate(pair.x, pair.y)
    ((key, found),) = readings(PAIR_FITS, fit, pair).items()
    assert key == (name, "I(X;Y)", "estimate")
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_critics_state_five_estimates_of_a_pair(pair, monkeypatch):
    """With a stand-in for `neural_information`, which takes seconds."""
    fields = {"DV": "dv", "NWJ": "nwj", "InfoNCE": "info_nce", "SMILE": "smile", "FLO": "flo"}

    def one_of(field, value, **more):
        facts = {"quantity": "I(X;Y)", "kind": "estimate", "distribution": "population", "error": 0.1}
        return NeuralEstimate(estimator=f"neural-{field}", value=value, **facts, **more)

    parts = {field: one_of(field, n, held_out=n / 2) for n, field in enumerate(fields.values())}
    seen = []

    def stand_in(x, y, *, generator):
        seen.append((x, y, torch.rand(1, generator=generator).item()))
        return NeuralInformation(**parts)

    monkeypatch.setattr(calibrated, "neural_information", stand_in)
    found = readings(PAIR_FITS, "neural", pair)
    assert seen == [(pair.x, pair.y, torch.rand(1, generator=seeded()).item())]
    assert found.keys() == {(f"neural, {name}", "I(X;Y)", "estimate") for name in fields}
    for n, name in enumerate(fields):
        one = found[f"neural, {name}", "I(X;Y)", "estimate"]
        assert (one.value, one.flagged) == (n, None)
        assert (one.low, one.high) == within(n, 0.1)
    for held_out, flagged in ((3.9, True), (3.7, False)):  # the ceiling is of what held-out samples gave
        parts["info_nce"] = one_of("info_nce", 5.0, held_out=held_out, ceiling=4.0)
        assert readings(PAIR_FITS, "neural", pair)["neural, InfoNCE", "I(X;Y)", "estimate"].flagged is flagged
