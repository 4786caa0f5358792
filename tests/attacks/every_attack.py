"""The attacks of the list, as tests run them: small settings, and a skip where a library is missing."""

import dataclasses
from importlib.util import find_spec
from typing import Any

import pytest
from torch import nn

from infoplane.attacks import ATTACKS, Attack, AttackSpec
from infoplane.attacks.extras import LIBRARIES
from infoplane.config import AttackConfig

# The largest values in tests, by the names of fields; most attacks take far more.
MOST = {"steps": 9, "queries": 40, "iterations": 4, "searches": 2, "generations": 1, "passes": 1}


def _each(specs: list[AttackSpec]) -> list[Any]:
    return [
        pytest.param(
            spec,
            id=spec.name,
            marks=pytest.mark.skipif(
                spec.extra is not None and find_spec(LIBRARIES[spec.extra].module) is None,
                reason=f"the extra {spec.extra} is not installed",
            ),
        )
        for spec in specs
    ]


each_attack = pytest.mark.parametrize("spec", _each(ATTACKS))
each_gradient_attack = pytest.mark.parametrize("spec", _each([spec for spec in ATTACKS if spec.threat == "white-box"]))


def build(spec: AttackSpec, settings: AttackConfig, source: nn.Module | None = None) -> Attack:
    """Return the attack with these settings; attacks by transfer need another network as their source."""
    return spec.build(settings, source) if spec.threat == "transfer" else spec.build(settings)


def settings(**more: Any) -> AttackConfig:
    """Return the settings of the contract's tests."""
    return AttackConfig(**{"epsilon": 0.1, "step_size": 0.05, "steps": 4, **more})


def quick(spec: AttackSpec, given: AttackConfig, source: nn.Module | None = None) -> Attack:
    """Return the attack as `build` does, but with at most `MOST` of everything."""
    attack = build(spec, given, source)
    if not dataclasses.is_dataclass(attack):
        return attack
    given = {field.name: getattr(attack, field.name) for field in dataclasses.fields(attack)}
    fewer = {name: most for name, most in MOST.items() if isinstance(given.get(name), int) and given[name] > most}
    return dataclasses.replace(attack, **fewer)
