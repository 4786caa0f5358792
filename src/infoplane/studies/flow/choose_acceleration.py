"""Choose the acceleration of the networks of a run during training by a short timing, and record the choice."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from torch import Tensor, nn

from infoplane.acceleration import PLAIN, Choices, candidates
from infoplane.attacks.pgd import pgd_attack
from infoplane.config import FlowConfig
from infoplane.measuring.speed import speed
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.randomness import seeded_generator
from infoplane.studies.flow.fastest import fastest
from infoplane.studies.parts import build_model, load_test_images

Precision = Literal["auto", "32", "bf16"]
_FEWEST = 8  # images that are timed
_LONGEST = 2.0  # seconds of one gradient of all timed images; several ways are timed several times


def training_choices(config: FlowConfig, device: str, precision: Precision) -> Choices:
    """Time ways of computing on a batch of test images and return the fastest.

    The images are random points of the attack's region, like the start of an attack. On the uniform background of an
    original image some operations take less time than in an attack.

    Args:
        config: all settings.
        device: "cpu" or "cuda".
        precision: "32" returns `PLAIN` without timing; "bf16" times ways in bfloat16, "auto" in both precisions.
    """
    if not config.training.epochs or precision == "32":
        return PLAIN
    test, _ = load_test_images(config, device)
    model = build_model(config, test)
    images = as_pixels(test.images[: config.training.batch_size], memory_format(model))
    images = images[: _affordable(model, images)]
    noise = seeded_generator(config.seed, "probe", device=device)
    images = pgd_attack(config.attack, random_start=True).region(images).random_point(noise)
    with evaluation_mode(model):
        return fastest(model, images, candidates(model, images, precision))


def _affordable(model: nn.Module, images: Tensor) -> int:
    """Return how many images of a batch are timed: all of them, but of networks whose gradients take seconds."""
    of_one = speed(model, images[:_FEWEST]).gradient
    return max(_FEWEST, int(_LONGEST / max(of_one, 1e-9)))


def to_record(choices: Choices) -> dict[str, Any]:
    """Return the choices as they are written to `config.json`."""
    return json.loads(json.dumps(asdict(choices)))  # type: ignore[no-any-return]


def from_record(record: Mapping[str, Any]) -> Choices:
    """Return the choices from a record that `to_record` made."""
    fields: dict[str, Any] = {name: tuple(kept) if isinstance(kept, list) else kept for name, kept in record.items()}
    return Choices(**fields)
