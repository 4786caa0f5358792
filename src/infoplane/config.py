"""Settings of studies, as frozen, validated data that can be written to and read from JSON. Imports no torch."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import tyro
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

__all__ = [
    "AttackConfig",
    "BottleneckConfig",
    "CompressionConfig",
    "DataConfig",
    "DistortionConfig",
    "FlowConfig",
    "GeometryConfig",
    "LimitsConfig",
    "MeasurementConfig",
    "ModelConfig",
    "QuantisedConfig",
    "TrainingConfig",
]


def parse_fraction(text: str) -> float:
    """Return the number that "0.03", "8/255" or "2e-2" writes."""
    numerator, slash, denominator = text.partition("/")
    if slash and float(denominator) == 0:
        raise ValueError(f"{text} divides by zero")
    return float(numerator) / float(denominator) if slash else float(numerator)


ONE_CYCLE_PEAK = 0.4  # rise of a one-cycle schedule, as a share of all epochs

# Papers write pixel steps as fractions of 255, and rounding them would change the threat model.
Fraction = Annotated[
    float,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT|A/B",
        instance_from_str=lambda texts: parse_fraction(texts[0]),
        is_instance=lambda value: isinstance(value, int | float),
        str_from_instance=lambda value: [f"{value:g}"],
    ),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def _each_once(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"must name each {what} once, got {' '.join(names) or 'none'}")
    return names


class DataConfig(_Frozen):
    """Which images; without limits the whole dataset."""

    name: str = "digits"
    """Dataset, or the kind of your own data (see --data)."""
    folder: str | None = None
    """Where the data lies; by default the folder that INFOPLANE_DATA names, then the user's cache. Of npz the file, of
    function its path."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """Height and width in pixels that images are resized to; by default their own size."""
    train_examples: Annotated[int, Field(ge=1)] | None = None
    """Train on a stratified subset of this many images."""
    test_examples: Annotated[int, Field(ge=1)] | None = None
    """Test on a stratified subset of this many images."""
    seed: int = Field(0, ge=0)
    """Decides subsets, the digits' split, the measured examples and permutations: one for all training seeds."""


class ModelConfig(_Frozen):
    """Which network."""

    name: str = "lenet5"
    """Name of a network, or package.module:function that returns a torch module."""
    settings: tyro.conf.Suppress[dict[str, bool | int | float | str]] = {}
    """Settings that only this network has, by name; the network has defaults for those that are not there."""
    mean: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0,)
    """Subtracted from the pixels by the first layer: one number, or one per channel."""
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    """What the pixels are divided by after that: one number, or one per channel."""
    weights: Annotated[str | None, tyro.conf.arg(aliases=("--weights",), metavar="FILE.safetensors|FILE.pt")] = None
    """Weights of a network that was trained elsewhere, to measure with --epochs 0 and one of --methods, which says how
    it was trained."""


class TrainingConfig(_Frozen):
    """Optimiser and schedule; by default stochastic gradient descent with momentum, as in the study."""

    epochs: Annotated[int, tyro.conf.arg(aliases=("--epochs",))] = Field(200, ge=0)
    """Passes over the training images; 0 measures the random initial network only."""
    batch_size: int = Field(128, ge=1)
    """Images per step."""
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    """SGD with momentum, Adam or AdamW."""
    learning_rate: float = Field(0.1, gt=0)
    """Highest learning rate."""
    schedule: Literal["multi-step", "cosine", "one-cycle"] = "multi-step"
    """How the learning rate changes: at milestones, along a cosine to 0, or up for two fifths and down to 0."""
    warmup_epochs: float = Field(1.0, ge=0, le=10_000)
    """The learning rate and, in methods that attack, epsilon rise from 0 in a straight line over so many epochs; 0 is
    the study's own schedule. The learning rate of one-cycle rises by itself."""
    milestones: tuple[int, ...] = (20, 60)
    """Completed epochs (see milestones_in) after which multi-step multiplies the learning rate by gamma."""
    milestones_in: Literal["epochs", "batches"] = "epochs"
    """What the milestones count. In the study's earlier code it was batches, by mistake."""
    gamma: float = Field(0.5, gt=0)
    """Factor of the learning rate at each milestone."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD; b1 of Adam and AdamW, the share of the mean gradient that is kept."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty of SGD and Adam; AdamW's own decay."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Longest gradient of all weights together; longer ones are shortened to it."""
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Measure an exponential moving average of the weights, which keeps this share of itself at each update."""
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the training images that is held out to choose the best checkpoint."""
    stop: Annotated[Literal["accuracy", "robust-information"], tyro.conf.arg(aliases=("--stop",))] = "accuracy"
    """What is to be highest on held-out images, under attack if training is: the accuracy, or the information about the
    label that decoders trained on the original images find in the last hidden layer. By information, only epochs after
    the warm-up count whose network is more accurate there than a constant answer."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many epochs that count and in which that was no higher."""
    augment: bool = False
    """Random crop with padding 4 and horizontal flip, in training only."""

    @model_validator(mode="after")
    def _held_out_images_are_there(self) -> "TrainingConfig":
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError("patience needs held-out images; set validation_fraction above 0")
        if self.stop != "accuracy" and self.validation_fraction == 0:
            raise ValueError(f"stop = {self.stop} needs held-out images; set validation_fraction above 0")
        return self

    @property
    def first_drop(self) -> int | None:
        """Completed epochs at which the learning rate begins to fall; None: never, or milestones are batches."""
        match self.schedule:
            case "multi-step":
                in_epochs = self.gamma < 1 and self.milestones_in == "epochs"
                return min(self.milestones, default=None) if in_epochs else None
            case "cosine":
                return math.ceil(self.warmup_epochs)
            case "one-cycle":
                return math.ceil(ONE_CYCLE_PEAK * self.epochs)


class AttackConfig(_Frozen):
    """Settings of attacks, for training (PGD from a random start) and for measuring (--attacks)."""

    norm: Literal["linf", "l2"] = "linf"
    """The ball: by the largest change of a pixel, or by Euclidean distance."""
    epsilon: Fraction = Field(8 / 255, gt=0)
    """Radius of the ball, pixels in [0, 1]."""
    step_size: Fraction = Field(2 / 255, gt=0)
    """Step of each iteration, pixels in [0, 1]."""
    steps: int = Field(7, ge=1)
    """Iterations."""

    @model_validator(mode="after")
    def _reaches_the_boundary(self) -> "AttackConfig":
        if self.norm == "linf" and max(self.epsilon, self.step_size) > 1:
            raise ValueError("epsilon and step_size of the L-infinity ball are at most 1, the range of a pixel")
        if self.step_size * self.steps < self.epsilon * (1 - 1e-6):
            raise ValueError(
                f"steps = {self.steps} of step_size = {self.step_size:g} cannot reach epsilon = {self.epsilon:g}; "
                "raise steps or step_size"
            )
        return self


class MeasurementConfig(_Frozen):
    """What is measured at each epoch, on one stratified set of test images."""

    examples: Annotated[int, tyro.conf.arg(aliases=("--examples",))] = Field(5000, ge=2)
    """Test images that are measured, original and attacked; all where there are fewer."""
    examples_drawn: Literal["once", "each-epoch"] = "once"
    """How these images are chosen: one fixed set; or anew at each epoch, for the originals and for each attack, as in
    the study's earlier code. Then numbers of originals and of attacked images are about different images."""
    splits: tuple[Literal["test", "train"], ...] = ("test",)
    """Images that are measured: test images, which all findings rest on, and beside them as many training images. That
    takes twice the time."""
    inputs: int = Field(2000, ge=0, le=20_000)
    """I(X;T) needs no labels: at the last epoch it is also measured on so many original images (the measured, other
    test and training images), if these are more than the examples. 0 leaves it out."""
    layers: Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="(default: the model's own choice)")] = ()
    """Probed layers by module name."""
    noise_variance: float = Field(0.1, gt=0)
    """Variance of the Gaussian noise that KDE adds, in squared activation units."""
    noise_ratio: Annotated[float, Field(gt=0)] | None = None
    """Noise variance of the twin at relative noise, over the layer's mean variance per unit. By default the noise is
    1 / (2 (log N - 4)) of the layer's total variance: N examples then resolve I(X;T) of any layer. With fewer than 91
    examples it is the layer's total variance, and no layer is resolved."""
    noise_sweep: tuple[Annotated[float, Field(gt=0)], ...] = tuple(10 ** (half / 2) for half in range(-4, 9))
    """Such shares that the last epoch is measured at as well, from few to very many features worth of noise."""
    bin_width: float = Field(0.5, gt=0)
    """Width of a bin, in activation units."""
    permutations: int = Field(40, ge=0)
    """Permuted label sets behind the null of every I(T;Y)."""
    decoder_permutations: int = Field(5, ge=0)
    """Decoders are refitted to this many permuted label sets, at the last epoch."""
    decoders: tuple[Literal["linear", "best"], ...] = ("linear",)
    """Decoders of the label: linear ones, which findings rest on, and for each layer the best of several families, at
    some ten times the cost."""
    thorough_epochs: int = Field(12, ge=0)
    """Decoders and the Monte Carlo value between the KDE bounds, which cost more, are taken at about this many epochs:
    0, logarithmically spaced ones, and the last; or at the last alone."""
    budget: Annotated[float, Field(gt=0)] | None = None
    """Largest share of the time of training that measuring may take, say 0.25: fewer epochs are measured, evenly spaced
    by a short timing at the start. By default epochs are measured however long that takes."""

    @field_validator("splits")
    @classmethod
    def _has_test_images(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("examples_drawn") == "each-epoch" and names != ("test",):
            raise ValueError(f"must be test if examples_drawn is each-epoch, got {' '.join(names) or 'nothing'}")
        if "test" not in names:
            raise ValueError(f"must contain test, which findings rest on, got {' '.join(names) or 'nothing'}")
        return _each_once(names, "split")

    @field_validator("decoders")
    @classmethod
    def _has_linear_decoders(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "linear" not in names:
            raise ValueError(f"must contain linear, which findings rest on, got {' '.join(names) or 'nothing'}")
        return _each_once(names, "decoder")


class DistortionConfig(_Frozen):
    """Study two: accuracy and information of distorted examples (docs/method.md, section 6)."""

    distortions: tuple[str, ...] = ("saturation", "shuffling")
    """Which distortions."""
    levels: tyro.conf.Suppress[dict[str, tuple[Annotated[float, Field(allow_inf_nan=True)], ...]]] = {}
    """Levels by the name of the distortion; others have levels of their own. The level that changes nothing is always
    measured."""

    @field_validator("distortions")
    @classmethod
    def _names_each_distortion_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once(names, "distortion")


def training_name(method: str) -> str:
    """Return the name of a training in the records: its method, or the user's function without its module."""
    return method.rpartition(":")[2]


class FlowConfig(_Frozen):
    """Study one: information flow during training (docs/method.md, section 5)."""

    recipe: tyro.conf.Suppress[str] = "digits-lenet5"
    """Name of the recipe these settings started from."""
    seed: int = Field(0, ge=0)
    """Decides initial weights, batch order, augmentation and the attacks' random starts."""
    seeds: int = Field(1, ge=1)
    """Train with this many seeds, counted up from the first; a run that is continued may be given more."""
    methods: tuple[str, ...] = ("normal", "adversarial")
    """Trainings to compare, from the same weights, by the names of their methods (training/catalogue.py); of the user's
    own as package.module:function."""
    attacks: Annotated[
        tuple[str, ...], tyro.conf.arg(aliases=("--attack",), metavar="[NAME|PACKAGE.MODULE:FUNCTION ...]")
    ] = ("pgd",)
    """Attacks whose examples are measured beside the original ones. Without a name, the original ones alone are."""
    measure_every: int = Field(1, ge=1)
    """Measure epoch 0, every so many epochs, and the last."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    attack: AttackConfig = AttackConfig()
    method: Mapping[str, bool | int | float | str] = {}
    """Settings of single methods by their whole names, e.g. `trades_beta`; those not named have their defaults."""
    measurement: MeasurementConfig = MeasurementConfig()

    @field_validator("methods")
    @classmethod
    def _names_each_method_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in _each_once(names, "training"):
            if not re.fullmatch(r"([\w.]+:)?[\w-]+(\+[\w-]+)?", name):  # it becomes part of the names of files
                raise ValueError(f"must be names of methods or package.module:function, got {name!r}")
        recorded = list(map(training_name, names))
        if twice := [name for name in recorded if recorded.count(name) > 1]:
            raise ValueError(f"would record two trainings as {twice[0]}; give the functions different names")
        return names

    @property
    def trainings(self) -> list[str]:
        """Names of the trainings in the records, in the order of `methods`."""
        return [training_name(method) for method in self.methods]

    def of_each_seed(self) -> "list[FlowConfig]":
        """Return the settings of each training seed, each as for a run of that seed alone."""
        return [self.model_copy(update={"seed": self.seed + step, "seeds": 1}) for step in range(self.seeds)]

    def measured_epochs(self) -> list[int]:
        """Completed epochs at which the networks are measured, ascending."""
        return sorted({*range(0, self.training.epochs, self.measure_every), self.training.epochs})

    def thorough_epochs(self) -> list[int]:
        """Return the measured epochs at which the more expensive estimators are used too, ascending."""
        measured, number, last = self.measured_epochs(), self.measurement.thorough_epochs, self.training.epochs
        if len(measured) <= number:
            return measured
        if number <= 1:
            return [last] * number
        first = measured[1]
        spaced = [last * (first / last) ** (step / max(1, number - 2)) for step in range(number - 1)]
        return sorted({0, *(min(measured[1:], key=lambda epoch: abs(epoch - goal)) for goal in spaced)})


class GeometryConfig(_Frozen):
    """Study three, first half: estimates for clouds of points of known geometry (docs/method.md, section 7)."""

    seed: int = Field(0, ge=0)
    """Decides the draws of all clouds and of the estimators."""
    points: int = Field(1000, ge=100)
    """Samples of a cloud; the sweep of their number goes from a sixteenth to twice as many."""
    replicates: int = Field(5, ge=2)
    """Independent draws of every cloud, from which intervals come."""
    classes: int = Field(4, ge=2, le=16)
    """Clusters of a cloud, each a class."""
    noise_variance: float = Field(0.1, gt=0)
    """Variance of the noise of the KDE and Monte Carlo estimators, where it is not swept itself."""
    bin_width: float = Field(0.5, gt=0)
    """Width of a bin, where it is not swept itself."""
    permutations: int = Field(20, ge=1)
    """Permuted label sets behind the nulls of I(T;Y)."""


class LimitsConfig(_Frozen):
    """Study three, second half: why estimates of I(X;T) need noise (docs/method.md, section 7)."""

    seed: int = Field(0, ge=0)
    """Decides the draws of the layers and of the estimators."""
    points: int = Field(1000, ge=100)
    """Samples of a layer, whose logarithm is what the estimates stop at."""
    replicates: int = Field(5, ge=2)
    """Independent draws of every layer, from which intervals come."""


class BottleneckConfig(_Frozen):
    """Networks trained for an information bottleneck, attacked honestly (docs/results/bottleneck.md)."""

    method: Literal["vib", "nib", "ceb", "hbar"] = "vib"
    """Training method; see infoplane flow --help."""
    values: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
    """Weights of the method's penalty: beta of vib and nib, e^-rho of ceb, the weight of the image in hbar (that of the
    label is 50 times as large). 0 trains the same network normally; the others are compared with it."""
    seed: int = Field(0, ge=0)
    """Decides initial weights and the order of the batches, as in infoplane flow."""
    seeds: int = Field(3, ge=1)
    """Train with this many seeds, counted up from the first."""
    network: str | None = None
    """Name of a network, by default the method's own: mlp-vib, mlp-nib, mlp-ceb or mlp."""
    settings: tyro.conf.Suppress[dict[str, bool | int | float | str]] = {}
    """Settings that only this network has, by name."""
    epsilons: Annotated[tuple[Annotated[Fraction, Field(gt=0, le=1)], ...], Field(min_length=1)] = (0.1, 0.2)
    """Radii of the L-infinity balls of the attacks, pixels in [0, 1]."""
    attacked: int = Field(300, ge=2)
    """Test images that are attacked, a stratified choice."""
    queries: int = Field(1000, ge=2)
    """Queries of Square, for each image; 5,000 in AutoAttack."""
    examples: int = Field(1000, ge=20)
    """Test images on which information is measured."""
    data: DataConfig = DataConfig(name="mnist", train_examples=10_000)
    training: TrainingConfig = TrainingConfig(
        epochs=20, batch_size=100, optimiser="adamw", learning_rate=1e-3, schedule="cosine", warmup_epochs=0
    )

    @field_validator("values", "epsilons")
    @classmethod
    def _names_each_number_once(cls, numbers: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"must name each number once, got {' '.join(f'{number:g}' for number in numbers)}")
        return tuple(sorted(numbers))

    @field_validator("values")
    @classmethod
    def _can_be_compared(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if 0 not in values:
            raise ValueError("must contain 0, with which the others are compared")
        return values


class _TwelveBitsConfig(_Frozen):
    """Networks 12-10-7-5-4-3-2 on the 12-bit task, trained with Adam on 85 % of all inputs."""

    seed: int = Field(0, ge=0)
    """First seed of initial weights and batch order."""
    seeds: int = Field(5, ge=2)
    """Networks of each kind, with seeds counted up from the first; a run that is continued may be given more."""
    epochs: int = Field(1000, ge=1)
    """Passes over the 3,482 training inputs."""
    learning_rate: float = Field(0.002, gt=0)
    """Learning rate of Adam."""
    batch_size: int = Field(256, ge=1)
    """Inputs per step."""
    measured_epochs: int = Field(8, ge=3)
    """Measure at about this many epochs: 0, logarithmically spaced ones, and the last."""
    bins: tuple[Annotated[int, Field(ge=2)], ...] = (30, 100, 256)
    """Numbers of equal bins; claims about binning rest on the first."""
    noise_variance: float = Field(0.001, gt=0)
    """Variance of the Gaussian noise at fixed noise, in squared activation units."""

    @field_validator("bins", "bits", check_fields=False)
    @classmethod
    def _names_each_number_once(cls, numbers: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if not numbers or len(set(numbers)) < len(numbers):
            got = " ".join(map(str, numbers)) or "none"
            raise ValueError(f"must name each number of {info.field_name} once, got {got}")
        return numbers

    def epochs_to_measure(self) -> list[int]:
        """Completed epochs at which the networks are measured, ascending."""
        steps = self.measured_epochs - 2
        return sorted({0, *(round(self.epochs ** (step / steps)) for step in range(steps + 1))})


class CompressionConfig(_TwelveBitsConfig):
    """Compression by binning and at noise, tanh against ReLU (docs/compression.md)."""

    noise_ratio: float = Field(0.01, gt=0)
    """Noise variance at relative noise, over the layer's mean variance per unit."""


class QuantisedConfig(_TwelveBitsConfig):
    """The exact information plane of quantised networks, beside binning and KDE (docs/compression.md)."""

    bits: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (8,)
    """Bits of an activation; claims rest on the first."""


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one flat dict, with names like "training.epochs"."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
