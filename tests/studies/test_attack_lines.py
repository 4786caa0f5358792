"""What is said of each attack before a study, and how its passes count in the estimate of the time."""

import pytest

from infoplane.attacks import AttackSpec, catalogue
from infoplane.config import AttackConfig, FlowConfig
from infoplane.studies.attack_lines import attack_lines
from infoplane.studies.flow.work_estimate import FORWARD, attacking_work

ASKING = AttackSpec(
    name="asking", description="asks", settings=("epsilon",), norms=("linf",), build=lambda _: None,
    cost=lambda _: 0, threat="black-box", queries=5000,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _asking(monkeypatch):
    monkeypatch.setattr(catalogue, "ATTACKS", [*catalogue.ATTACKS, ASKING])


def config(*attacks: str, **settings) -> FlowConfig:
    return FlowConfig(attacks=attacks, attack=AttackConfig(**{"epsilon": 8 / 255, "steps": 7, **settings}))


def test_each_attack_has_a_line_with_its_settings_and_its_cost():
    assert attack_lines(config("pgd", "fgsm", "asking", "my:own", epsilon=0.03)) == [
        "attack pgd (white-box): norm linf, epsilon 0.03, step_size 2/255, steps 7; 7 gradients per image",
        "attack fgsm (white-box): epsilon 0.03; 1 gradient per image",
        "attack asking (black-box): epsilon 0.03; 5,000 forward passes per image",
        "attack my:own (white-box): norm linf, epsilon 0.03, step_size 2/255, steps 7; cost unknown: it is your own "
        "function",
    ]
    assert attack_lines(config()) == []


def test_a_transfer_names_its_substitute():
    (line,) = attack_lines(config("transfer"))
    assert line.endswith(
        "epsilon 8/255, step_size 2/255, steps 7; 7 gradients per image, on a substitute that is trained normally for "
        "5 epochs per seed beforehand"
    )


def test_queries_count_as_forward_passes_in_the_estimate_of_the_time():
    assert attacking_work(config("pgd")) == 7
    assert attacking_work(config("pgd", "asking")) == pytest.approx(7 + 5000 * FORWARD)
