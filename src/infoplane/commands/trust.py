"""Code that a run's folder names: it is imported only if the user says so."""

from typing import TYPE_CHECKING

from infoplane.errors import UserError

if TYPE_CHECKING:
    from infoplane.config import FlowConfig
    from infoplane.runs import RunFolder

TRUST = "--trust-run-code"


def check_code_is_trusted(config: "FlowConfig", run: "RunFolder", typed: str | None, *, trusted: bool) -> None:
    """Refuse to import a model function that only the run's `config.json` names: the folder may be somebody else's.

    Args:
        config: that the command is about to use.
        run: whose settings these are.
        typed: the model that the user gave with this command, if any.
        trusted: whether the user allows what the folder names.

    Raises:
        UserError: the function was not typed, or is another one.
    """
    name = config.model.name
    if ":" not in name or trusted or name == typed:
        return
    if typed is not None and ":" in typed:
        raise UserError(f"{run.path} holds networks of the model {name!r}, but --model names {typed!r}; type that one")
    raise UserError(
        f"{run.path} names the function {name!r} as its model, and this command would import that code; if you trust "
        f"it, add --model {name} (or {TRUST})"
    )
