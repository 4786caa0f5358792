"""Code that a run's folder names: it is imported only if the user says so."""

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
    """Refuse to import a function that only the run's `config.json` names: the folder may be somebody else's.

    Args:
        config: that the command is about to use.
        run: whose settings these are.
        model: that the user gave with this command, if any.
        data: likewise.
        methods: likewise, all of them; None of a command that trains nothing and so imports none.
        attacks: likewise, all of them.
        trusted: whether the user allows what the folder names.

    Raises:
        UserError: a function was not typed, or is another one.
    """
    named = [("model", config.model.name, model)] if ":" in config.model.name else []
    data_kind = dataset_named(config.data.name).own
    if data_kind is not None and data_kind.is_code:
        named.append(("data", str(config.data.folder), data))
    if methods is not None:
        own = [(name, name.partition("+")[0]) for name in config.methods if ":" in name]
        named += [("methods", path, path if name in methods else None) for name, path in own]
    named += [("attack", name, name if name in attacks else None) for name in config.attacks if ":" in name]
    for what, name, typed in named:
        if trusted or name == typed:
            continue
        if typed is not None and ":" in typed:
            raise UserError(f"{run.path} was made with the {what} {name!r}, not with {typed!r}; type --{what} {name}")
        kind = "training method" if what == "methods" else what
        whole = {"methods": " ".join(config.methods), "attack": " ".join(config.attacks)}.get(what, name)
        raise UserError(
            f"{run.path} names the function {name!r} as its {kind}, and this command would import that code; if you "
            f"trust it, add --{what} {whole} (or {TRUST})"
        )
