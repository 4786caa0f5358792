"""Claims that are fixed before a run: what a file of claims may say, and the hash by which it is known.

A claim that is chosen after the numbers are seen proves little. So claims, statistics, thresholds and seeds are written
down first, hashed, and put into the empty folder of the run. `findings.registered` judges them when the run is there.

Source: Nosek et al. (2018), PNAS 115(11), 2600 (preregistration).
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from infoplane.config import FlowConfig, flat_settings, parse_fraction
from infoplane.errors import UserError, broken_rule, unknown_name
from infoplane.findings.accuracies import ACCURACY
from infoplane.findings.claims import CLAIMS
from infoplane.records.tables import (
    BINNING,
    DECODED,
    DECODED_BEST,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    NOISY,
    ORIGINAL,
    RELATIVE_NOISE,
)

_ESTIMATORS = (DECODED, DECODED_BEST, DECODED_TRANSFER, NOISY, KDE_BD, KDE_KL, BINNING)
_ADD_NOISE = (NOISY, KDE_BD, KDE_KL)
_MOST_SEEDS = 1000


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Place(_Written):
    """Which number of the records: of one training, one kind of examples and, for information, one layer."""

    training: str
    examples: str = ORIGINAL
    layer: str | None = None  # None for accuracy
    distortion: str | None = None
    level: float | None = None  # of the distortion

    def __str__(self) -> str:
        distorted = f", {self.distortion} {self.level:g}" if self.distortion and self.level is not None else ""
        layer = f" in {self.layer}" if self.layer else ""
        return f"{self.training} training, {self.examples} examples{distorted}{layer}"


class OwnClaim(_Written):
    """A number, or a difference of two numbers, that is to lie above or below a threshold."""

    name: str = Field(min_length=1)
    quantity: Literal["I(X;T)", "I(T;Y)", "accuracy"]
    estimator: str | None = None
    noise: Literal["relative", "fixed", "own"] | None = None
    of: Place
    less: Place | None = None
    above: float | None = None  # in nats; of accuracy, a share
    below: float | None = None
    epoch: int | None = Field(None, ge=0)  # None: the last one

    @model_validator(mode="before")
    @classmethod
    def _with_noise(cls, given: Any) -> Any:
        """Write out the default noise, so that the hash covers it."""
        if isinstance(given, dict) and given.get("estimator") in _ADD_NOISE and given.get("noise") is None:
            return {**given, "noise": RELATIVE_NOISE}
        return given

    @field_validator("estimator")
    @classmethod
    def _is_estimator(cls, name: str | None) -> str | None:
        if name not in (None, *_ESTIMATORS):
            raise ValueError(f"must be one of {', '.join(_ESTIMATORS)}, got {name!r}")
        return name

    @model_validator(mode="after")
    def _is_complete(self) -> "OwnClaim":
        if (self.above is None) == (self.below is None):
            raise ValueError("needs either `above` or `below`, a number")
        places = [self.of] if self.less is None else [self.of, self.less]
        for place in places:
            if (place.distortion is None) != (place.level is None):
                raise ValueError("a distortion needs its `level`, and a level its `distortion`")
        if self.quantity == ACCURACY:
            if self.estimator or self.noise or any(place.layer for place in places):
                raise ValueError("accuracy has no estimator, no noise and no layer")
            border = self.above if self.above is not None else self.below
            if border is not None and not -1 <= border <= 1:
                raise ValueError(f"accuracy is a share, so its threshold lies between -1 and 1, got {border:g}")
            return self
        if any(place.layer is None for place in places):
            raise ValueError(f"{self.quantity} needs a `layer` in `of` and `less`")
        if self.estimator is None:
            raise ValueError(f"{self.quantity} needs an `estimator`")
        decoders = (DECODED, DECODED_BEST, DECODED_TRANSFER)
        if self.quantity == INPUT_INFORMATION and self.estimator in decoders:
            raise ValueError(f"decoders estimate {LABEL_INFORMATION} alone, not {INPUT_INFORMATION}")
        if self.noise and self.estimator in (*decoders, BINNING):
            raise ValueError(f"{self.estimator} adds no noise")
        return self

    @property
    def statistic(self) -> str:
        """The statistic in words."""
        by = f" by {self.estimator}" if self.estimator else ""
        by += f" at {self.noise} noise" if self.noise else ""
        less = f", minus that of {self.less}" if self.less else ""
        return f"{self.quantity}{by} of {self.of}{less}"

    @property
    def expected(self) -> str:
        """The threshold in words."""
        unit = "" if self.quantity == ACCURACY else " nats"
        return f"above {self.above:g}{unit}" if self.above is not None else f"below {self.below:g}{unit}"


class StudyClaim(_Written):
    """A claim of the study, whose rules are fixed, with the verdict that is expected."""

    claim: str
    expect: Literal["supported", "contradicted"]

    @field_validator("claim")
    @classmethod
    def _is_known(cls, number: str) -> str:
        known = [one.number for one in CLAIMS]
        if number not in known:
            raise ValueError(f"must be one of {', '.join(known)}, got {number!r}")
        return number


class Claims(_Written):
    """What a file of claims says."""

    title: str = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(min_length=1, max_length=_MOST_SEEDS)
    settings: dict[str, Any] = {}  # that the run must have, by names with dots as in `config.json`
    study: tuple[StudyClaim, ...] = ()
    claims: tuple[OwnClaim, ...] = ()

    @field_validator("settings", mode="before")
    @classmethod
    def _by_names_with_dots(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        names = list(_leaves(given))
        if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"names the setting {repeated[0]!r} twice")
        flat = flat_settings(given)
        for name, value in flat.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")
        return flat

    @model_validator(mode="after")
    def _claims_something(self) -> "Claims":
        if not (self.study or self.claims):
            raise ValueError("claims nothing: add a table [[study]] or [[claims]]")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("names a seed twice in `seeds`")
        names = [one.name for one in self.claims]
        if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"has two claims with the name {repeated[0]!r}")
        numbers = [one.claim for one in self.study]
        if repeated := [number for number in dict.fromkeys(numbers) if numbers.count(number) > 1]:
            raise ValueError(f"has two expectations for claim {repeated[0]} of the study")
        return self


class Registration(_Written):
    """Claims as they were registered.

    Attributes:
        claims: what the file said.
        rules: sha256 of the code that judges them.
        infoplane: version.
        registered_at: date and time with the zone.
    """

    claims: Claims
    rules: str
    infoplane: str
    registered_at: str

    @property
    def sha256(self) -> str:
        """Hash of the claims and of the code that judges them; the date does not change it."""
        fixed = {"claims": self.claims.model_dump(mode="json"), "rules": self.rules}
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def read_claims(path: Path) -> Claims:
    """Return the claims in a TOML file.

    Raises:
        UserError: there is no such file, it is not TOML, or a claim in it is incomplete.
    """
    try:
        with path.open("rb") as file:
            written: Mapping[str, Any] = tomllib.load(file)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a TOML file with claims") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML ({error}); correct it") from None
    try:
        claims = Claims.model_validate(written)
    except ValidationError as error:
        refusal = error.errors()[0]
        where = _place(refusal["loc"])
        raise UserError(f"{path}: {where}{broken_rule(refusal)}; see docs/register.md") from None
    try:
        return claims.model_copy(update={"settings": checked_settings(claims.settings)})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def registration_from(content: Mapping[str, Any], place: object) -> Registration:
    """Return the registration in the content of a file.

    Raises:
        UserError: another version wrote it.
    """
    try:
        return Registration.model_validate(content)
    except ValidationError as error:
        refusal = error.errors()[0]
        where = ".".join(map(str, refusal["loc"]))
        raise UserError(
            f"{place}: its registered claims are of another version of infoplane ({where} {broken_rule(refusal)}); "
            "judge them with the version that wrote them"
        ) from None


def _place(path: tuple[int | str, ...]) -> str:
    """Name the part of the file: "claims 2, of.layer "."""
    if not path:
        return ""
    if len(path) > 1 and isinstance(path[1], int):
        inner = ".".join(map(str, path[2:]))
        return f"{path[0]} {path[1] + 1}" + (f", {inner} " if inner else " ")
    return ".".join(map(str, path)) + " "


def _leaves(given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def checked_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of study one as `config.json` has them, e.g. 0.5 for "1/2".

    Settings that only one network or one method has are not checked: these may be the user's own.

    Args:
        settings: by names with dots.

    Raises:
        UserError: there is no setting of that name, or it cannot have that value.
    """
    known = list(flat_settings(FlowConfig().model_dump(mode="json")))
    checked = {}
    for name, value in settings.items():
        if name.startswith(("method.", "model.settings.")):
            checked[name] = value
        elif name not in known:
            raise unknown_name("setting", name, known)
        else:
            checked[name] = _checked_setting(name, value)
    return checked


def _checked_setting(name: str, value: Any) -> Any:
    model: type[BaseModel] = FlowConfig
    *groups, last = name.split(".")
    for group in groups:
        inner = model.model_fields[group].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return value
        model = inner
    field = model.model_fields[last]
    annotated: Any = Annotated[field.annotation, "a setting", *field.metadata]  # which needs one thing besides the type
    kind: TypeAdapter[Any] = TypeAdapter(annotated)
    try:
        if isinstance(value, str) and "/" in value and field.annotation is float:
            value = parse_fraction(value)
        return kind.dump_python(kind.validate_python(value), mode="json")
    except ValidationError as error:
        raise UserError(f"settings: {name} {broken_rule(error.errors()[0])}; see docs/register.md") from None
    except ValueError as error:
        raise UserError(f"settings: {name}: {error}; see docs/register.md") from None


def claim_text(number: str) -> str:
    """Return a claim of the study as a sentence."""
    return next(one.text for one in CLAIMS if one.number == number)
