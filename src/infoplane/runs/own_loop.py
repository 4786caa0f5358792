"""Runs that `InformationPlane.save` writes: what is known of a user's own training loop, and the measured images.

The file `config.json` of such a run says what was measured: data, networks, attacks and settings. It says nothing about
how the networks were trained, which nobody told. Their code is not kept either.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from infoplane.config import AttackConfig, MeasurementConfig, ModelConfig
from infoplane.errors import UserError, broken_rule
from infoplane.runs.folder import RunFolder
from infoplane.runs.tensor_file import packed, unpacked

OWN: Literal["own"] = "own"  # value of the setting "loop"
IMAGES_FILE = "images.safetensors"  # the measured images and labels
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LoopData(_Part):
    """The measured images. Checksums are those of float32 pixels in [0, 1] and of int64 labels."""

    name: str
    folder: str | None = None  # where they were read, if infoplane read them
    settings: dict[str, Any] = {}  # how they were read, likewise
    examples: Annotated[int, Field(ge=1)]
    class_counts: tuple[Count, ...]  # examples of each class, from 0 to the largest label
    image_shape: tuple[int, int, int]  # channels, height, width
    classes: Annotated[int, Field(ge=1)]  # number of logits of the networks
    class_names: tuple[str, ...] = ()  # empty if the user did not give them
    images_sha256: str
    labels_sha256: str
    further_inputs: Count = 0  # images without labels; they are not kept


class LoopAttack(_Part):
    """An attack whose examples were measured."""

    examples: str  # name of its examples in the records
    described: str  # as Python shows it
    name: str | None = None  # after which `--attacks` makes the same attack again, if there is such a name


class LoopNetwork(_Part):
    """A network of one training and seed."""

    seed: Count
    training: str
    model: str  # class
    parameters: Count
    layers: tuple[str, ...]


class LoopSettings(_Part):
    """Settings in the `config.json` of a run of a user's own training loop."""

    recipe: str  # title of the run: the field in which other runs have the name of their recipe
    loop: Literal["own"] = OWN
    examples_seed: int
    data: LoopData
    model: dict[Literal["name"], str]  # classes of the networks, for titles
    networks: tuple[LoopNetwork, ...]
    attacks: tuple[LoopAttack, ...]
    attack: AttackConfig | None = None  # with which the named ones among `attacks` are made again
    measurement: MeasurementConfig
    builder: ModelConfig | None = None  # builds the networks, if infoplane built them
    checkpoints: dict[str, str] = {}  # sha256 of files of weights by seed, training, epoch and name, if they were read

    @property
    def trained(self) -> list[tuple[int, str]]:
        """(seed, training) of all networks."""
        return [(one.seed, one.training) for one in self.networks]

    def network(self, seed: int, training: str) -> LoopNetwork:
        """Return the facts about one of the networks."""
        return next(one for one in self.networks if (one.seed, one.training) == (seed, training))


class MeasuredImages(NamedTuple):
    """The images of such a run.

    Attributes:
        images: `(n, channels, height, width)`, uint8, or float32 in [0, 1] where bytes would round them.
        labels: `(n,)` int64.
    """

    images: Tensor
    labels: Tensor


def is_own_loop(config: Mapping[str, Any]) -> bool:
    """Return whether a run's `config.json` describes a user's own training loop."""
    settings = config.get("settings")
    return isinstance(settings, Mapping) and settings.get("loop") == OWN


def loop_settings(run: RunFolder) -> LoopSettings | None:
    """Return the settings of a run of a user's own training loop; None for other runs.

    Raises:
        UserError: the folder holds no run, or its settings are damaged.
    """
    config = run.read_config()
    if not is_own_loop(config):
        return None
    try:
        return LoopSettings.model_validate(config["settings"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise UserError(
            f"{run.config_path} does not hold the settings of InformationPlane.save ({where} {broken_rule(first)}); "
            "restore it, or save the plane into another folder"
        ) from None


def write_images(run: RunFolder, measured: MeasuredImages) -> None:
    """Keep the measured images in the folder of the run."""
    tensors = {"images": measured.images, "labels": measured.labels}
    run.write_file(run.path / IMAGES_FILE, packed(tensors, {}))


def read_images(run: RunFolder) -> MeasuredImages:
    """Return what `write_images` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = run.path / IMAGES_FILE
    try:
        content = run.read_file(path, "save the plane into another folder")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it, or save the plane again") from None
    try:
        tensors, _ = unpacked(content)
        return MeasuredImages(tensors["images"], tensors["labels"])
    except Exception as error:  # noqa: BLE001 - safetensors raises its own and plain exceptions alike
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not what infoplane writes ({reason}); save the plane again") from None
