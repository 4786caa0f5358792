"""Log the scalars of an information plane to a tracker of experiments, which is recognised by its methods."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["log_scalars", "mlflow_name"]

_MLFLOW_BATCH = 1000  # metrics in one call: MLflow refuses more


def log_scalars(scalars: Mapping[str, float], tracker: Any, step: int) -> None:
    """Log scalars, e.g. `InformationPlane.scalars()`, to a tracker. No tracker is imported.

    Args:
        scalars: numbers by name.
        tracker: one of the following.
            A `SummaryWriter` of TensorBoard, or another object with `add_scalar(name, value, step)`.
            A run of Weights & Biases or trackio, or one of these modules once it has a run: anything with
            `log(scalars, step=...)`.
            The module `mlflow`, with its active run. The names become those of `mlflow_name`.
            A logger of Lightning, or another object with `log_metrics(scalars, step=...)`.
        step: place on the horizontal axis, e.g. the epoch or the number of optimiser steps.

    Raises:
        ValueError: the tracker is none of these.
    """
    if callable(add_scalar := getattr(tracker, "add_scalar", None)):
        for name, value in scalars.items():
            add_scalar(name, value, step)
    elif callable(log_metrics := getattr(tracker, "log_metrics", None)):
        if not _is_mlflow(tracker):
            log_metrics(dict(scalars), step=step)
            return
        named = {mlflow_name(name): value for name, value in scalars.items()}
        for part in _parts(named):
            log_metrics(part, step=step)
    elif callable(log := getattr(tracker, "log", None)) and _takes_step(log):
        log(dict(scalars), step=step)
    else:
        raise ValueError(
            "tracker must be a SummaryWriter of TensorBoard, a run of W&B or trackio, the module mlflow or a logger of "
            f"Lightning, got {tracker.__name__ if inspect.ismodule(tracker) else type(tracker).__name__}"
        )


def mlflow_name(name: str) -> str:
    """Return the name under which MLflow takes a scalar: "I(T;Y)_decoded_nats" becomes "I_T_Y_decoded_nats".

    MLflow allows letters and digits of ASCII, spaces and `_ - . /`. Signs of ASCII become an underscore, other
    characters their number, so that two layers keep two names.

    Args:
        name: any name.
    """
    spelled = re.sub(r"[^\x00-\x7f]", lambda sign: f"u{ord(sign[0]):04x}", name)
    return re.sub(r"[^A-Za-z0-9_\-. /]+_?", "_", spelled)


def _parts(scalars: Mapping[str, float]) -> list[dict[str, float]]:
    names = list(scalars)
    starts = range(0, len(names), _MLFLOW_BATCH)
    return [{name: scalars[name] for name in names[start : start + _MLFLOW_BATCH]} for start in starts]


def _is_mlflow(tracker: Any) -> bool:
    """Return whether a tracker is the module mlflow, or Lightning's logger for it."""
    name = tracker.__name__ if inspect.ismodule(tracker) else type(tracker).__name__
    return name in ("mlflow", "MLFlowLogger")


def _takes_step(log: Callable[..., object]) -> bool:
    parameters = inspect.signature(log).parameters.values()
    return any(one.name == "step" or one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
