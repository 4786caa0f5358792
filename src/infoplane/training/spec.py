"""`MethodSpec` and `WrapperSpec`: name, description, settings, builder and cost; reading them needs no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor, nn

    from infoplane.attacks import PGD
    from infoplane.training.method import TrainingMethod


class MethodSettings(BaseModel):
    """Base class of the settings of a method; a method without settings uses this class.

    Each field has a full name, a default and a docstring: `trades_beta` is typed as --method.trades-beta, and written
    as `method.trades_beta` to `config.json`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


Settings = TypeVar("Settings", bound=MethodSettings)


class Passes(NamedTuple):
    """Approximate forward and backward passes per training image and epoch, for the estimate of the time left."""

    whole: float
    loss: float = 1.0  # the part of these passes that a wrapper such as AWP repeats


@dataclass(frozen=True, kw_only=True)
class Parts(Generic[Settings]):
    """Arguments from which a method is built."""

    attack: "PGD"  # PGD with the settings of `attack` and a random start; during the warm-up its ball is smaller
    settings: Settings
    sources: "Sequence[nn.Module]" = ()  # trained networks to attack, if the method needs them
    updates: int = 0  # of the whole training; 0 if it is not known


def _no_sources(_settings: MethodSettings) -> int:
    return 0


def _no_check(_settings: MethodSettings, _norm: str, _classes: int | None) -> None:
    pass


def _any_network(_model: "nn.Module", _images: "Tensor") -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Generic[Settings]):
    """One training method: its name, description, settings, builder and cost.

    Args:
        name: name on the command line and in the records; "package.module:function" for a user's own method.
        description: one line, for `--help`.
        settings: class of the method's settings, beside those of the attack.
        build: function that returns a new method. It is called again whenever the ball of the warm-up grows.
        passes: cost of an epoch.
        norms: values of `AttackConfig.norm` for which the method is defined.
        attacks: whether the method trains on attacked images. If not, it has no warm-up of epsilon, and its best epoch
            is chosen by accuracy on original images.
        sources: function of the settings that returns the number of networks to train normally for `Parts.sources`.
        check: function that raises UserError if the settings do not fit the norm of the attack or the number of classes
            (None if it is not known yet).
        check_network: raises UserError if the method cannot train a network, given with a few images in [0, 1].
        around: wraps the method once it is built; its attack has the full radius from the first epoch on.
    """

    name: str
    description: str
    settings: type[Settings]
    build: "Callable[[Parts[Settings]], TrainingMethod]"
    passes: Callable[[Parts[Settings]], Passes]
    norms: tuple[str, ...] = ("linf", "l2")
    attacks: bool = True
    sources: Callable[[Settings], int] = _no_sources
    check: Callable[[Settings, str, int | None], None] = _no_check
    check_network: "Callable[[nn.Module, Tensor], None]" = _any_network
    around: "Callable[[TrainingMethod, Parts[Settings]], TrainingMethod] | None" = None

    @property
    def is_own(self) -> bool:
        """Whether the method is a user's own function."""
        return ":" in self.name


@dataclass(frozen=True, kw_only=True)
class WrapperSpec(Generic[Settings]):
    """Wrapper around any method, named after a plus sign, as in trades+awp.

    Args:
        name: name after the plus sign.
        description: one line, for `--help`.
        settings: class of the wrapper's settings.
        build: function of the method and the settings that returns the wrapped method.
        passes: passes that it adds to those of the method.
    """

    name: str
    description: str
    settings: type[Settings]
    build: "Callable[[TrainingMethod, Settings], TrainingMethod]"
    passes: Callable[[Passes], float]
