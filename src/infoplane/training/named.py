"""Look up trainings by the names in the settings, and build their methods."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from infoplane import training
from infoplane.config import FlowConfig, training_name
from infoplane.errors import UserError, broken_rule, unknown_name
from infoplane.training.catalogue import METHODS, WRAPPERS, all_settings
from infoplane.training.own import own_method
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, WrapperSpec

if TYPE_CHECKING:
    from torch import nn

    from infoplane.attacks import PGD
    from infoplane.training.method import TrainingMethod


@dataclass(frozen=True, kw_only=True)
class NamedTraining:
    """One training of the study: a method with its settings, and its wrapper, if any."""

    name: str  # name in the records, e.g. "trades+awp"
    method: MethodSpec[Any]
    settings: MethodSettings
    wrapper: WrapperSpec[Any] | None
    wrapper_settings: MethodSettings

    @property
    def attacks(self) -> bool:
        """Whether the method trains on attacked images."""
        return self.method.attacks

    @property
    def sources(self) -> int:
        """Number of networks that must be trained normally before this training."""
        return self.method.sources(self.settings)

    def passes(self, attack: "PGD") -> float:
        """Return the approximate number of forward and backward passes per training image in one epoch."""
        passes = self.method.passes(Parts(attack=attack, settings=self.settings))
        return passes.whole + (self.wrapper.passes(passes) if self.wrapper else 0)

    def build(
        self,
        attack: "Callable[[float], PGD]",
        sources: "Sequence[nn.Module]",
        *,
        warmup_steps: int = 0,
        updates: int = 0,
    ) -> "TrainingMethod":
        """Return a new training method.

        Args:
            attack: function of a share in (0, 1] that returns the attack with this share of the radius and step size.
            sources: networks that the method attacks; the property `sources` says how many.
            warmup_steps: number of steps over which the radius of the ball grows to its full value.
            updates: number of updates of the whole training; 0 if it is not known.
        """

        def parts(share: float) -> Parts[Any]:
            return Parts(attack=attack(share), settings=self.settings, sources=sources, updates=updates)

        def at(share: float) -> "TrainingMethod":
            method = self.method.build(parts(share))
            return self.wrapper.build(method, self.wrapper_settings) if self.wrapper else method

        method = training.EpsilonWarmup(at, warmup_steps) if warmup_steps and self.attacks else at(1.0)
        return self.method.around(method, parts(1.0)) if self.method.around else method


def named_trainings(config: FlowConfig) -> list[NamedTraining]:
    """Return the trainings that `config.methods` names, in their order; import the user's own functions.

    Raises:
        UserError: there is no such method, setting or function, or a method is not defined for the attack's norm.
    """
    check_methods(config)
    return [named_training(name, config) for name in config.methods]


def check_methods(config: FlowConfig, classes: int | None = None) -> None:
    """Check names and settings of the methods of `config`, without importing the user's own functions.

    Args:
        config: with the methods, their settings and the attack.
        classes: number of classes of the data; None if it is not known yet.

    Raises:
        UserError: there is no such method or setting, or a method is not defined for the attack's norm or for so few
            classes.
    """
    _settings(all_settings(), config.method)
    for name in config.methods:
        _check_name(name, config.attack.norm)
        for spec in METHODS:
            if spec.name == name.partition("+")[0]:
                spec.check(_settings(spec.settings, config.method), config.attack.norm, classes)


def _check_name(name: str, norm: str) -> None:
    known, wrappers = {spec.name: spec for spec in METHODS}, [spec.name for spec in WRAPPERS]
    plain, _, wrapper = name.partition("+")
    if (plain not in known and ":" not in plain) or wrapper not in ("", *wrappers):
        forms = [*known, *(f"NAME+{other}" for other in wrappers), "package.module:function"]
        raise UserError(f"--methods: {unknown_name('training method', name, forms)}")
    if plain in known and norm not in known[plain].norms:
        defined = ", ".join(spec.name for spec in METHODS if norm in spec.norms)
        raise UserError(
            f"--methods: {name} is not defined for --attack.norm {norm}; choose from {defined}, or --attack.norm "
            f"{' or '.join(known[plain].norms)}"
        )
    recorded = training_name(plain)
    if ":" in plain and (recorded in known or re.fullmatch(r"source\d+", recorded)):  # sources of ensemble training
        raise UserError(
            f"--methods: {name} would be recorded as {recorded}, like a training of infoplane; rename the function"
        )


def named_training(name: str, config: FlowConfig) -> NamedTraining:
    """Return the training with one name.

    Args:
        name: a method, e.g. "trades", or "package.module:function"; "+awp" at the end wraps it in AWP.
        config: with the settings of methods, attack and training.

    Raises:
        UserError: see `named_trainings`.
    """
    _check_name(name, config.attack.norm)
    plain, _, wrapped = name.partition("+")
    if ":" in plain:
        method: MethodSpec[Any] = own_method(plain, config.training)
    else:
        method = next(spec for spec in METHODS if spec.name == plain)
    wrapper = next((spec for spec in WRAPPERS if spec.name == wrapped), None)
    return NamedTraining(
        name=training_name(name),
        method=method,
        settings=_settings(method.settings, config.method),
        wrapper=wrapper,
        wrapper_settings=_settings(wrapper.settings, config.method) if wrapper else MethodSettings(),
    )


def _settings(kind: type[MethodSettings], values: Mapping[str, Any]) -> MethodSettings:
    """Return the settings of one class, taken from the values of all settings."""
    known = all_settings().model_fields
    for name in values:
        if name not in known:
            raise unknown_name("method setting", name, known)
    try:
        return kind.model_validate({name: value for name, value in values.items() if name in kind.model_fields})
    except ValidationError as error:
        refusal = error.errors()[0]
        option = f"--method.{refusal['loc'][0]}".replace("_", "-")
        raise UserError(f"{option} {broken_rule(refusal)}") from None
