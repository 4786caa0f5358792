"""Content of a run's `config.json`: the study, its settings, and the environment of the run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infoplane.errors import UserError, broken_rule
from infoplane.records.tables import SCHEMA_VERSION

_MOST_THREADS = 1024  # torch starts any number of threads that it is given, also more than the system can
Names = list[str]


class _Kept(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Choices(_Kept):
    """The fields of `acceleration.Choices` in `config.json`."""

    model_config = ConfigDict(extra="forbid")

    precision: Literal["32", "bf16"]
    traced: bool = False
    rowwise: Names = []
    rowwise_pooled: Names = []
    cuda_graphs: bool = False


class _Environment(_Kept):
    """Fields that may be missing have a default, which nothing reads. A value in the file must not be null."""

    infoplane: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Annotated[int, Field(ge=1, le=_MOST_THREADS)] = 1
    processes: Annotated[int, Field(ge=1)] = 1
    keep_checkpoints: bool = False
    training: _Choices = _Choices(precision="32")
    methods: dict[str, list[float]] = {}
    attacks: dict[str, list[float]] = {}


class _Config(_Kept):
    study: str
    settings: dict[str, Any]
    environment: _Environment


def config_content(study: str, settings: Mapping[str, Any], environment: Mapping[str, Any]) -> bytes:
    """Return the content of `config.json`."""
    config = {"schema": SCHEMA_VERSION, "study": study, "settings": settings, "environment": environment}
    return (json.dumps(config, indent=2) + "\n").encode()


def config_of(content: bytes, path: Path) -> dict[str, Any]:
    """Return {"schema", "study", "settings", "environment"} from the content of `config.json`.

    Raises:
        UserError: another version of infoplane wrote it, or infoplane did not write it.
    """
    try:
        config: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it or start a new run") from None
    check_version(config, path)
    try:
        _Config.model_validate(config)
    except ValidationError as error:
        refusal = error.errors()[0]
        where = ".".join(map(str, refusal["loc"])) or "all of it"
        raise UserError(f"{path} is damaged ({where} {broken_rule(refusal)}); restore it or start a new run") from None
    return config


def check_version(config: Any, path: Path) -> None:
    """Raise UserError if the records of a run have another schema than this version.

    Raises:
        UserError: the schema differs; the message names the version that wrote the run, and what to do.
    """
    if not isinstance(config, dict) or config.get("schema") == SCHEMA_VERSION:
        return
    environment = config.get("environment")
    writer = environment.get("infoplane") if isinstance(environment, dict) else None
    found = f"schema {config['schema']!r:.20}" if "schema" in config else "no schema"
    raise UserError(
        f"{path} was written by {f'infoplane {writer:.20}' if isinstance(writer, str) else 'another version'} with "
        f"{found}, and this version reads schema {SCHEMA_VERSION}: use the version that wrote it, or begin anew in "
        "another folder"
    )
