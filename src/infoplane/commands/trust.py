"""Code that a run's folder names: it is imported only if the user says so."""

from typing import TYPE_CHECKING

from infoplane.data.catalogue import dataset_named
from infoplane.errors import UserError

if TYPE_CHECKING:
    from infoplane.config import FlowConfig
    from infoplane.runs import RunFolder

TRUST = "--trust-run-code"


def check_code_is_trusted(
    config: "FlowConfig", run: "RunFolder", *, model: str | None, data: str | None, trusted: bool
) -> None:
    """Refuse to import a function that only the run's `config.json` names: the folder may be somebody else's.

    Args:
        config: that the command is about to use.
        run: whose settings these are.
        model: that the user gave with this command, if any.
        data: likewise.
        trusted: whether the user allows what the folder names.

    Raises:
        UserError: a function was not typed, or is another one.
    """
    named = [("model", config.model.name, model)] if ":" in config.model.name else []
    own = dataset_named(config.data.name).own
    if own is not None and own.is_code:
        named.append(("data", str(config.data.folder), data))
    for what, name, typed in named:
        if trusted or name == typed:
            continue
        if typed is not None and ":" in typed:
            raise UserError(f"{run.path} was made with the {what} {name!r}, not with {typed!r}; type --{what} {name}")
        raise UserError(
            f"{run.path} names the function {name!r} as its {what}, and this command would import that code; if you "
            f"trust it, add --{what} {name} (or {TRUST})"
        )
