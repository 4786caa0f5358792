"""Claim 2 on planted curves: final levels and lags."""

import numpy as np
import polars as pl
import pytest
from tests.findings import constructed
from tests.findings.constructed import EPOCHS, GROUPS, RELATIVE, exact, swept

from infoplane.findings.claim2_adversarial_lags import ADVERSARIAL_LAGS, level_statements, reached
from infoplane.findings.curves import Curve, read_curves
from infoplane.findings.finding import ALL_LAYERS
from infoplane.findings.noise_range import SHARES, read_profiles
from infoplane.findings.plan import Plan
from infoplane.findings.verdict import claim_verdict
from infoplane.records.tables import DECODED, INPUT_INFORMATION, LABEL_INFORMATION, measurement_table

LAG, FINAL = "lag of adversarial behind normal training", "final level, normal - adversarial training"


def rising(start, end, at):
    """A curve that stays at `start` and is at `end` from epoch `at` on."""
    return lambda epoch: end if epoch >= at else start + 0.5 * (end - start) * epoch / at


def planted(*, lag=3, gap=0.2):
    """Normal training rises by epoch 2 to 1.5 nats; adversarial training `lag` later, to `gap` less."""

    def rule(*, training, epoch, quantity, **_):
        if training == "normal":
            return rising(0.5, 1.5, 2)(epoch)
        return rising(0.5, 1.5 - gap, 2 + lag)(epoch)

    return rule


NO_PLAN = Plan()


def flow(rule, **facts):
    return swept(constructed.flow(rule, **facts))


def statements(table, plan=NO_PLAN):
    return level_statements(read_curves(table), plan=plan, profiles=read_profiles(table))


def findings(table, statistic, *, plan=NO_PLAN, **facts):
    found = [one.finding("2") for one in statements(table, plan) if one.statistic == statistic]
    return [one for one in found if all(getattr(one, name) == value for name, value in facts.items())]


def primary(table, statistic, quantity=LABEL_INFORMATION, plan=NO_PLAN):
    (one,) = [one for one in findings(table, statistic, plan=plan, quantity=quantity) if one.part]
    return one


def curve(values, epochs=None):
    values = np.array(values, dtype=float)
    return Curve(
        epochs=tuple(epochs or range(len(values))), values=values, groups=np.tile(values[:, None], GROUPS),
        saturated=np.zeros(len(values), bool), null_like=np.zeros(len(values), bool),
            undersampled=np.zeros(len(values), bool),
    )  # fmt: skip


@pytest.mark.parametrize(("lag", "verdict"), [(3, "supported"), (0, "undecided"), (-2, "contradicted")])
def test_a_planted_lag_is_found_in_epochs(lag, verdict):
    def rule(*, training, epoch, **_):
        return rising(0.5, 1.5, 4 + (lag if training == "adversarial" else 0))(epoch)

    table = flow(rule)
    one = primary(table, LAG)
    assert (one.value, one.verdict) == (lag, verdict)
    # measured at every epoch, far from their thresholds, and with tiny errors: the epochs are exact
    assert (one.low, one.high) == (lag, lag)
    assert [number.value for number in findings(table, LAG, layer="fc1", estimator=DECODED)[0].numbers] == [4, 4 + lag]


def test_between_distant_measurements_a_lag_is_known_up_to_their_distance():
    def rule(*, training, epoch, **_):
        return rising(0.5, 1.5, 4 if training == "normal" else 7)(epoch)

    one = primary(flow(rule, epochs=(0, 2, 4, 6, 8, 10)), LAG)
    # normal: epoch 3 or 4; adversarial: 7 or 8
    assert (one.low, one.value, one.high, one.verdict) == (3, 4, 5, "supported")
    coarse = primary(flow(rule, epochs=(0, 5, 10)), LAG)  # 1 to 5 against 6 to 10
    assert (coarse.low, coarse.value, coarse.high) == (1, 5, 9)
    assert primary(flow(rule, epochs=(0, 10)), LAG).verdict == "undecided"


def test_the_threshold_lies_at_nine_tenths_of_the_change():
    assert reached(curve([1.0, 1.89, 1.91, 2.0]), None) == (2, 2)
    assert reached(curve([2.0, 1.11, 1.09, 1.0]), None) == (2, 2)  # falling
    assert reached(curve([1.0, 1.95, 1.2, 2.0]), None) == (1, 1)  # the first epoch, whatever comes after
    assert reached(curve([1.0, 1.5, 2.0], epochs=(0, 3, 12)), None) == (4, 12)


def test_both_trainings_may_err_at_once_each_at_half_the_level():
    table = flow(
        lambda *, epoch, **_: epoch / 400, epochs=range(401), layers=("fc",), quantities=(LABEL_INFORMATION,),
        examples=("original",),
    )  # fmt: skip
    (one,) = findings(table, LAG, layer="fc", estimator=DECODED)
    curves = {training: next(found for (_, key), found in read_curves(table).items() if key.training == training)
              for training in ("normal", "adversarial")}  # fmt: skip
    ends = {alpha: [reached(curves[name], alpha) for name in ("normal", "adversarial")] for alpha in (0.05, 0.025)}
    assert ends[0.05] != ends[0.025]
    normal, adversarial = ends[0.025]
    assert (one.low, one.high) == (adversarial[0] - normal[1], adversarial[1] - normal[0])


def test_epochs_that_cannot_be_told_from_the_threshold_belong_to_the_interval():
    one = curve([0.0, 0.7, 0.87, 0.89, 0.91, 0.93, 0.99, 1.0])
    noise = np.random.default_rng(0).standard_normal((8, GROUPS))
    noise -= noise.mean(axis=1, keepdims=True)
    noise *= 0.02 * np.sqrt(GROUPS) / noise.std(axis=1, ddof=1, keepdims=True)
    vague = Curve(**{**vars(one), "groups": one.groups + noise})
    # 0.03 and 0.01 either side of the threshold, where intervals are 0.056 wide; then 0.2 below and 0.09 above it
    assert reached(vague, 0.05) == (2, 6)
    assert reached(one, 0.05) == (4, 4)


def test_epochs_within_the_numerical_error_of_the_threshold_belong_to_the_interval():
    # 0.9 is reached at epoch 2 as it stands, and perhaps at epoch 1 or only at 3: these lie 0.0005 below and above it
    one = curve([0.0, 0.8995, 0.9002, 0.9005, 1.0])
    assert (reached(one, None), reached(one, 0.05)) == ((2, 2), (1, 4))


@pytest.mark.parametrize(("gap", "verdict"), [(0.2, "supported"), (0.0, "undecided"), (-0.2, "contradicted")])
def test_a_planted_gap_is_found_in_the_final_levels(gap, verdict):
    table = flow(planted(gap=gap))
    one = primary(table, FINAL)
    assert one.verdict == verdict
    assert one.value == pytest.approx(gap)
    assert [name for name, *_ in one.numbers] == ["conv1", "fc1", "fc2"]
    layer = findings(table, FINAL, layer="fc1", estimator=DECODED, quantity=LABEL_INFORMATION)[0]
    assert [(number.name, number.value) for number in layer.numbers] == [
        ("normal, epoch 10", pytest.approx(1.5)),
        ("adversarial, epoch 10", pytest.approx(1.5 - gap)),
    ]


def test_the_mean_over_layers_is_more_exact_than_a_layer():
    table = flow(planted())
    whole = primary(table, FINAL)
    layer = findings(table, FINAL, layer="fc1", estimator=DECODED)[0]
    # both trainings err by 0.01 independently; three layers, too
    assert layer.high - layer.low == pytest.approx(2 * 2.093 * 0.01 * np.sqrt(2), rel=0.35)
    assert whole.high - whole.low < 0.8 * (layer.high - layer.low)


def test_one_seed_says_that_it_says_nothing_about_others():
    assert "one seed" in primary(flow(planted()), FINAL).reason


def test_seeds_that_disagree_leave_it_undecided():
    def rule(*, seed, training, epoch, **_):
        gap = 0.5 if seed == 0 else -0.4
        return planted(gap=gap)(training=training, epoch=epoch, quantity="")

    apart = primary(flow(rule, seeds=(0, 1, 2)), FINAL)
    assert (apart.verdict, apart.seeds) == ("undecided", 3)
    assert "mostly the spread over 3 seeds" in apart.reason
    alike = primary(flow(planted(), seeds=(0, 1, 2)), FINAL)
    assert (alike.verdict, alike.seeds) == ("supported", 3)


def saturated(table, where):
    return table.with_columns(saturated=where)


def test_saturated_layers_are_left_out_and_named():
    table = saturated(flow(planted()), pl.col("layer") == "conv1")
    one = primary(table, FINAL, INPUT_INFORMATION)
    assert (one.verdict, [name for name, *_ in one.numbers][:2]) == ("supported", ["fc1", "fc2"])
    assert "left out: saturated: conv1" in one.reason
    assert "rests on 2 of 3 layers: fc1, fc2" in one.reason
    # decoded values, read from held-out examples, are real close to H(Y) too
    assert len(primary(table, FINAL, LABEL_INFORMATION).numbers) == 3


def test_where_everything_is_saturated_nothing_is_decided():
    table = saturated(flow(planted(), estimators=("kde-kl", RELATIVE)), pl.lit(value=True))
    for statistic in (FINAL, LAG):
        one = primary(table, statistic, INPUT_INFORMATION)
        assert (one.verdict, one.low) == ("undecided", None)
        assert "saturated" in one.reason
        assert {two.verdict for two in findings(table, statistic)} == {"undecided"}


def test_a_curve_that_saturates_at_the_end_has_no_final_level_but_a_lag():
    table = saturated(flow(planted()), pl.col("epoch") >= 8)
    assert primary(table, FINAL, INPUT_INFORMATION).reason.startswith("saturated")
    assert primary(table, LAG, INPUT_INFORMATION).verdict == "supported"


def test_null_like_values_decide_nothing():
    table = flow(planted(), null_quantile95_nats=3.0).with_columns(null_quantile95_nats=pl.lit(3.0))
    for statistic in (FINAL, LAG):
        one = primary(table, statistic)
        assert one.verdict == "undecided"
        assert "null-like" in one.reason


def test_curves_that_stay_within_their_error_have_no_lag():
    one = primary(flow(lambda **_: 1.0), LAG)
    assert (one.verdict, one.value) == ("undecided", None)
    assert "changes by less than its error" in one.reason


def test_a_falling_curve_does_not_lag_behind_a_rising_one():
    def rule(*, training, epoch, **_):
        return 1.0 + 0.1 * epoch * (1 if training == "normal" else -1)

    assert "one curve rises and another falls" in primary(flow(rule), LAG).reason


def test_one_training_alone_is_missing_the_other():
    table = flow(planted(), trainings=("normal",))
    assert all(one.verdict == "undecided" for one in findings(table, FINAL))
    assert "missing" in primary(table, FINAL).reason


def crossing(*, training, epoch, **_):
    """Adversarial training is behind at epoch 5 and ends higher at epoch 10."""
    end, at = (1.5, 2) if training == "normal" else (1.8, 8)
    return rising(0.5, end, at)(epoch)


@pytest.mark.parametrize("quantity", [INPUT_INFORMATION, LABEL_INFORMATION])
def test_a_training_that_ends_higher_is_not_said_to_end_lower_while_it_is_under_way(quantity):
    assert primary(flow(crossing, seeds=SEEDS), FINAL, quantity).verdict == "contradicted"
    half = flow(crossing, seeds=SEEDS, epochs=range(6))
    assert primary(half, FINAL, quantity).verdict == "supported"  # nothing says that it was to go on
    for statistic in (FINAL, LAG):
        one = primary(half, statistic, quantity, plan=Plan(epochs=10))
        assert (one.verdict, one.low) == ("undecided", None)
        assert one.reason.startswith("unfinished: compared at epoch 5 of 10")
    assert claim_verdict(ADVERSARIAL_LAGS, statements(half, Plan(epochs=10))).verdict == "undecided"


def test_trainings_that_were_measured_for_different_times_are_unfinished_whatever_was_planned():
    table = flow(planted()).filter((pl.col("training") == "normal") | (pl.col("epoch") <= 4))
    one = findings(table, FINAL, layer="fc1", estimator=DECODED)[0]
    assert [number.name for number in one.numbers] == ["normal, epoch 4", "adversarial, epoch 4"]
    assert one.verdict == "undecided"
    assert one.reason == "unfinished: one training is measured to epoch 4, the other to epoch 10"


@pytest.mark.parametrize(
    ("drop", "verdict"), [(10, "undecided"), (20, "undecided"), (9, "supported"), (None, "supported")]
)
def test_nothing_is_decided_before_the_learning_rate_falls(drop, verdict):
    for statistic in (FINAL, LAG):
        one = primary(flow(planted(), seeds=SEEDS), statistic, plan=Plan(epochs=10, first_drop=drop))
        assert one.verdict == verdict
        if verdict == "undecided":
            assert one.reason.startswith("too early: epoch 10 is before the learning rate first falls (epoch ")


def test_verdicts_name_their_epoch():
    for gap in (0.2, 0.0, -0.2):
        assert "at epoch 10" in claim_verdict(ADVERSARIAL_LAGS, statements(flow(planted(gap=gap), seeds=SEEDS))).reason


def flipping(*, share, training, **_):
    """NT - AT is -1.06 at a share of .0012, -.05 at 1/32 and .09 at .12, as in a study of MNIST; linear between."""
    gap = np.interp(np.log(share), np.log([0.0012, 1 / 32, 0.12]), [-1.06, -0.05, 0.09])
    return (0.5 if training == "normal" else -0.5) * (gap + 0.05)


def test_a_difference_whose_sign_changes_with_the_noise_is_undecided_and_the_table_shows_the_range():
    table = swept(constructed.flow(planted(gap=-0.05), seeds=SEEDS), flipping)
    one = primary(table, FINAL, INPUT_INFORMATION)
    assert (one.verdict, one.value) == ("undecided", pytest.approx(-0.05))
    assert one.reason.startswith("depends on the noise: contradicted at relative noise, by share of the variance ")
    assert "supported at 0.1" in one.reason
    shown = {number.name: number.value for number in one.numbers if number.name.startswith("at noise share")}
    assert list(shown) == [f"at noise share {share:g}" for share in SHARES]
    assert shown["at noise share 0.001"] == pytest.approx(-1.06)
    assert shown["at noise share 0.1"] == pytest.approx(0.07, abs=0.005)


def test_a_difference_of_one_sign_at_all_noises_is_decided_and_without_a_sweep_it_is_not():
    table = swept(constructed.flow(planted(), seeds=SEEDS))
    one = primary(table, FINAL, INPUT_INFORMATION)
    assert one.verdict == "supported"
    assert "the same at noise shares 0.001, 0.003, 0.01, 0.03, 0.1" in one.reason
    without = primary(constructed.flow(planted(), seeds=SEEDS), FINAL, INPUT_INFORMATION)
    assert (without.verdict, without.reason.partition(":")[0]) == ("undecided", "missing")


def test_the_noise_range_of_the_information_about_the_input_does_not_judge_that_about_the_label():
    table = constructed.flow(planted(), seeds=SEEDS, estimators=(RELATIVE,))
    found = findings(table, FINAL, quantity=LABEL_INFORMATION, estimator=RELATIVE, layer="mean over layers")
    assert [one.verdict for one in found] == ["supported", "supported"]  # on original and on attacked examples


def test_saturated_noises_are_left_out_of_the_range():
    low = (pl.col("noise_mode") == "sweep") & (pl.col("noise_ratio") < 4 * 0.005)
    one = primary(saturated(flow(planted(), seeds=SEEDS), low), FINAL, INPUT_INFORMATION)
    assert one.verdict == "supported"
    assert "the same at noise shares 0.01, 0.03, 0.1" in one.reason
    assert "layers" not in one.reason.partition("the same at")[2].partition("at epoch")[0]


def test_layers_that_more_examples_would_change_are_named():
    last = (pl.col("layer") == "fc1") & (pl.col("quantity") == LABEL_INFORMATION)
    table = flow(planted(), seeds=SEEDS).with_columns(undersampled=last)
    assert "undersampled: fc1" in primary(table, FINAL, LABEL_INFORMATION).reason
    assert "undersampled" not in primary(table, FINAL, INPUT_INFORMATION).reason


def test_a_mean_says_at_which_noises_fewer_layers_speak():
    low = (pl.col("noise_mode") == "sweep") & (pl.col("noise_ratio") < 4 * 0.02) & (pl.col("layer") == "conv1")
    one = primary(saturated(flow(planted(), seeds=SEEDS), low), FINAL, INPUT_INFORMATION)
    few = ", ".join(f"noise share {share:g} over 2 of 3 layers" for share in (0.001, 0.003, 0.01))
    assert f"the same at noise shares 0.001, 0.003, 0.01, 0.03, 0.1; {few}" in one.reason
    names = [number.name for number in one.numbers]
    assert "at noise share 0.01, 2 of 3 layers" in names
    assert "at noise share 0.03" in names


@pytest.mark.parametrize("cut", [0, 3])
def test_an_unfinished_seed_leaves_the_finished_ones_as_they_are_and_is_named(cut):
    whole = flow(planted(), seeds=(0, 1))
    third = flow(planted(gap=-5.0), seeds=(2,)).filter(pl.col("epoch") <= cut)
    half_way = flow(planted(), seeds=(3,), trainings=("normal",))  # its adversarial training has not begun
    table = pl.concat([whole, third, half_way])
    for statistic in (FINAL, LAG):
        finished, found = primary(whole, statistic), primary(table, statistic)
        assert (found.value, found.low, found.high, found.seeds) == (
            finished.value, finished.low, finished.high, 2,
        )  # fmt: skip
        assert "epoch 10, without unfinished seed 2, 3)" in found.statement
        assert "(original examples, epoch 10)" in finished.statement


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(1e-4, "undecided"), (-1e-4, "undecided"), (0.0, "undecided"), (2e-3, "supported"), (-2e-3, "contradicted")],
)
def test_differences_within_the_numerical_error_decide_nothing(gap, verdict):
    table = exact(flow(lambda *, training, epoch, **_: 0.1 * epoch + (gap if training == "normal" else 0)))
    one = primary(table, FINAL)
    assert (one.verdict, one.value) == (verdict, pytest.approx(gap))
    if verdict == "undecided" and gap:
        assert "does not clear 0 by 0.001 nats" in one.reason


def test_a_curve_that_moves_by_less_than_the_numerical_error_has_no_lag():
    table = exact(flow(lambda *, epoch, **_: 1 + 5e-5 * epoch))
    assert "changes by less than its error" in primary(table, LAG).reason


SEEDS = (0, 1, 2)


def test_the_claim_wants_lower_levels_and_lags_of_both_informations():
    def verdict(rule):
        return claim_verdict(ADVERSARIAL_LAGS, statements(flow(rule, seeds=SEEDS)))

    assert verdict(planted()).verdict == "supported"
    assert verdict(planted(lag=0)).verdict == "undecided"
    assert "lag of I(X;T)" in verdict(planted(lag=0)).reason
    against = verdict(planted(gap=-0.2))
    assert against.verdict == "contradicted"
    assert against.reason.startswith("the records contradict: final I(X;T), final I(T;Y); ")
    assert against.rests_on == ("final I(X;T)", "final I(T;Y)")


@pytest.mark.parametrize("gap", [0.2, -0.2])
def test_one_seed_decides_findings_and_not_the_claim(gap):
    found = statements(flow(planted(gap=gap)))
    finals = [one.finding("2") for one in found if one.part.startswith("final")]
    assert {one.verdict for one in finals} == {"supported" if gap > 0 else "contradicted"}
    claim = claim_verdict(ADVERSARIAL_LAGS, found)
    assert claim.verdict == "undecided"
    assert claim.reason.startswith("needs at least two seeds: add `--seeds 3` (final I(X;T)")


def test_the_claim_says_how_few_layers_it_rests_on():
    table = flow(planted(), seeds=SEEDS)
    few = saturated(table, pl.col("layer").is_in(["conv1", "fc1"]))
    found = claim_verdict(ADVERSARIAL_LAGS, statements(few))
    assert found.verdict == "supported"
    assert "final I(X;T): at epoch 10; rests on 1 of 3 layers: fc2" in found.reason
    assert "lag of I(X;T): at epoch 10; rests on 1 of 3 layers: fc2" in found.reason
    assert "rests on" not in claim_verdict(ADVERSARIAL_LAGS, statements(table)).reason


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_trainings_that_differ_only_as_seeds_do_are_rarely_told_apart(seeds):
    """Both trainings are drawn from one distribution of levels and speeds, with errors over examples next to none."""
    decided = 0
    for replicate in range(40):
        generator = np.random.default_rng(replicate)
        drawn = {}

        def rule(*, seed, training, epoch, quantity, generator=generator, drawn=drawn, **_):
            key = (seed, training, quantity)
            if key not in drawn:
                drawn[key] = 1.5 + 0.1 * generator.standard_normal(), generator.uniform(1, 4)
            rise, time = drawn[key]
            return 0.5 + rise * (1 - np.exp(-epoch / time))

        table = flow(rule, seeds=range(seeds), examples=("original",), layers=("fc",))
        decided += claim_verdict(ADVERSARIAL_LAGS, statements(table)).verdict != "undecided"
    # four parts at 5 % / 4: 2 of 40, and three binomial spreads of 1.4
    assert decided <= (0 if seeds == 1 else 6)


def test_an_empty_run_is_undecided():
    found = claim_verdict(ADVERSARIAL_LAGS, statements(measurement_table([])))
    assert (found.verdict, "missing" in found.reason) == ("undecided", True)


def test_every_estimator_and_kind_of_examples_stands_beside_the_primary_one():
    table = flow(planted(), estimators=(None, "kde-kl"))
    found = {(one.quantity, one.estimator) for one in findings(table, FINAL)}
    assert found == {
        (INPUT_INFORMATION, RELATIVE),
        (INPUT_INFORMATION, "kde-kl"),
        (LABEL_INFORMATION, DECODED),
        (LABEL_INFORMATION, "kde-kl"),
    }
    assert {one.layer for one in findings(table, FINAL)} == {"conv1", "fc1", "fc2", ALL_LAYERS}
    assert max(EPOCHS) == 10
