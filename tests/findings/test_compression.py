"""Falls of I(X;T) and the verdicts about them, on tables whose falls are known."""

import numpy as np
import pytest
from scipy import stats

from infoplane.findings.compression import (
    crossed_falls,
    falls,
    interval,
    judge_quantised,
    judge_tanh_and_relu,
    not_learned,
)
from infoplane.findings.finding import ALL_LAYERS, CONTRADICTED, SUPPORTED, UNDECIDED
from infoplane.records.compression import (
    CompressionAccuracy,
    CompressionMeasurement,
    accuracy_table,
    compression_table,
)

EPOCHS = (0, 10, 100)
BINNED = {"estimator": "binning", "kind": "estimate", "bins": 30, "bin_range": "fixed"}
OF_EPOCH = {**BINNED, "bin_range": "epoch"}
NOISY = {"estimator": "noisy", "kind": "estimate", "noise_mode": "fixed"}
EXACT = {"estimator": "exact", "kind": "estimate"}


def table(curves, bits=None):
    """Rows from {(activation, variant number, seed, layer): values at EPOCHS}."""
    variants = (BINNED, OF_EPOCH, NOISY, EXACT)
    return compression_table(
        CompressionMeasurement(
            seed=seed, activation=activation, bits=bits, epoch=epoch, layer_index=layer, layer=f"hidden.{layer}",
            quantity="I(X;T)", value_nats=value, saturated=False, samples=4096, features=3, **variants[variant],
        )
        for (activation, variant, seed, layer), values in curves.items()
        for epoch, value in zip(EPOCHS, values, strict=True)
    )  # fmt: skip


def accuracies(activations, seeds, bits=None, dead=()):
    return accuracy_table(
        CompressionAccuracy(
            seed=seed, activation=activation, bits=bits, epoch=100, split=split,
            accuracy=0.51 if (activation, seed) in dead else 0.99, constant=0.53, n=100,
        )
        for activation in activations
        for seed in seeds
        for split in ("train", "test")
    )  # fmt: skip


def curve(fall, shift=0.0):
    return (1.0, 3.0 + shift, 3.0 + shift - fall)


def test_a_fall_is_measured_from_the_maximum_of_the_other_seeds():
    values = np.array([[1.0, 5.0, 2.0], [1.0, 4.0, 3.0], [6.0, 1.0, 0.0]])
    # the means of the others: [3.5, 2.5, 1.5], [3.5, 3, 1] and [1, 4.5, 2.5]
    assert crossed_falls(values).tolist() == [1.0 - 2.0, 1.0 - 3.0, 1.0 - 0.0]


def test_a_curve_that_rises_to_its_end_has_a_negative_fall():
    assert crossed_falls(np.array([[1.0, 2, 3], [0, 2, 4]])).tolist() == [-1, -2]


def test_noise_alone_has_no_fall_on_average():
    # 20 epochs of noise with deviation 1: the plain fall from the maximum would be 1.87 on average. Falls of one seed
    # have a variance of at most 2, and those of the 4 seeds of a draw may move together: 3 deviations of 2,000 draws.
    generator = np.random.default_rng(0)
    found = [crossed_falls(generator.normal(size=(4, 20))).mean() for _ in range(2000)]
    assert abs(np.mean(found)) < 3 * np.sqrt(2 / 2000)


def test_the_interval_is_students():
    values = [0.1, 0.4, 0.3, 0.2]
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert interval(values, 0.05) == pytest.approx(expected)


def test_the_fall_of_a_network_is_the_mean_over_its_layers():
    curves = {("tanh", 0, seed, layer): curve(fall) for seed in (0, 1) for layer, fall in enumerate((1.0, 0.5))}
    found = falls(table(curves), accuracies(["tanh"], (0, 1)))
    assert dict(found.select("layer", "fall_nats").rows()) == {"hidden.0": 1.0, "hidden.1": 0.5, ALL_LAYERS: 0.75}
    assert found["peak_epoch"].to_list() == [10, 10, None]
    assert found.row(2, named=True)["peak_nats"] == pytest.approx(3.0)
    assert found.row(2, named=True)["last_nats"] == pytest.approx(2.25)


def test_networks_that_did_not_learn_are_left_out():
    curves = {("tanh", 0, seed, 0): curve(9.0 if seed == 2 else 1.0) for seed in (0, 1, 2)}
    learned = accuracies(["tanh"], (0, 1, 2), dead={("tanh", 2)})
    assert falls(table(curves), learned)["falls_nats"].to_list()[0] == [1.0, 1.0]
    assert not_learned(learned).select("activation", "seed").rows() == [("tanh", 2)]


def verdicts(curves, seeds=(0, 1, 2), dead=()):
    found = falls(table(curves), accuracies(["tanh", "relu"], seeds, dead=dead))
    return {one.statement: one.verdict for one in judge_tanh_and_relu(found, 30)}


def test_a_certain_fall_supports_compression_and_contradicts_its_absence():
    curves = {(name, 0, seed, 0): curve(1 + 0.01 * seed) for name in ("tanh", "relu") for seed in range(3)}
    found = verdicts(curves)
    assert found["tanh compresses in 30 equal bins"] == SUPPORTED
    assert found["relu does not compress in 30 equal bins"] == CONTRADICTED


def test_no_fall_is_the_other_way_round():
    curves = {(name, 2, seed, 0): (1.0, 2.0, 3.0 + 0.1 * seed) for name in ("tanh", "relu") for seed in range(3)}
    found = verdicts(curves)
    assert found["tanh compresses at fixed noise"] == CONTRADICTED
    assert found["relu does not compress at fixed noise"] == SUPPORTED
    assert found["relu does not compress at relative noise"] == UNDECIDED  # it was not measured


@pytest.mark.parametrize("fall", [0.0, 1.0])
def test_falls_without_spread_decide_nothing(fall):
    curves = {(name, 0, seed, 0): curve(fall) for name in ("tanh", "relu") for seed in range(3)}
    assert set(verdicts(curves).values()) == {UNDECIDED}


def test_two_rising_seeds_do_not_show_that_nothing_falls():
    # both rise, by 0.2 and 1: a t interval with one degree of freedom is far wider than that
    curves = {("relu", 0, seed, 0): (1.0, 2.0, 2.2 + 0.8 * seed) for seed in (0, 1)}
    assert verdicts(curves, (0, 1))["relu does not compress in 30 equal bins"] == UNDECIDED


def test_falls_on_both_sides_of_the_border_are_undecided():
    curves = {(name, 0, seed, 0): curve(0.1 * seed) for name in ("tanh", "relu") for seed in range(3)}
    assert set(verdicts(curves).values()) == {UNDECIDED}


def test_one_network_that_learned_decides_nothing():
    curves = {(name, 0, seed, 0): curve(1.0) for name in ("tanh", "relu") for seed in range(2)}
    assert verdicts(curves, (0, 1), dead={("tanh", 0), ("relu", 1)})["tanh compresses in 30 equal bins"] == UNDECIDED


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [(1.0, 0.0, SUPPORTED), (1.0, 2.0, CONTRADICTED), (0.0, 0.05, CONTRADICTED), (1.0, None, UNDECIDED)],
)
def test_the_binning_decides_where_one_binning_falls_and_another_does_not(first, second, verdict):
    spread = np.array([0, 0.001, 0.002])
    both = [first + spread, (0.0, 0.3, 0.6) if second is None else second + spread]
    curves = {("tanh", place, seed, 0): curve(one[seed]) for place, one in enumerate(both) for seed in range(3)}
    curves |= {("tanh", 3, seed, 0): curve(1.0 + 0.01 * seed) for seed in range(3)}
    found = falls(table(curves, bits=8), accuracies(["tanh"], range(3), bits=8))
    judged = {one.statement: one for one in judge_quantised(found, 8)}
    assert judged["tanh, 8 bits: the binning decides whether I(X;T) falls"].verdict == verdict
    assert judged["tanh, 8 bits: I(X;T) falls, exactly"].verdict == SUPPORTED
    assert judged["relu, 8 bits: I(X;T) falls, exactly"].verdict == UNDECIDED
