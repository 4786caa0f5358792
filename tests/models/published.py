"""Weights by the names that RobustBench's networks have, as written in their definitions."""

import torch
from torch import Tensor, nn

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _norm(there: str, here: str) -> dict[str, str]:
    return {f"{there}.{part}": f"{here}.{part}" for part in NORM}


def _resnet18() -> dict[str, str]:
    names = {"conv1.weight": "stem.conv.weight", **_norm("bn1", "stem.bn")}
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            there, here = f"layer{stage}.{block}", f"stage{stage}.{block}"
            for number in (1, 2):
                names[f"{there}.conv{number}.weight"] = f"{here}.conv{number}.weight"
                names |= _norm(f"{there}.bn{number}", f"{here}.bn{number}")
            if stage > 1 and block == 0:
                names[f"{there}.shortcut.0.weight"] = f"{here}.shortcut.0.weight"
                names |= _norm(f"{there}.shortcut.1", f"{here}.shortcut.1")
    return names | {f"linear.{part}": f"linear.{part}" for part in ("weight", "bias")}


def _preactresnet18() -> dict[str, str]:
    names = {"conv1.weight": "stem.weight"}
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            there, here = f"layer{stage}.{block}", f"stage{stage}.{block}"
            for number in (1, 2):
                names[f"{there}.conv{number}.weight"] = f"{here}.conv{number}.weight"
                names |= _norm(f"{there}.bn{number}", f"{here}.bn{number}")
            if stage > 1 and block == 0:
                names[f"{there}.shortcut.0.weight"] = f"{here}.shortcut.weight"
    return names | {f"linear.{part}": f"linear.{part}" for part in ("weight", "bias")}


def _wideresnet() -> dict[str, str]:
    """Of WideResNet-10-2."""
    names = {"conv1.weight": "stem.weight", **_norm("bn1", "bn")}
    for group in (1, 2, 3):
        there, here = f"block{group}.layer.0", f"group{group}.0"
        for number in (1, 2):
            names[f"{there}.conv{number}.weight"] = f"{here}.conv{number}.weight"
            names |= _norm(f"{there}.bn{number}", f"{here}.bn{number}")
        names[f"{there}.convShortcut.weight"] = f"{here}.shortcut.weight"
    return names | {f"fc.{part}": f"linear.{part}" for part in ("weight", "bias")}


NAMES = {"resnet18": _resnet18(), "preactresnet18": _preactresnet18(), "wideresnet": _wideresnet()}
SETTINGS = {
    "resnet18": {"width": 2},
    "preactresnet18": {"width": 2},
    "wideresnet": {"widen_factor": 2, "negative_slope": 0.0},
}


def published(name: str, model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network, without its normalisation, by the names of RobustBench."""
    state = model.state_dict()
    found = {there: state[here].clone() for there, here in NAMES[name].items()}
    assert len(found) == len(state) - 2, "all but the mean and the standard deviation of the pixels"
    return found


def with_normalisation(weights: dict[str, Tensor], prefix: str, names: tuple[str, str]) -> dict[str, Tensor]:
    """Return the weights under a prefix, with a mean of .1, .2, .3 and a standard deviation of .4, .5, .6."""
    values = (torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1), torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
    return {**dict(zip(names, values, strict=True)), **{f"{prefix}{name}": value for name, value in weights.items()}}
