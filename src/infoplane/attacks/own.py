"""Load the user's own attacks, which the command line names as package.module:function."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from infoplane.attacks.spec import AttackSpec
from infoplane.errors import UserError
from infoplane.user_code import call_function, described, find_function

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.config import AttackConfig

SETTINGS = ("norm", "epsilon", "step_size", "steps")  # fields of AttackConfig that it may take


def own_attack(path: str) -> AttackSpec:
    """Return the spec of a user's attack. Nothing is imported before it is built.

    A function with an argument `generator` is the attack itself, and has the signature of `Attack`. Every other
    function, and every class, returns the attack; it is called with those of `SETTINGS` that its signature names.

    Args:
        path: "package.module:function".
    """
    return AttackSpec(
        name=path,
        description="your own attack",
        settings=SETTINGS,
        norms=("linf", "l2"),
        build=partial(_build, path),
        cost=lambda settings: settings.steps,  # an estimate: the function does not state its cost
    )


class OwnAttack:
    """A user's attack, named by its path; its exceptions become error messages of one line.

    Args:
        attack: a callable like `Attack`; the argument `target` may be missing.
        path: "package.module:function".
    """

    def __init__(self, attack: Callable[..., "Tensor"], path: str) -> None:
        self.__name__ = path
        # The ball that the attack states, which `apply_attack` checks.
        self.epsilon, self.norm = getattr(attack, "epsilon", None), getattr(attack, "norm", None)
        self._attack = attack

    def __call__(
        self,
        model: "nn.Module",
        images: "Tensor",
        labels: "Tensor",
        *,
        generator: "torch.Generator",
        target: "Tensor | None" = None,
    ) -> "Tensor":
        """Return what the user's attack returns.

        Raises:
            UserError: the attack raises.
        """
        given = {} if target is None else {"target": target}
        try:
            return self._attack(model, images, labels, generator=generator, **given)
        except (Exception, SystemExit) as error:
            raise UserError(f"the attack {self.__name__} raised {described(error)}; correct it") from error


def _build(path: str, settings: "AttackConfig") -> OwnAttack:
    """Import the function and return the attack: the function itself, or what it returns.

    Raises:
        UserError: there is no such function, it raises, or neither it nor its result has the signature of `Attack`.
    """
    found: Any = find_function(path, "attack")
    if inspect.isclass(found) or not _asks_for_generator(found):
        facts = {name: getattr(settings, name) for name in SETTINGS}
        try:
            found = call_function(found, facts, path, "attack")
        except UserError as error:
            raise UserError(f"{error} (an attack itself has an argument generator)") from error
    if not _has_the_form(found):
        shown = type(found).__name__ if not callable(found) else f"arguments {inspect.signature(found)}"
        raise UserError(
            f"the attack {path} must be, or return, a function of (model, images, labels, *, generator); got {shown}"
        )
    return OwnAttack(found, path)


def _asks_for_generator(function: Callable[..., Any]) -> bool:
    try:
        return "generator" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled code need not have a signature
        return False


def _has_the_form(attack: Any) -> bool:
    if not callable(attack):
        return False
    try:
        inspect.signature(attack).bind(None, None, None, generator=None)
    except TypeError:
        return False
    except ValueError:  # no signature to check: a wrong one raises when the attack is called
        return True
    return True
