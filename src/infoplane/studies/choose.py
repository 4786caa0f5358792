"""How the networks of a run compute while they train: as asked for, as kept, or as a short probe finds fastest."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import torch

from infoplane.acceleration import PLAIN, Choices, fastest_choices, usual_candidates, with_frozen
from infoplane.config import FlowConfig
from infoplane.layout import as_pixels, memory_format
from infoplane.modes import evaluation_mode
from infoplane.randomness import seeded_generator
from infoplane.studies.parts import build_attack, build_model, load_test_images

Precision = Literal["auto", "32", "bf16"]


def training_choices(config: FlowConfig, device: str, precision: Precision) -> Choices:
    """Probe the settings' network on a batch of its test images, noisy as where an attack begins: on plain backgrounds
    some operations are faster.

    Args:
        config: all settings.
        device: "cpu" or "cuda".
        precision: "32" is the plain way; "bf16" leaves the probe the rest, "auto" the precision too.
    """
    if not config.training.epochs or precision == "32":
        return PLAIN
    candidates = usual_candidates(torch.device(device))
    if precision == "bf16":
        candidates = [way for way in candidates if way.precision == "bf16"] or [Choices(precision="bf16")]
    test, _ = load_test_images(config, device)
    model = build_model(config, test)
    images = as_pixels(test.images[: config.training.batch_size], memory_format(model))
    noise = seeded_generator(config.seed, "probe", device=device)
    images = build_attack(config.attack, random_start=True).region(images).random_point(noise)
    with evaluation_mode(model):
        candidates = with_frozen(model, images, candidates)
        return fastest_choices(model, images, candidates, plain=precision != "bf16")


def to_record(choices: Choices) -> dict[str, Any]:
    """Return the choices as `config.json` keeps them."""
    return json.loads(json.dumps(asdict(choices)))  # type: ignore[no-any-return]


def from_record(record: Mapping[str, Any]) -> Choices:
    """Return what `to_record` was given."""
    known = {
        "precision": record["precision"],
        "frozen": record.get("frozen", False),
        "by_rows": tuple(record.get("by_rows", ())),
        "by_groups": tuple(record.get("by_groups", ())),
        "pooled": tuple(record.get("pooled", ())),
        "graphs": record.get("graphs", False),
    }
    return Choices(**known)
