"""Load the user's own training methods; the method is checked when it is built and at every step."""

from typing import TYPE_CHECKING

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes
from infoplane.user_code import accepted_facts, call_function, find_function

if TYPE_CHECKING:
    from infoplane.config import TrainingConfig
    from infoplane.training.method import TrainingMethod

_WHAT = "training method"


def own_method(path: str, settings: "TrainingConfig") -> MethodSpec[MethodSettings]:
    """Import a function by its path and return the spec of the method that it returns.

    The function is called with those keyword arguments that its signature names: `attack` (PGD with the settings of the
    attack and a random start), `epsilon` (its radius), `training` (the settings of the optimiser and schedule). If it
    takes `attack` or `epsilon`, it is called again at each step of the warm-up, with a ball that grows.

    Args:
        path: "package.module:function"; a class can take the function's place.
        settings: passed as `training`.

    Raises:
        UserError: there is no such module or function, or it requires other arguments.
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
        passes=lambda parts: Passes(parts.attack.steps + 1 if attacks else 1),  # estimate: the cost is not known
        attacks=attacks,
    )
