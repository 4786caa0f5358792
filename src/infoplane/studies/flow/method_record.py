"""Record the effect of one step of a user's own training method, to detect changed code when a run continues."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infoplane.config import FlowConfig
from infoplane.data import ImageSet
from infoplane.errors import UserError
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import memory_format
from infoplane.networks.optimisers import SGD
from infoplane.randomness import isolated_array_generators, isolated_global_generator, seeded_generator
from infoplane.runs.folder import RunFolder
from infoplane.studies.flow.trainers import build_method
from infoplane.studies.parts import build_model
from infoplane.training.named import NamedTraining

KEPT_METHODS = "methods"  # key in the environment of a run
_IMAGES, _RATE = 16, 0.1
_NUMBERS = 16  # random directions
_CLOSE = 0.05  # relative to the loss, and to the length of the change: other processors round differently


def try_method(training: NamedTraining, config: FlowConfig, images: ImageSet) -> list[float] | None:
    """Return numbers that describe one step of a method on a new network; None if they differ each time.

    The step is taken on random images by gradient descent. The numbers are its loss, and the change of the outputs
    along a few random directions.

    Args:
        training: training with a user's own method.
        config: settings of the first seed.
        images: images for whose shape and classes the network is built.

    Raises:
        UserError: the method raises, or is not valid.
    """
    first, second = (_numbers(training, config, images) for _ in range(2))
    return first if first == second else None


def keep_method(run: RunFolder, name: str, found: Sequence[float] | None) -> None:
    """Write the result of `try_method` to the run's `config.json`, or compare it with the one written there.

    Args:
        run: a run that has begun.
        name: name of the training in the records.
        found: result of `try_method`.

    Raises:
        UserError: the method gives other results than when the run began.
    """
    kept: dict[str, Any] = run.read_config()["environment"].get(KEPT_METHODS, {})
    if found is None:
        return
    if name not in kept:
        run.keep(**{KEPT_METHODS: {**kept, name: list(found)}})
        return
    before, now = (torch.tensor(one, dtype=torch.double) for one in (kept[name], found))
    if before.shape != now.shape or _differ(before[:1], now[:1]) or _differ(before[1:], now[1:]):
        raise UserError(
            f"{run.path}: a step of the training method {name} does something else than when this run began, so its "
            "code (or the model's) has changed; restore that code, or start a new run"
        )


def _differ(before: Tensor, now: Tensor) -> bool:
    return bool((before - now).norm() > _CLOSE * before.norm() + 1e-6)


def _numbers(training: NamedTraining, config: FlowConfig, images: ImageSet) -> list[float]:
    network = build_model(config, images)
    device, classes = images.images.device, len(images.class_names)
    draws = seeded_generator(0, "trial of a method", device=device)
    pixels = torch.rand(_IMAGES, *images.images.shape[1:], generator=draws, device=device)
    pixels = pixels.contiguous(memory_format=memory_format(network))
    labels = torch.arange(_IMAGES, device=device) % classes
    with evaluation_mode(network), torch.no_grad():
        before = network(pixels.clone())
    with isolated_global_generator(0, device), isolated_array_generators(0):
        method = build_method(training, config, [])
        optimiser = SGD(network.parameters(), lr=_RATE)
        record = method.step(network.train(), optimiser, pixels, labels, generator=draws)
        method.end_epoch(network)
    with evaluation_mode(network), torch.no_grad():
        change = (network(pixels.clone()) - before).flatten().double().cpu()
    directions = seeded_generator(0, "directions of a method")
    along = torch.randn(len(change), _NUMBERS, generator=directions, dtype=torch.double)
    return [float(record.loss), *(change @ along).tolist()]
