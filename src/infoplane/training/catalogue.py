"""List of the training methods. To add one, write its file and add one line here."""

from functools import cache
from typing import Any

from pydantic import create_model

from infoplane.text import DESCRIBED
from infoplane.training.methods.adversarial import ADVERSARIAL
from infoplane.training.methods.adversarial_hbar import ADVERSARIAL_HBAR
from infoplane.training.methods.awp import AWP
from infoplane.training.methods.ceb import CEB
from infoplane.training.methods.ensemble import ENSEMBLE
from infoplane.training.methods.fgsm import FGSM
from infoplane.training.methods.fgsm_rs import FGSM_RS
from infoplane.training.methods.free import FREE
from infoplane.training.methods.freelb import FREELB
from infoplane.training.methods.hbar import HBAR
from infoplane.training.methods.mart import MART
from infoplane.training.methods.nib import NIB
from infoplane.training.methods.normal import NORMAL
from infoplane.training.methods.trades import TRADES
from infoplane.training.methods.vib import VIB
from infoplane.training.methods.yopo import YOPO
from infoplane.training.spec import MethodSettings, MethodSpec, WrapperSpec

# The training methods that there are.
METHODS: list[MethodSpec[Any]] = [
    NORMAL,
    ADVERSARIAL,
    FGSM,
    FGSM_RS,
    FREE,
    YOPO,
    FREELB,
    TRADES,
    MART,
    ENSEMBLE,
    VIB,
    CEB,
    NIB,
    HBAR,
    ADVERSARIAL_HBAR,
]
WRAPPERS: list[WrapperSpec[Any]] = [AWP]


def all_settings() -> type[MethodSettings]:
    """Return one model with the settings of all methods and wrappers, for the command line and `config.json`."""
    every: list[type[MethodSettings]] = [spec.settings for spec in METHODS] + [spec.settings for spec in WRAPPERS]
    own = [settings for settings in dict.fromkeys(every) if settings is not MethodSettings]
    return _joined(tuple(own))


@cache  # it is asked for with every setting of every method
def _joined(own: tuple[type[MethodSettings], ...]) -> type[MethodSettings]:
    # reversed: fields of the last base come first
    return create_model("MethodSettings", __base__=tuple(reversed(own)) or MethodSettings, __cls_kwargs__=DESCRIBED)
