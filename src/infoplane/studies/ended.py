"""How a training ended: by itself, or because its network is at chance; read back from its last checkpoint."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from infoplane.config import FlowConfig
from infoplane.runs import RunFolder
from infoplane.studies.kept_state import read_state
from infoplane.training.liveness import is_dead

ADVICE = (
    "Try another --seed, a longer --training.warmup-epochs, a lower --training.learning-rate or a smaller "
    "--attack.epsilon, in a new --run; --continue-at-chance trains on as it is"
)


def stopped_at(
    run: RunFolder | None, config: FlowConfig, training: str, *, continue_at_chance: bool = False
) -> int | None:
    """Return the epoch after which a training ended before the last that was planned; None if it did not.

    Args:
        run: its folder.
        config: of one seed.
        training: name of the method.
        continue_at_chance: whether a training at chance goes on.
    """
    epochs = run.checkpoint_epochs(config.seed, training) if run is not None else []
    if run is None or not epochs or epochs[-1] >= config.training.epochs:
        return None
    state = read_state(run, config.seed, training, epochs[-1])
    dead = is_dead(state.get("at_chance"), state.get("updates", 0))  # that of epoch 0 holds neither
    return epochs[-1] if state.get("stopped") is not None or (dead and not continue_at_chance) else None


def measured_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The model's weights, or their average where the run measures that."""
    average = state.get("average")
    if average is None:
        weights: dict[str, Tensor] = state["model"]
        return weights
    return {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")}
