"""Ask before importing code that a run's folder names: the user must allow it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from infoplane.data.catalogue import dataset_named
from infoplane.errors import UserError

if TYPE_CHECKING:
    from infoplane.config import FlowConfig
    from infoplane.runs.folder import RunFolder

TRUST = "--trust-run-code"


def check_code_is_trusted(
    config: "FlowConfig",
    run: "RunFolder",
    *,
    model: str | None,
    data: str | None,
    methods: Sequence[str] | None = None,
    attacks: Sequence[str],
    trusted: bool,
) -> None:
    """Refuse to import a function that only the run's `config.json` names: the folder may come from somebody else.

    Args:
        config: settings that the command is about to use.
        run: the run that the settings come from.
        model: model that the user typed, if any.
        data: data that the user typed, if any.
        methods: all methods that the user typed; None if the command trains nothing and so imports no method.
        attacks: all attacks that the user typed.
        trusted: whether the user allows importing all functions that the folder names.

    Raises:
        UserError: a function was not typed, or the run has another one.
    """
    named = [("model", config.model.name, model)] if ":" in config.model.name else []
    data_kind = dataset_named(config.data.name).own
    if data_kind is not None and data_kind.is_code:
        named.append(("data", str(config.data.folder), data))
    if methods is not None:
        own = [(name, name.partition("+")[0]) for name in config.methods if ":" in name]
        named += [("methods", path, path if name in methods else None) for name, path in own]
    named += [("attacks", name, name if name in attacks else None) for name in config.attacks if ":" in name]
    for what, name, typed in named:
        if trusted or name == typed:
            continue
        if typed is not None and ":" in typed:
            raise UserError(f"{run.path} was made with the {what} {name!r}, not with {typed!r}; type --{what} {name}")
        kind = {"methods": "training method", "attacks": "attack"}.get(what, what)
        whole = {"methods": " ".join(config.methods), "attacks": " ".join(config.attacks)}.get(what, name)
        raise UserError(
            f"{run.path} names the function {name!r} as its {kind}, and this command would import that code; if you "
            f"trust it, add --{what} {whole} (or {TRUST})"
        )
