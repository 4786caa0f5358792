"""`infoplane bottleneck`: networks trained for an information bottleneck, attacked honestly.

For each weight of the penalty and each seed: train (study one, in a run folder of its own), attack the network on its
mean path and through averaged draws, and measure the information in its stochastic layer. Every network is attacked on
the same images. One that ended at chance is listed as such and left out. Finished trainings and attacks are used again,
so the same command continues, and one with more values or seeds adds to the folder.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import polars as pl
from torch import nn

from infoplane.attacks.contract import Ball
from infoplane.config import AttackConfig, BottleneckConfig, FlowConfig, MeasurementConfig, ModelConfig
from infoplane.data import ImageSet, stratified_indices
from infoplane.errors import UserError
from infoplane.estimators.estimate import Estimate
from infoplane.measuring.code_information import code_information, code_layer
from infoplane.models.catalogue import model_named
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.randomness import seeded_generator
from infoplane.records.bottleneck import (
    ACCURACY,
    ALL_PATHS,
    AT_CHANCE,
    BOTTLENECK_IMAGE_SCHEMA,
    BOTTLENECK_SCHEMA,
    RATE_OF_CODE,
    WORST_CASE,
    BottleneckNumber,
)
from infoplane.records.evaluation import Accuracy, Evaluation, NetworkEvaluation
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION, ORIGINAL
from infoplane.robustness.suites import CURVE_DESCRIPTION, honest_attacks, usable
from infoplane.runs.environment import describe_environment
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.studies.evaluation import chosen_images
from infoplane.studies.finished import AllAtChanceError, FinishedRun
from infoplane.studies.flow.information_flow import information_flow
from infoplane.studies.flow.work import STUDY as FLOW
from infoplane.studies.network_evaluation import NetworkStudy, Subject
from infoplane.studies.parts import build_model, load_test_images
from infoplane.studies.path_evaluation import Setting
from infoplane.training.catalogue import all_settings

NETWORKS = {"vib": "mlp-vib", "nib": "mlp-nib", "ceb": "mlp-ceb", "hbar": "mlp"}
_AT_CHANCE = "The study goes on without it; for another network try a lower --training.learning-rate in a new --run"
_LABEL_WEIGHT = 50  # of hbar, over that of the image: Wang et al. (2021), MNIST


class Bottleneck(NamedTuple):
    """What the study found.

    Attributes:
        numbers: columns of `records.bottleneck.BOTTLENECK_SCHEMA`.
        images: columns of `records.bottleneck.BOTTLENECK_IMAGE_SCHEMA`.
        evaluations: accuracy under attack and alarms, by radius.
    """

    numbers: pl.DataFrame
    images: pl.DataFrame
    evaluations: dict[float, Evaluation]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network of the study: the weight of its penalty, its seed and its run folder."""

    value: float
    seed: int
    config: FlowConfig
    run: RunFolder

    @property
    def training(self) -> str:
        """Name of its training in the records of its run."""
        return self.config.trainings[0]


def short(value: float) -> str:
    """Return a number for names of folders, e.g. "1e-3" or "0.5"."""
    mantissa, _, exponent = f"{value:e}".partition("e")
    small = 0 < value < 0.5
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if small else f"{value:g}"


def method_settings(method: str, value: float) -> dict[str, float]:
    """Return the settings of a method with the given weight of its penalty, which is above 0."""
    match method:
        case "ceb":
            return {"ceb_rho": -math.log(value)}
        case "hbar":
            return {"hbar_x": value, "hbar_y": _LABEL_WEIGHT * value}
        case _:
            return {f"{method}_beta": value}


def checked(config: BottleneckConfig) -> BottleneckConfig:
    """Return the settings with the network's name and all its settings.

    Raises:
        UserError: there is no such network, or it has no such setting.
    """
    network = config.network or NETWORKS[config.method]
    settings = model_named(network).checked(dict(config.settings)).model_dump()
    return config.model_copy(update={"network": network, "settings": settings})


def members_of(config: BottleneckConfig, folder: RunFolder) -> list[Member]:
    """Return all networks of the study, by seed and then by value.

    The network of value 0 is the same one, trained normally: with one draw per step, and without the penalty.

    Args:
        config: as `checked` returns it.
        folder: of the study.

    Raises:
        UserError: the data is missing, or the network cannot be built for it.
    """
    plain = _flow_config(config, 0.0, config.seed)
    test, _ = load_test_images(plain, "cpu")
    layer = code_layer(build_model(plain, test))
    return [
        Member(
            value=value,
            seed=seed,
            config=_flow_config(config, value, seed, layer),
            run=RunFolder(folder.path / f"{config.method}-{short(value)}-s{seed}"),
        )
        for seed in range(config.seed, config.seed + config.seeds)
        for value in config.values
    ]


def _flow_config(config: BottleneckConfig, value: float, seed: int, layer: str = "") -> FlowConfig:
    assert config.network is not None, "`checked` names it"
    method = config.method if value else "normal"
    return FlowConfig(
        seed=seed,
        methods=(method,),
        attacks=(),
        measure_every=config.training.epochs or 1,
        data=config.data,
        model=ModelConfig(name=config.network, settings=config.settings, mean=(0.5,), std=(0.5,)),
        training=config.training,
        attack=AttackConfig(),
        method=all_settings()().model_dump() | (method_settings(config.method, value) if value else {}),
        # The study measures the stochastic layer itself.
        measurement=MeasurementConfig(
            examples=config.examples, layers=(layer,) if layer else (), inputs=0, noise_sweep=(), permutations=0,
            decoder_permutations=0, thorough_epochs=0,
        ),
    )  # fmt: skip


def bottleneck(config: BottleneckConfig, folder: RunFolder, *, device: str, progress: Progress) -> Bottleneck:
    """Train, attack and measure all networks of the study, and write its tables.

    Args:
        config: all settings, as `checked` returns them.
        folder: of the study, locked and begun.
        device: "cpu" or "cuda".
        progress: shows how far it is.

    Raises:
        UserError: the data is missing, the settings do not fit the network or the method, or all networks ended at
            chance.
    """
    members = members_of(config, folder)
    for member in members:
        _train(member, device, progress)
    members, loaded, numbers = _alive(config, members, device, progress)
    test = next(iter(loaded.values())).test
    images = chosen_images(test, config.attacked, config.data.seed)
    seen, evaluations = list[pl.DataFrame](), dict[float, Evaluation]()
    for place, epsilon in enumerate(config.epsilons):
        subjects = _subjects(config, members, loaded, epsilon)
        attacks, left_out = usable(
            honest_attacks(config.queries),
            norm="linf",
            classes=len(test.class_names),
            with_source=all(one.source is not None for one in subjects.values()),
        )
        ball = Ball("linf", epsilon)
        setting = Setting(
            attacks=attacks, ball=ball, images=images, folder=folder, progress=progress, with_curve=place == 0
        )
        studies = {one: NetworkStudy(subject, setting) for one, subject in subjects.items()}
        progress.begin(sum(study.work_ahead() for study in studies.values()))
        found: list[NetworkEvaluation] = []
        for (value, seed), study in studies.items():
            evaluation, table = study.go()
            found.append(evaluation)
            seen.append(_seen(table, value, seed, epsilon))
            numbers += _accuracies(config.method, value, seed, epsilon, evaluation, len(images.labels))
        evaluations[epsilon] = Evaluation(
            subject=f"{config.method} on {test.name}",
            suite="honest",
            norm="linf",
            epsilon=epsilon,
            examples=len(images.labels),
            weights_file=None,
            weights_file_sha256=None,
            interval="95 %, Wilson (1927)",
            curve_attack=CURVE_DESCRIPTION,
            left_out=left_out,
            networks=found,
        )
        text = evaluations[epsilon].model_dump_json(indent=2) + "\n"
        folder.write_file(folder.path / f"evaluation-{short(epsilon)}.json", text.encode())
    for member in members:
        progress.doing(f"{_title(config, member)}: information")
        numbers += _information(config, member, loaded[member.value, member.seed], test)
    whole = Bottleneck(pl.DataFrame(numbers, schema=BOTTLENECK_SCHEMA), pl.concat(seen), evaluations)
    folder.write_table(folder.path / "bottleneck.parquet", whole.numbers)
    folder.write_file(folder.path / "bottleneck.csv", whole.numbers.write_csv().encode())
    folder.write_table(folder.path / "images.parquet", whole.images)
    return whole


def _title(config: BottleneckConfig, member: Member) -> str:
    return f"{config.method} {short(member.value)}, seed {member.seed}"


def _train(member: Member, device: str, progress: Progress) -> None:
    """Train a network in its run folder, or what is missing of it."""
    with member.run.locked():
        usual = FlowConfig(method=all_settings()().model_dump()).model_dump(mode="json")  # of settings that came later
        now = describe_environment(device)
        kept = member.run.begin(FLOW, member.config.model_dump(mode="json"), now, defaults=usual)
        progress.doing(f"training {member.run.path.name}")
        information_flow(
            member.config, run=member.run, device=kept.get("device", "cpu"), progress=progress, advice=_AT_CHANCE
        )


def _alive(
    config: BottleneckConfig, members: Sequence[Member], device: str, progress: Progress
) -> tuple[list[Member], dict[tuple[float, int], FinishedRun], list[BottleneckNumber]]:
    """Return the members that did not end at chance, their networks, and a row for each of the others.

    Raises:
        UserError: all ended at chance.
    """
    alive, loaded, dead = list[Member](), dict[tuple[float, int], FinishedRun](), list[BottleneckNumber]()
    for member in members:
        try:
            loaded[member.value, member.seed] = FinishedRun(member.run, device, attacks=())
        except AllAtChanceError:
            progress.say(f"{_title(config, member)}: it ended at chance, so it is neither attacked nor measured")
            dead.append(_dead(config, member))
        else:
            alive.append(member)
    if not alive:
        raise UserError(
            f"all {len(members)} networks of the study ended at chance, so there is nothing to attack; try another "
            "--seed or a lower --training.learning-rate in a new --run"
        )
    return alive, loaded, dead


def _dead(config: BottleneckConfig, member: Member) -> BottleneckNumber:
    last = (
        member.run.performance().filter(pl.col("split") == "test", pl.col("examples") == ORIGINAL).sort("epoch").tail(1)
    )
    return BottleneckNumber(
        method=config.method, value=member.value, seed=member.seed, quantity=AT_CHANCE, number=last["accuracy"].item(),
        n=last["n"].item(),
    )  # fmt: skip


def _subjects(
    config: BottleneckConfig, members: Sequence[Member], loaded: dict[tuple[float, int], FinishedRun], epsilon: float
) -> dict[tuple[float, int], Subject]:
    """Return the networks, each with a source for transfer attacks.

    The source was trained normally with another seed. With a single seed, it is the network of value 0, and for that
    one the network of the smallest penalty.
    """
    own = {
        (member.value, member.seed): Subject(
            key=f"{member.run.path.name}-eps{short(epsilon)}",
            name=_title(config, member),
            load=partial(_network, loaded[member.value, member.seed], member),
            seed=member.seed,
            training=member.training,
            checkpoint="last",
            epoch=config.training.epochs,
        )
        for member in members
    }
    found = {}
    for (value, seed), subject in own.items():
        others = [one for one in own if one != (value, seed)]
        source = min(
            others, key=lambda one: (one[1] == seed, one[0], (one[1] - seed) % (config.seeds + 1)), default=None
        )
        found[value, seed] = subject if source is None else _with_source(subject, own[source])
    return found


def _with_source(subject: Subject, source: Subject) -> Subject:
    return Subject(**{**vars(subject), "source": source})


def _network(finished: FinishedRun, member: Member) -> nn.Module:
    return finished.network(member.seed, member.training).model


def _seen(table: pl.DataFrame, value: float, seed: int, epsilon: float) -> pl.DataFrame:
    kept = table.select("path", "attack", "index", "robust")
    whole = kept.with_columns(value=pl.lit(value), seed=pl.lit(seed, pl.Int64), epsilon=pl.lit(epsilon))
    return whole.select(list(BOTTLENECK_IMAGE_SCHEMA))


def _accuracies(
    method: str, value: float, seed: int, epsilon: float, found: NetworkEvaluation, n: int
) -> Iterator[BottleneckNumber]:
    def number(one: Accuracy, path: str, attack: str) -> BottleneckNumber:
        return BottleneckNumber(
            method=method, value=value, seed=seed, quantity=ACCURACY, path=path, attack=attack, epsilon=epsilon,
            number=one.accuracy, low=one.low, high=one.high, n=n,
        )  # fmt: skip

    for row in found.attacks:
        yield number(row, row.path, row.attack)
    for path, worst in found.worst_of_paths.items():
        yield number(worst, path, WORST_CASE)
    yield number(found.worst_case, ALL_PATHS if found.worst_of_paths else found.paths[0], WORST_CASE)


def _information(
    config: BottleneckConfig, member: Member, finished: FinishedRun, test: ImageSet
) -> Iterator[BottleneckNumber]:
    seed = config.data.seed
    chosen = stratified_indices(test.labels, config.examples, generator=seeded_generator(seed, "information examples"))
    chosen = chosen.to(test.images.device)
    model = finished.network(member.seed, member.training).model
    with evaluation_mode(model):
        found = code_information(model, as_pixels(test.images[chosen]), test.labels[chosen], seed=seed)
    estimates: dict[str, Estimate | None] = {
        RATE_OF_CODE: found.rate, INPUT_INFORMATION: found.input, LABEL_INFORMATION: found.label
    }  # fmt: skip
    for quantity, one in estimates.items():
        if one is not None:
            yield BottleneckNumber(
                method=config.method, value=member.value, seed=member.seed, quantity=quantity, number=one.value,
                low=one.low, high=one.high, standard_error=one.error, saturated=one.saturated, n=len(chosen),
            )  # fmt: skip
