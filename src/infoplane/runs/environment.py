"""Environment of a run: versions, device, threads and precision, on which its numbers depend besides the settings."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from infoplane.errors import UserError


def describe_environment(device: str = "auto") -> dict[str, Any]:
    """Return versions, device, threads and precision, on which the numbers depend besides the settings.

    Raises:
        UserError: a GPU is asked for, but there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; use --device cpu")
    return {
        "infoplane": version("infoplane"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "platform": platform.platform(),
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": "float32, no TF32, deterministic convolutions",
    }


def apply_environment(environment: Mapping[str, Any], device: str = "auto") -> list[str]:
    """Use the device, threads and precision that the run began with.

    The number of threads changes the order of sums, hence the last bits.

    Args:
        environment: as the run's `config.json` holds it.
        device: the device that the user asks for now.

    Returns:
        One sentence for each difference that may change the last bits.

    Raises:
        UserError: the run began on another device than the user asks for, or on a GPU, but there is none here.
    """
    began = environment.get("device", "cpu")
    if device not in ("auto", began):
        raise UserError(f"this run began on device {began}; continue it there or choose another folder with --run")
    if began == "cuda" and not torch.cuda.is_available():
        raise UserError("this run began on a GPU and torch finds none here; continue it where there is one")
    # Attacks and measurements need float32; TF32 keeps only 10 bits of a product.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.set_num_threads(environment.get("threads", torch.get_num_threads()))
    now = describe_environment(began)
    versions = ("infoplane", "python", "torch", "numpy", "platform")
    changed = [name for name in versions if environment.get(name) != now[name]]
    return [f"the run began with {name} {environment.get(name)} and continues with {now[name]}" for name in changed]
