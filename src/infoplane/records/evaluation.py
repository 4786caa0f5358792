"""Content of `evaluation.json`: accuracy of networks under attacks, with intervals and alarms."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

EVALUATION = "evaluation"  # name of the study, and of its folder in that of a run
EVALUATION_FILE, EVALUATION_TABLE = "evaluation.json", "evaluation.parquet"
CLEAN = "clean"  # name of the row without an attack
DRAWS = 20  # over which gradients and predictions of networks with random parts are averaged
# Ways in which a network is used. One without random parts has one way, which needs no name.
ONE_PATH, MEAN_PATH, AVERAGED_DRAWS = "", "mean path", f"{DRAWS} draws"

# What the attacker sees: see `attacks.AttackSpec`. "ensemble" attacks use both gradients and answers alone. Examples of
# "mean path" were made on the mean path of a network that is used through several draws.
Threat = Literal["none", "white-box", "black-box", "transfer", "ensemble", "mean path"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackedImage:
    """One image under one attack on one network: a row of `evaluation.parquet`."""

    network: str  # seed, training and checkpoint
    path: str  # "mean path" or "20 draws" of a network with random parts; empty for others
    attack: str  # name of the attack; "clean" without one
    index: int  # of the image among all test images
    label: int  # its class
    predicted: int  # the class that the network predicts under the attack
    fooled: bool  # whether the attack made the network misclassify it, wherever the result lies
    robust: bool  # whether it is classified correctly before the attack, and after it or outside the ball
    linf: float  # largest change of a pixel
    l2: float  # Euclidean length of the change


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Accuracy(_Record):
    """Share of images that are classified correctly, with its 95 % interval (Wilson)."""

    accuracy: float
    low: float
    high: float


class AttackedAccuracy(Accuracy):
    """Accuracy under one attack: images that are classified correctly before it, and after it or outside the ball."""

    path: str = ONE_PATH
    """How the network was used: `MEAN_PATH` or `AVERAGED_DRAWS` of one with random parts."""
    attack: str
    description: str
    threat: Threat
    attacked: int
    """Images that the attack was run on: those that the network classifies correctly."""
    fooled: int
    """Attacked images that are classified wrongly, wherever they lie."""
    outside: int
    """Those of them that lie outside the ball and so do not count."""
    median_l2: float | None
    """Of the fooled images; None if there are none."""
    median_linf: float | None
    """Likewise."""
    seconds: float
    forward: float
    """Forward passes per attacked image, with or without a gradient."""
    gradient: float
    """Gradients per attacked image."""
    complaints: dict[str, int]
    """What the attack warned of, with the number of images concerned."""


class CurvePoint(Accuracy):
    """Accuracy at one epsilon."""

    path: str = ONE_PATH
    """As in `AttackedAccuracy`."""
    epsilon: float


class Alarm(_Record):
    """A sign that robustness is overstated: one sentence, and its numbers."""

    name: str
    text: str
    numbers: dict[str, float]


class NetworkEvaluation(_Record):
    """Evaluation of one network."""

    name: str
    """In words, e.g. "adversarial training, seed 0, last checkpoint"."""
    seed: int | None
    training: str | None
    checkpoint: str
    """"last", "best" or "file"."""
    epoch: int | None
    weights_sha256: str
    """Of the names, shapes and values of all weights and buffers."""
    attacks: list[AttackedAccuracy]
    worst_case: Accuracy
    """Share of images that are classified correctly under every attack, on every path."""
    worst_of_paths: dict[str, Accuracy] = {}
    """The same for each path, if there are several."""
    curve: list[CurvePoint]
    alarms: list[Alarm]
    notes: list[str]

    @property
    def paths(self) -> list[str]:
        """The ways in which the network was used, in the order of the rows."""
        return list(dict.fromkeys(row.path for row in self.attacks))


class Evaluation(_Record):
    """Content of `evaluation.json`."""

    subject: str
    suite: str
    norm: Literal["linf", "l2"]
    epsilon: float
    examples: int
    weights_file: str | None
    weights_file_sha256: str | None
    interval: str
    curve_attack: str
    left_out: list[str]
    """Attacks of the suite that were not run, and why."""
    networks: list[NetworkEvaluation]
