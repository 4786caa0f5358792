"""What is known of a training method: one object per method, which is read without torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import nn

    from infoplane.attacks import PGD
    from infoplane.training.method import TrainingMethod


class MethodSettings(BaseModel):
    """Base of a method's settings; a method without settings has this itself.

    Fields have whole names, defaults and docstrings: `trades_beta` is typed as --method.trades-beta, and kept as
    `method.trades_beta` in `config.json`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


Settings = TypeVar("Settings", bound=MethodSettings)


class Passes(NamedTuple):
    """Forward and backward passes per training image and epoch, roughly; the estimate of the time left uses them."""

    whole: float
    loss: float = 1.0  # of these, the part that a wrapper such as AWP takes once more


@dataclass(frozen=True, kw_only=True)
class Parts(Generic[Settings]):
    """What a method is built from."""

    attack: "PGD"  # with the settings of `attack` and a random start; during the warm-up its ball is smaller
    settings: Settings
    sources: "Sequence[nn.Module]" = ()  # trained networks to attack, where the method asks for some


def _no_sources(_settings: MethodSettings) -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Generic[Settings]):
    """A training method: its name and description, and how it is built.

    Args:
        name: on the command line and in the records; of the user's own, "package.module:function".
        description: one line, for help.
        settings: those that the method has beside the attack's.
        build: returns the method, fresh. It is called again whenever the ball of the warm-up grows.
        passes: what an epoch costs.
        norms: values of `AttackConfig.norm` for which the method is defined.
        attacks: whether it trains on attacked images. One that does not has no warm-up of epsilon, and its best epoch
            is chosen by accuracy on original images.
        sources: from the settings to the number of networks that are trained normally beforehand, for `Parts.sources`.
        around: what goes around the method once it is built, at the full radius of the attack.
    """

    name: str
    description: str
    settings: type[Settings]
    build: "Callable[[Parts[Settings]], TrainingMethod]"
    passes: Callable[[Parts[Settings]], Passes]
    norms: tuple[str, ...] = ("linf", "l2")
    attacks: bool = True
    sources: Callable[[Settings], int] = _no_sources
    around: "Callable[[TrainingMethod, Parts[Settings]], TrainingMethod] | None" = None

    @property
    def is_own(self) -> bool:
        """Whether it is a function of the user's own."""
        return ":" in self.name


@dataclass(frozen=True, kw_only=True)
class WrapperSpec(Generic[Settings]):
    """What goes around any method when its name stands behind the method's, as in trades+awp.

    Args:
        name: behind the plus sign.
        description: one line, for help.
        settings: of the wrapper.
        build: from the method and the settings to the wrapped method.
        passes: what it adds to the passes of a method.
    """

    name: str
    description: str
    settings: type[Settings]
    build: "Callable[[TrainingMethod, Settings], TrainingMethod]"
    passes: Callable[[Passes], float]
