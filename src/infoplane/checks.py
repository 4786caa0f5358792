"""Checks of arguments of public functions: each error names the argument, the rule and the wrong value."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader


def check_tensor(value: object, *, name: str) -> None:
    """Raise ValueError unless `value` is a tensor."""
    if isinstance(value, Tensor):
        return
    if isinstance(value, DataLoader):
        advice = "put its batches together: torch.cat([images for images, labels in loader])"
    else:
        advice = "convert it with torch.as_tensor"
    raise ValueError(f"{name} must be one torch tensor, got {type(value).__name__}; {advice}")


def check_positive(value: float, *, name: str) -> None:
    """Raise ValueError unless `value` is positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")


def check_at_least(value: int, minimum: int, *, name: str) -> None:
    """Raise ValueError unless the integer `value` reaches `minimum`."""
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")


def check_pixel_range(value: float, *, name: str) -> None:
    """Raise ValueError unless `value`, a difference between pixels of [0, 1], is positive and at most 1."""
    check_positive(value, name=name)
    if value > 1:
        raise ValueError(
            f"{name} must be at most 1, the range of a pixel, got {value:g}; did you mean {value:g} / 255?"
        )


def check_one_of(value: str, known: Sequence[str], *, name: str) -> None:
    """Raise ValueError unless `value` is one of the known names."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def check_steps_reach(epsilon: float, steps: int, step_size: float) -> None:
    """Raise ValueError unless so many steps of positive size reach the boundary of a ball of radius `epsilon`."""
    check_positive(epsilon, name="epsilon")
    check_at_least(steps, 1, name="steps")
    check_positive(step_size, name="step_size")
    if step_size * steps < epsilon * (1 - 1e-6):
        raise ValueError(
            f"{steps} steps of step_size {step_size:g} cannot reach epsilon {epsilon:g}; raise steps or step_size"
        )


def check_sample_rows(activations: Tensor, *, name: str = "activations") -> None:
    """Raise ValueError unless `activations` is a `(samples, features)` tensor of a float type; reads no value."""
    check_tensor(activations, name=name)
    if activations.ndim != 2 or 0 in activations.shape:
        raise ValueError(
            f"{name} must have shape (samples, features) with at least one of each, got {tuple(activations.shape)}"
        )
    if activations.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise ValueError(f"{name} must be of a float type of 16 to 64 bits, got {activations.dtype}")


def check_activations(activations: Tensor, *, name: str = "activations") -> None:
    """Raise ValueError unless `activations` is a finite `(samples, features)` tensor of a float type."""
    check_sample_rows(activations, name=name)
    # NaN propagates to minimum and maximum, so if both are finite, all values are.
    if not all(math.isfinite(extreme.item()) for extreme in torch.aminmax(activations.detach())):
        broken = int((~activations.isfinite()).any(dim=1).sum())
        raise ValueError(f"{name} must be finite: {broken} of {len(activations)} samples hold NaN or infinity")


def check_labels(labels: Tensor, samples: int, *, name: str = "labels") -> None:
    """Raise ValueError unless `labels` holds one integer per sample."""
    check_tensor(labels, name=name)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, got {labels.dtype}")
    if labels.dtype == torch.uint64 and bool((labels.long() < 0).any()):
        raise ValueError(f"{name} must lie below 2**63")
    if tuple(labels.shape) != (samples,):
        raise ValueError(f"{name} must have shape ({samples},), one per sample, got {tuple(labels.shape)}")


def labels_within(labels: Tensor) -> tuple[int, int]:
    """Return the smallest and the largest of int64 labels, with one synchronisation of the device."""
    lowest, highest = torch.stack(torch.aminmax(labels)).tolist()
    return lowest, highest


def check_class_places(labels_range: tuple[int, int], classes: int) -> None:
    """Raise ValueError unless all labels, in the range (lowest, highest), are indices of the model's logits.

    torch silently ignores labels of -100, and a GPU aborts at a label that is too large.
    """
    lowest, highest = labels_range
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"labels must be indices of the model's {classes} logits, 0 to {classes - 1}; "
            f"found {lowest} to {highest}: number the classes from 0"
        )


def check_images(images: Tensor, *, name: str = "images") -> None:
    """Raise ValueError unless `images` is `(batch, channels, height, width)`, float32 or float64, within [0, 1]."""
    check_tensor(images, name=name)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"{name} must have shape (batch, channels, height, width), got {tuple(images.shape)}")
    if images.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be float32 or float64, got {images.dtype}")
    lowest, highest = (value.item() for value in torch.aminmax(images.detach()))
    if not (lowest >= 0 and highest <= 1):  # written so that NaN fails too
        raise ValueError(
            f"{name} must lie in [0, 1], found [{lowest:.4g}, {highest:.4g}]; "
            "put normalisation into the model (its first layer) and pass unnormalised pixels"
        )
