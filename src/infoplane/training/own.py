"""Training methods of the user's own: a function that returns one, checked where it is called and at every step."""

from typing import TYPE_CHECKING

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes
from infoplane.user_code import accepted_facts, call_function, find_function

if TYPE_CHECKING:
    from infoplane.config import TrainingConfig
    from infoplane.training.method import TrainingMethod

_WHAT = "training method"


def own_method(path: str, settings: "TrainingConfig") -> MethodSpec[MethodSettings]:
    """Import a function by its path and return the method that it makes.

    The function is called by name with those of these facts that its signature has: `attack` (PGD with the settings of
    the attack and a random start), `epsilon` (its radius), `training` (the settings of the optimiser and schedule). One
    that asks for `attack` or `epsilon` is called again at each step of the warm-up, with a ball that grows.

    Args:
        path: "package.module:function"; a class serves as well.
        settings: passed as `training`.

    Raises:
        UserError: there is no such module or function, or it asks for more than these facts.
    """
    function = find_function(path, _WHAT)
    asked = accepted_facts(function, dict.fromkeys(("attack", "epsilon", "training")), path, _WHAT)
    attacks = "attack" in asked or "epsilon" in asked

    def build(parts: Parts[MethodSettings]) -> "TrainingMethod":
        facts = {"attack": parts.attack, "epsilon": parts.attack.epsilon, "training": settings}
        return training.checked_method(call_function(function, facts, path, _WHAT), path)

    return MethodSpec(
        name=path,
        description=f"the method that {path} returns",
        settings=MethodSettings,
        build=build,
        passes=lambda parts: Passes(parts.attack.steps + 1 if attacks else 1),  # a guess: the function does not say
        attacks=attacks,
    )
