"""Checkpoints of a training: write and read its state, and check that the network still computes the same."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from infoplane.errors import UserError, broken_rule
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.logits import logits_of
from infoplane.networks.memory_format import memory_format
from infoplane.randomness import isolated_global_generator, seeded_generator
from infoplane.runs.folder import RunFolder
from infoplane.runs.state_tensors import join_state, split_state

OUTPUTS = "outputs"  # key in a checkpoint's state
_CLOSE = 1e-3  # of the largest output: rounding on other processors stays below it, other code does not
Count = Annotated[float, Field(ge=0)]


class _State(BaseModel):
    """The result of `Trainer.state_dict`, or only the weights if there is no training."""

    model_config = ConfigDict(strict=True, extra="allow", arbitrary_types_allowed=True, allow_inf_nan=False)

    model: dict[str, Tensor]
    epoch: Annotated[int, Field(ge=0)]
    optimiser: dict[str, Any] = {}
    methods_of_others: list[Any] = []
    stopped: str | None = None
    at_chance: str | None = None
    ended_at_chance: bool = False
    updates: Count = 0
    average: dict[str, Tensor] | None = None
    best_epoch: Annotated[int, Field(ge=0)] = 0
    no_better: Annotated[int, Field(ge=0)] = 0
    best_accuracy: Annotated[float, Field(ge=-1, le=1)] = -1.0
    best_information: float | None = None
    forward_evaluations: Count = 0
    gradient_evaluations: Count = 0
    seconds: Count = 0
    outputs: Tensor | None = None


def write_state(
    run: RunFolder,
    seed: int,
    training: str,
    epoch: int,
    state: dict[str, Any],
    network: nn.Module,
    pixels: Tensor,
    *,
    best: bool = False,
) -> None:
    """Write a checkpoint, with a few outputs of its network that later show whether its code is the same.

    Args:
        run: the run folder.
        seed: seed of the training.
        training: name of the training.
        epoch: number of completed epochs.
        state: result of `Trainer.state_dict`.
        network: the network that is measured after this epoch.
        pixels: `(n, channels, height, width)`, of the shape that the network takes.
        best: whether it is the best epoch so far.
    """
    kept = split_state({**state, OUTPUTS: known_outputs(network, pixels)})
    if best:  # first: after a kill between the two the epoch is trained again, and no best one is missing
        run.write_best_checkpoint(seed, training, *kept)
    run.write_checkpoint(seed, training, epoch, *kept)


def read_state(run: RunFolder, seed: int, training: str, epoch: int) -> dict[str, Any]:
    """Return the state in a checkpoint.

    Raises:
        UserError: the checkpoint is missing or damaged, or does not hold the state of a training.
    """
    state = _joined(run, seed, training, lambda: run.read_checkpoint(seed, training, epoch))
    if state["epoch"] != epoch:
        raise _unusable(run, seed, training, f"epoch must be {epoch}, got {state['epoch']}")
    return state


def read_best_state(run: RunFolder, seed: int, training: str) -> dict[str, Any]:
    """Return the state of the best epoch on held-out images.

    Raises:
        UserError: as `read_state`.
    """
    return _joined(run, seed, training, lambda: run.read_best_checkpoint(seed, training))


def _joined(
    run: RunFolder, seed: int, training: str, read: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]
) -> dict[str, Any]:
    try:
        state: dict[str, Any] = join_state(*read())
        _State.model_validate(state)
    except ValidationError as error:
        refusal = error.errors()[0]
        where = ".".join(map(str, refusal["loc"])) or "all of it"
        raise _unusable(run, seed, training, f"{where} {broken_rule(refusal)}") from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _unusable(run, seed, training, f"it holds no training state: {error!r:.100}") from None
    return state


def check_network(
    network: nn.Module, state: Mapping[str, Any], pixels: Tensor, run: RunFolder, seed: int, training: str
) -> None:
    """Compare the outputs of a loaded network with those that its checkpoint holds.

    Raises:
        UserError: the outputs differ, so the code of the network has changed.
    """
    before: Tensor | None = state.get(OUTPUTS)
    now = known_outputs(network, pixels) if before is not None else None
    if before is None or now is None:
        return
    if before.shape != now.shape or bool((before - now).abs().max() > _CLOSE * before.abs().max() + 1e-6):
        raise UserError(
            f"{run.path}: the network of {training} training, seed {seed}, computes other outputs than when this run "
            "wrote its checkpoint, so its code has changed; restore that code, or start a new run"
        )


def misfit(run: RunFolder, seed: int, training: str, error: Exception) -> UserError:
    """Return the error about a checkpoint that does not fit the network."""
    reason = " ".join(str(error).split())[:300]
    return UserError(
        f"{run.path}: the checkpoint of {training} training, seed {seed}, does not fit the network of config.json "
        f"({reason}); its code may have changed: restore either, or start a new run"
    )


def _unusable(run: RunFolder, seed: int, training: str, why: str) -> UserError:
    return UserError(
        f"{run.path}: the checkpoint of {training} training, seed {seed}, cannot be continued from ({why}); restore "
        "it, or start a new run"
    )


def known_outputs(network: nn.Module, pixels: Tensor) -> Tensor | None:
    """Return outputs for a few random images, `(4, classes)` float64 on the CPU; None if the network is random.

    Args:
        network: in any mode.
        pixels: `(n, channels, height, width)`, of the shape that the network takes.
    """
    shape = (4, *pixels.shape[1:])
    images = torch.rand(shape, generator=seeded_generator(0, "outputs of a checkpoint")).to(pixels.device)
    images = images.contiguous(memory_format=memory_format(network))
    plainly = torch.autocast(pixels.device.type, enabled=False)
    with isolated_global_generator(0, pixels.device), torch.no_grad(), evaluation_mode(network), plainly:
        try:
            first, second = (logits_of(network(images.clone())) for _ in range(2))
        except ValueError:
            return None
    if not torch.equal(first, second) or not bool(first.isfinite().all()):
        return None
    return first.double().cpu()
