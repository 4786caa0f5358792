"""How a training ended, read back from its last checkpoint."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from infoplane.config import FlowConfig
from infoplane.runs import RunFolder
from infoplane.studies.kept_state import read_state


def stopped_at(run: RunFolder | None, config: FlowConfig, training: str) -> int | None:
    """Return the epoch after which a training ended by itself, before the last that was planned; None if it did not."""
    epochs = run.checkpoint_epochs(config.seed, training) if run is not None else []
    if run is None or not epochs or epochs[-1] >= config.training.epochs:
        return None
    return epochs[-1] if read_state(run, config.seed, training, epochs[-1]).get("stopped") is not None else None


def measured_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The model's weights, or their average where the run measures that."""
    average = state.get("average")
    if average is None:
        weights: dict[str, Tensor] = state["model"]
        return weights
    return {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")}
