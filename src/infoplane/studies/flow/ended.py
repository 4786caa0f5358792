"""Read from the last checkpoint whether a training ended early, and whether its network is at chance."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from infoplane.config import FlowConfig
from infoplane.runs.folder import RunFolder
from infoplane.runs.training_state import read_state

ENDED_AT_CHANCE = "ended_at_chance"  # key in a checkpoint's state: whether the training ended at chance
ADVICE = (
    "Try another --seed, a longer --training.warmup-epochs, a lower --training.learning-rate or a smaller "
    "--attack.epsilon, in a new --run, or add --continue-at-chance to go on with this network"
)


def stopped_at(
    run: RunFolder | None, config: FlowConfig, training: str, *, continue_at_chance: bool = False
) -> int | None:
    """Return the epoch after which a training ended early; None if it did not.

    Args:
        run: folder of the run.
        config: settings of one seed.
        training: name of the training.
        continue_at_chance: whether a training at chance goes on.
    """
    epochs = run.checkpoint_epochs(config.seed, training) if run is not None else []
    if run is None or not epochs or epochs[-1] >= config.training.epochs:
        return None
    if ended_at_chance(run, config, training) and not continue_at_chance:
        return epochs[-1]
    return epochs[-1] if read_state(run, config.seed, training, epochs[-1]).get("stopped") is not None else None


def ended_at_chance(run: RunFolder | None, config: FlowConfig, training: str) -> int | None:
    """Return the epoch, possibly the last planned one, after which a training ended at chance; else None."""
    epochs = run.checkpoint_epochs(config.seed, training) if run is not None else []
    if run is None or not epochs:
        return None
    return epochs[-1] if read_state(run, config.seed, training, epochs[-1]).get(ENDED_AT_CHANCE, False) else None


def measured_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of the measured network: the model's, or their average if the run measures that."""
    average = state.get("average")
    if average is None:
        weights: dict[str, Tensor] = state["model"]
        return weights
    return {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")}
