"""The libraries whose attacks infoplane runs, each an optional dependency."""

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from infoplane.errors import UserError


class Library(NamedTuple):
    """What a user installs, and what is imported."""

    title: str
    module: str
    parts: tuple[str, ...]  # modules that attacks use


LIBRARIES = {  # by the extra of infoplane that installs them
    "attacks": Library(
        "Adversarial Robustness Toolbox", "art", ("art.attacks.evasion", "art.estimators.classification")
    ),
    "autoattack": Library("pyautoattack", "pyautoattack", ("pyautoattack",)),
}


def load(extra: str) -> None:
    """Import the library of an extra. This moves global generators, so it must not happen while they are seeded."""
    for part in LIBRARIES[extra].parts:
        import_module(part)


def check_installed(attack: str, extra: str | None) -> None:
    """Raise UserError unless the library of an attack is installed. It is not imported.

    Args:
        attack: name of the attack.
        extra: name of the optional dependencies that it needs, if any.
    """
    if extra is not None and find_spec(LIBRARIES[extra].module) is None:
        raise UserError(f"the attack {attack} needs {LIBRARIES[extra].title}: pip install 'infoplane[{extra}]'")
