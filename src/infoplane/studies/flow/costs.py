"""Seconds that study one will take, and the epochs that a budget of measuring leaves."""

import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from infoplane.acceleration import AcceleratedNetwork, Choices, wrap
from infoplane.attacks.pgd import pgd_attack
from infoplane.config import FlowConfig
from infoplane.distributed.team import ALONE
from infoplane.measuring.cost import FEW, LONG_SECONDS, MeasuringSeconds, in_words
from infoplane.measuring.speed import speed
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.studies.finished import flow_config
from infoplane.studies.flow.work import FlowWork
from infoplane.studies.flow.work_estimate import measuring_work
from infoplane.studies.parts import Images, build_model
from infoplane.training.named import named_trainings

FEWEST_THOROUGH = 2  # the first and the last epoch
_TIMED = 8  # images that show whether a network is large
_LARGE = 0.01  # seconds of a pass of one image: an epoch of any study then takes many seconds
_LONG_PASSES = 2.0  # seconds; passes that take longer are not repeated


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of one training of the study, averaged over its methods."""

    training: float  # all epochs
    measuring: MeasuringSeconds  # one epoch
    final: float  # the last epoch, measured with everything

    def measuring_all(self, config: FlowConfig) -> float:
        """Return the seconds of measuring all epochs that the settings name."""
        epochs, thorough = config.measured_epochs(), config.thorough_epochs()
        ordinary, more = self.measuring.ordinary, self.measuring.thorough - self.measuring.ordinary
        last = self.final - self.measuring.thorough if thorough else 0.0
        return len(epochs) * ordinary + len(thorough) * more + last


def probed_costs(config: FlowConfig, images: Images, choices: Choices) -> Costs:
    """Time the measurement of the first layer and the gradients of one batch, for the initial network.

    Args:
        config: settings of the study.
        images: its images.
        choices: acceleration of the networks during training.
    """
    methods = named_trainings(config)
    pixels = as_pixels(images.test.images[images.measured])
    work = FlowWork(config, methods[0], images, pixels, choices, ALONE)
    seconds = work.estimate()
    attack = pgd_attack(config.attack, random_start=True)
    passes = sum(method.passes(attack) for method in methods) / len(methods)
    trained = _images_trained_on(config, images)
    final = measuring_work(config, thorough=True, final=True) / measuring_work(config, thorough=True, final=False)
    return Costs(
        training=passes * trained * _seconds_of_a_pass(work.model, images, config, choices),
        measuring=seconds,
        final=final * seconds.thorough,
    )


def _images_trained_on(config: FlowConfig, images: Images) -> int:
    """Return the number of images of one training, each counted once per epoch."""
    return len(images.train) * config.training.epochs if images.train else 0


def _takes_long(config: FlowConfig, images: Images) -> bool:
    """Return whether training takes more than a minute, or the network is large, by the time of a few images."""
    attack = pgd_attack(config.attack, random_start=True)
    passes = config.seeds * sum(method.passes(attack) for method in named_trainings(config))
    of_one = speed(build_model(config, images.test), as_pixels(images.test.images[:_TIMED])).gradient
    return of_one > _LARGE or passes * _images_trained_on(config, images) * of_one > LONG_SECONDS


def _seconds_of_a_pass(model: nn.Module, images: Images, config: FlowConfig, choices: Choices) -> float:
    """Return the seconds of a forward and backward pass of one image."""
    batch = images.test.images[: config.training.batch_size]
    pixels, working = as_pixels(batch, memory_format(model)), wrap(model, choices)
    least = math.inf
    with evaluation_mode(model), torch.enable_grad():
        for _ in range(5):
            began = time.perf_counter()
            if isinstance(working, AcceleratedNetwork):
                with working.frozen_weights():
                    _input_gradient(working, pixels)
            else:
                _input_gradient(working, pixels)
            if pixels.is_cuda:
                torch.cuda.synchronize(pixels.device)
            least = min(least, time.perf_counter() - began)
            if least > _LONG_PASSES:
                break
    return least / len(batch)


def _input_gradient(model: nn.Module, pixels: torch.Tensor) -> None:
    pixels = pixels.clone().requires_grad_()
    logits = model(pixels)
    labels = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
    torch.autograd.grad(F.cross_entropy(logits, labels), pixels)


def estimate_line(config: FlowConfig, costs: Costs) -> str:
    """Say how long measuring and training will take."""
    number = len(config.methods) * config.seeds
    trainings = "1 training" if number == 1 else f"{number} trainings"
    ordinary, thorough = (in_words(seconds) for seconds in costs.measuring)
    return (
        f"estimate: measuring {len(config.measured_epochs())} epochs of {trainings} takes about "
        f"{in_words(number * costs.measuring_all(config))} ({ordinary} each, {thorough} with decoders and the Monte "
        f"Carlo estimate), training about {in_words(number * costs.training)}{', one after the other' * (number > 1)}"
    )


def within_budget(config: FlowConfig, costs: Costs) -> tuple[FlowConfig, str]:
    """Return settings that measure fewer epochs, so that measuring takes at most its share of training, and say so.

    At most half of the budget is for decoders and the Monte Carlo estimate, which are taken at the first and the last
    epoch in any case. The other epochs are evenly spaced.
    """
    share = config.measurement.budget
    assert share is not None
    allowed = share * costs.training
    more = costs.measuring.thorough - costs.measuring.ordinary
    number = config.measurement.thorough_epochs
    while number > FEWEST_THOROUGH and number * more > allowed / 2:
        number -= 1
    for every in range(config.measure_every, max(config.training.epochs, config.measure_every) + 1):
        thinned = _with_epochs(config, every, number)
        if costs.measuring_all(thinned) <= allowed:
            break
    measured, thorough = len(thinned.measured_epochs()), len(thinned.thorough_epochs())
    taken = costs.measuring_all(thinned) / costs.training if costs.training else math.inf
    line = (
        f"budget: measuring {measured} of {config.training.epochs + 1} epochs (--measure-every {thinned.measure_every})"
        f", {thorough} of them with decoders and the Monte Carlo estimate, takes about {taken:.0%} of training"
    )
    if taken > share:
        line += f"; the budget of {share:.0%} is less than the first and the last epoch take"
    return thinned, line


def _with_epochs(config: FlowConfig, every: int, thorough: int) -> FlowConfig:
    measurement = config.measurement.model_copy(update={"thorough_epochs": thorough})
    return config.model_copy(update={"measure_every": every, "measurement": measurement})


def with_chosen_epochs(
    config: FlowConfig, images: Images, choices: Choices, run: RunFolder | None, progress: Progress
) -> FlowConfig:
    """Say how long the study will take; with a budget, choose the measured epochs and write them to the run.

    A run that has results keeps its epochs, and nothing is timed. With few examples and a small network a study is
    short, and nothing is said.
    """
    budget = config.measurement.budget
    if run is not None and run.exists() and run.has_results():
        return config if budget is None else with_epochs_of_run(config, run) or config
    if images.number_measured < FEW and budget is None and not _takes_long(config, images):
        return config
    progress.doing("estimating the time of measuring")
    costs = probed_costs(config, images, choices)
    if budget is not None:
        config, line = within_budget(config, costs)
        progress.say(line)
        if run is not None and run.exists():
            content = run.read_config()
            run.write_config(content["study"], config.model_dump(mode="json"), content["environment"])
    progress.say(estimate_line(config, costs))
    return config


def with_epochs_of_run(config: FlowConfig, run: RunFolder) -> FlowConfig | None:
    """Return the settings with the epochs that their budget gave when the run began; None if it has no results yet."""
    if not run.exists() or not run.has_results():
        return None
    own = flow_config(run)
    if own.measurement.budget != config.measurement.budget:
        return None
    return _with_epochs(config, own.measure_every, own.measurement.thorough_epochs)
