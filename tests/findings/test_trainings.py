"""Which trainings are judged, whatever their names are."""

import polars as pl
import pytest
from tests.findings.constructed import accuracies, flow, swept

from infoplane.findings import find
from infoplane.findings.trainings import chosen_trainings
from infoplane.records.tables import measurement_table, performance_table

NOTHING = performance_table([])


def lagging(*, training, epoch, **_):
    """Normal training is at 1.5 nats from epoch 2 on, every other from epoch 5 on at 1.3."""
    end, at = (1.5, 2) if training == "normal" else (1.3, 5)
    return end if epoch >= at else 0.5 + 0.5 * (end - 0.5) * epoch / at


def run(*trainings, **facts):
    return swept(flow(lagging, trainings=trainings, seeds=(0, 1, 2), layers=("conv", "fc"), **facts))


def claim(found, number):
    (one,) = [one for one in found.claims if one.claim == number]
    return one


def test_adversarial_training_is_judged_where_it_is_recorded_and_others_are_named():
    found = find(run("normal", "free", "adversarial", "trades"), NOTHING)
    plain = find(run("normal", "adversarial"), NOTHING)
    for number in ("1", "2", "3a", "3b", "4"):
        one, other = claim(found, number), claim(plain, number)
        assert one.verdict == other.verdict
        assert one.reason == f"{other.reason}; recorded but not judged: free, trades training"
    assert [one.value for one in found.findings] == [one.value for one in plain.findings]


@pytest.mark.parametrize("method", ["free", "yopo", "trades", "fgsm-rs", "adversarial+awp"])
def test_any_other_training_stands_for_it_where_it_is_not(method):
    found, plain = find(run("normal", method), NOTHING), find(run("normal", "adversarial"), NOTHING)
    assert claim(found, "2").verdict == claim(plain, "2").verdict == "supported"
    assert claim(found, "2").reason.endswith(f"; {method} training is judged as adversarial training")
    main = found.about("2")[0]
    assert f"than {method} training" in main.statement
    assert f"normal - {method} training" in main.statistic
    assert not any("not recorded for both" in one.reason for one in found.about("2"))
    for number in ("1", "2", "3a", "3b"):
        own, others = found.about(number), plain.about(number)
        assert [one.value for one in own] == [one.value for one in others]
        assert {one.seeds for one in own if one.value is not None} == {3}
        name = f"{method} training"
        assert [one.statement for one in own if name in one.statement] == [
            one.statement.replace("adversarial training", name)
            for one in others
            if "adversarial training" in one.statement
        ]


def test_the_first_of_several_stands_for_it_and_another_can_be_named():
    table = run("normal", "trades", "free")
    first, named = (claim(find(table, NOTHING, training=one), "2").reason for one in (None, "free"))
    assert "trades training is judged as adversarial training; recorded but not judged: free" in first
    assert "free training is judged as adversarial training; recorded but not judged: trades" in named
    with pytest.raises(ValueError, match=r"training must be one of .*\['trades', 'free'\], got 'yopo'"):
        find(table, NOTHING, training="yopo")
    with pytest.raises(ValueError, match="got 'normal'"):
        find(table, NOTHING, training="normal")


def test_distortions_are_judged_of_the_same_training():
    def rule(*, training, level, **_):
        return 0.9 - (0.05 if training == "normal" else 0.1) * (level - 1)

    table = accuracies(
        rule, distortion="shuffling", levels=(1.0, 2.0, 4.0), seeds=(0, 1, 2), trainings=("normal", "yopo")
    )
    found = find(measurement_table([]), table)
    one = next(one for one in found.about("4") if "under shuffling (original" in one.statement)
    assert (one.verdict, one.statement) == (
        "supported", "yopo training loses more under shuffling (original examples)",
    )  # fmt: skip
    assert [number.name for number in one.numbers] == [
        "slope under shuffling, normal training", "slope under shuffling, yopo training",
    ]  # fmt: skip


def test_what_is_missing_is_named_and_what_is_recorded_is_not():
    found = find(run("standard", "madry"), NOTHING)
    assert "missing: not recorded for both normal and standard training" in claim(found, "2").reason
    assert "recorded but not judged: madry" in claim(found, "2").reason
    assert claim(find(run("normal"), NOTHING), "2").reason.startswith("missing: not recorded for both normal and adver")
    assert chosen_trainings(pl.DataFrame({"training": []}), NOTHING) == ("adversarial", ())
