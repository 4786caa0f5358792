"""Which attack is judged, whatever its name is."""

import pytest
from tests.findings.constructed import accuracies, flow

from infoplane.findings import find
from infoplane.findings.attacks import chosen_attack
from infoplane.records.tables import measurement_table, performance_table

NOTHING = performance_table([])
OF_EXAMPLES = ("1", "2", "3a", "3b", "4", "5")


def rule(*, seed, examples, epoch, **_):
    """Every attack's curve is the original one, less something of its own; "far" moves the other way."""
    moved = 0.3 * epoch * (1 + 0.1 * seed) / 10 * (1 + (epoch % 3))
    if examples == "far":
        return 2.0 - moved
    return 0.5 + moved - {"original": 0.0}.get(examples, 0.05)


def run(*attacks):
    return flow(rule, examples=("original", *attacks), seeds=(0, 1, 2), layers=("conv", "fc"))


def claim(found, number):
    (one,) = [one for one in found.claims if one.claim == number]
    return one


def test_the_adversarial_examples_are_judged_where_they_are_measured_and_others_are_named():
    found, plain = find(run("far", "adversarial", "l2-pgd"), NOTHING), find(run("adversarial"), NOTHING)
    assert [one.value for one in found.findings] == [one.value for one in plain.findings]
    for number in OF_EXAMPLES:
        one, other = claim(found, number), claim(plain, number)
        assert one.verdict == other.verdict
        assert one.reason == f"{other.reason}; measured but not judged: far, l2-pgd examples"
    assert "not judged" not in claim(found, "6").reason


@pytest.mark.parametrize("attack", ["fgsm", "l2-pgd", "package.module:attack"])
def test_the_first_other_attack_stands_for_them_where_they_are_not(attack):
    found, plain = find(run(attack, "far"), NOTHING), find(run("adversarial"), NOTHING)
    assert claim(found, "1").verdict == claim(plain, "1").verdict
    assert [one.value is None for one in found.about("1")] == [one.value is None for one in plain.about("1")]
    assert claim(found, "1").reason.endswith(
        f"; {attack} examples stand for adversarial examples; measured but not judged: far examples"
    )
    contrary = find(run("far", attack), NOTHING)
    assert claim(contrary, "1").verdict == "contradicted"


def of_ten_classes():
    return flow(rule, seeds=(0,), layers=("fc",), epochs=(0,), examples=("original",))


def test_accuracies_are_judged_of_the_same_attack():
    def accuracy(*, examples, level, **_):
        return 0.2 + (0.05 * level if examples == "fgsm" else -0.05 * level if examples == "far" else 0.0)

    table = accuracies(accuracy, distortion="saturation", levels=(2.0, 4.0, 8.0), attacks=("fgsm", "far"))
    found = find(of_ten_classes(), table)
    gains = [one for one in found.about("5") if one.part == "accuracy under saturation"]
    assert [one.verdict for one in gains] == ["supported", "supported"]


def test_nothing_measured_leaves_the_usual_name():
    assert chosen_attack(measurement_table([]), NOTHING) == ("adversarial", ())
    assert chosen_attack(run(), NOTHING).note() == ""
