"""The training loop: order of images, augmentation, schedule, counters and state; methods compute the updates."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from infoplane.acceleration import PLAIN, Choices, computed_as_chosen, wrap
from infoplane.attacks import merged_attack_warnings
from infoplane.config import TrainingConfig
from infoplane.distributed.team import ALONE, Team, add_gradients_
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.networks.optimisers import SGD, Adam, AdamW
from infoplane.randomness import PartGenerator, isolated_global_generator, seeded_generator, stable_seed
from infoplane.text import with_field_help
from infoplane.training.liveness import ENOUGH_UPDATES, liveness
from infoplane.training.method import TrainingMethod
from infoplane.training.schedules import learning_rate, warmup_epochs
from infoplane.training.validation import Judgement, Validation

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


class DivergedError(ArithmeticError):
    """The loss or a weight became NaN or infinite; the message names the epoch and says what to try."""


@with_field_help
class EpochRecord(NamedTuple):
    """What one pass over the training images did.

    Attributes:
        epoch: completed epochs, this one included.
        loss: mean over the epoch, in nats, as the method saw it.
        accuracy: on the images that the method trained on.
        learning_rate: at the begin of the epoch; at its last update during a warm-up, or if milestones count batches.
        validation_accuracy: on held-out images, where there are some.
        validation_information: decoded from the last hidden layer for held-out images, in nats, where it decides.
        at_chance: how the training is at chance; None where it is not, or not judged yet.
    """

    epoch: int
    loss: float
    accuracy: float
    learning_rate: float
    validation_accuracy: float | None
    validation_information: float | None
    at_chance: str | None


class Trainer:
    """Trains one model with one method, epoch by epoch.

    All random draws of epoch e come from generators seeded by (seed, purpose, e), so an epoch gives the same weights
    whether or not the run was interrupted before it. Order and augmentation do not depend on `training`: methods with
    the same seed see the same images in the same order.

    Args:
        model: in any mode; it is trained in training mode, on the device of its parameters.
        method: computes the update for a batch.
        images: `(n, channels, height, width)` uint8, on the same device.
        labels: `(n,)` integers, on the same device.
        settings: optimiser and schedule.
        seed: seed of the run.
        training: name of the method, e.g. "normal"; it is part of the seed of the method's own draws.
        augmentation: `(images, generator) -> images`, applied to each batch.
        validation: held-out images that decide which epoch was best, and when to stop.
        choices: acceleration of the network during training; `network` returns it without acceleration.
        team: processes that train together, each with the same arguments and with its rows of every batch (docs/
            training.md, "Several devices"). Results and `state_dict` are those of the leader.
    """

    def __init__(
        self,
        model: nn.Module,
        method: TrainingMethod,
        images: Tensor,
        labels: Tensor,
        settings: TrainingConfig,
        *,
        seed: int,
        training: str,
        augmentation: Augmentation | None = None,
        validation: Validation | None = None,
        choices: Choices = PLAIN,
        team: Team = ALONE,
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or len(images) != len(labels) or not len(images):
            raise ValueError(
                "images must be uint8 of shape (n, channels, height, width) with one label each, "
                f"got {images.dtype} {tuple(images.shape)} and {len(labels)} labels"
            )
        self.model, self.method = model, method
        self._images, self._labels = images, labels
        self._settings, self._seed, self._training = settings, seed, training
        self._augmentation, self._validation = augmentation, validation
        self._team, self._share = team, 1.0  # rows of this process in the batch
        self._method_states: list[Any] = []  # rows of the other processes
        self._optimiser = _optimiser(model, settings, self._add_gradients if team.size > 1 else None)
        self._working = wrap(model, choices)
        self._average: AveragedModel | None = None
        if settings.average_decay is not None:
            # running statistics are copied, not averaged
            averaging = get_ema_multi_avg_fn(settings.average_decay)  # type: ignore[no-untyped-call]
            self._average = AveragedModel(model, multi_avg_fn=averaging)
        self.epoch = 0  # completed epochs
        self.best_epoch = 0  # epoch with the highest accuracy or information on held-out images; 0 without any
        self.no_better = 0  # later epochs that competed with the best one
        self.best_accuracy = -1.0  # after the best epoch
        self.best_information: float | None = None  # after the best epoch, in nats, where it decides
        self.stopped: str | None = None  # why training ended before its last epoch, if it did
        self.at_chance: str | None = None  # why the network counts as at chance, if it does
        self.updates = 0  # of the weights
        self.forward_evaluations = 0
        self.gradient_evaluations = 0
        self.seconds = 0.0

    @property
    def network(self) -> nn.Module:
        """The network to measure: the model, or a model with the average of its weights."""
        return self.model if self._average is None else self._average.module

    def learning_rate(self) -> float:
        """Learning rate of the next epoch; of its last update during a warm-up, or if milestones count batches."""
        before_the_last = max(0, len(self._batch_numbers()) - 1)
        return learning_rate(self._settings, self.epoch, update=1.0, batches=self._batches + before_the_last)

    @property
    def _batches(self) -> int:
        """Batches of all completed epochs."""
        return self.updates // self.method.replays

    def _batch_numbers(self) -> range:
        """Return which batches of a pass over the images the next epoch uses."""
        number = math.ceil(len(self._images) / self._settings.batch_size)
        return range(self.epoch % self.method.replays, number, self.method.replays)

    def train_epoch(self, on_batch: Callable[[int], None] | None = None) -> EpochRecord:
        """Update the weights once per batch of training images; call `on_batch` with the size of each batch.

        If a method replays each batch m times, an epoch uses every m-th batch alone. Then m epochs use all images once,
        and an epoch has as many updates as with any other method.

        Raises:
            DivergedError: the loss or a weight is not finite.
        """
        began = time.perf_counter()
        device = self._images.device
        replays, before = self.method.replays, self._batches
        order = torch.randperm(
            len(self._images), generator=seeded_generator(self._seed, "order", self.epoch // replays)
        )
        split = torch.split(order.to(device), self._settings.batch_size)
        batches = [split[number] for number in self._batch_numbers()]
        seen = sum(map(len, batches))
        augmenting = seeded_generator(self._seed, "augmentation", self.epoch, device=device)
        attacking = PartGenerator(device=device)
        attacking.manual_seed(stable_seed(self._seed, "method", self._training, self.epoch))
        sums = torch.zeros(2, dtype=torch.double, device=device)  # sums of the loss and of correctly classified images
        forward = gradient = 0.0
        layout = memory_format(self.model)
        self._working.train()
        rank = [self._team.rank] * (self._team.rank > 0)  # other processes draw other masks
        dropout_seed = stable_seed(self._seed, "dropout", self._training, self.epoch, *rank)
        with isolated_global_generator(dropout_seed, device), merged_attack_warnings(), computed_as_chosen():
            for number, batch in enumerate(batches):
                images = as_pixels(self._images[batch])
                if self._augmentation is not None:
                    images = self._augmentation(images, augmenting)
                rows = self._team.rows(len(batch))
                own, labels = images[rows].contiguous(memory_format=layout), self._labels[batch[rows]]
                # a batch that all processes share counts each image once in total
                weight = 1.0 if len(own) < len(batch) else 1 / self._team.size
                self._share = weight * len(own) / len(batch)
                for group in self._optimiser.param_groups:
                    progress, update = self.epoch + number / len(batches), 1 / len(batches)
                    group["lr"] = learning_rate(self._settings, progress, update=update, batches=before + number)
                attacking.of_batch(rows, len(batch))
                record = self.method.step(self._working, self._optimiser, own, labels, generator=attacking)
                if self._average is not None:
                    self._average.update_parameters(self.model)
                sums[0] += record.loss.double() * len(own) * weight
                sums[1] += record.correct * weight
                forward += record.forward_evaluations * weight
                gradient += record.gradient_evaluations * weight
                if number % 50 == 0:  # not for every batch: reading a value waits for the device
                    self._check_finite(self._team.add_(sums[:1].clone()))
                if on_batch is not None:
                    on_batch(len(batch))
        together = torch.cat([sums, sums.new_tensor([forward, gradient])])
        loss_sum, correct, forward, gradient = self._team.add_(together).tolist()
        self.forward_evaluations += round(forward)
        self.gradient_evaluations += round(gradient)
        self._check_finite(together[:1], *self.model.parameters())
        rate = self.learning_rate()
        self.stopped = self.method.end_epoch(self.model)
        self._team.lead_(self.model.state_dict().values())  # batch statistics too
        self._method_states = self._team.gather(self.method.state_dict())[1:]
        if self.stopped is not None and self._average is not None:  # the method may have restored earlier weights
            self._average.module.load_state_dict(self.model.state_dict())
        self.epoch += 1
        self.updates += len(batches) * replays
        accuracy = correct / max(seen, 1)
        self.at_chance = self._how_at_chance(accuracy, seen)
        self.seconds += time.perf_counter() - began
        validated = self._validated()
        return EpochRecord(
            epoch=self.epoch,
            loss=loss_sum / max(seen, 1),
            accuracy=accuracy,
            learning_rate=rate,
            validation_accuracy=validated.accuracy if validated else None,
            validation_information=validated.information if validated else None,
            at_chance=self.at_chance,
        )

    def _add_gradients(self) -> None:
        add_gradients_(self.model.parameters(), self._team, self._share)

    @property
    def is_dead(self) -> bool:
        """Whether the training is still at chance after enough epochs and updates."""
        return self.at_chance is not None and self._is_warm() and self.updates >= ENOUGH_UPDATES

    def _is_warm(self) -> bool:
        """Whether the warm-up and one more epoch are complete."""
        return self.epoch >= max(warmup_epochs(self._settings), self._settings.warmup_epochs) + 1

    def _how_at_chance(self, accuracy: float, seen: int) -> str | None:
        """Check for chance after every epoch that follows the warm-up, and after the last epoch."""
        if not self._is_warm() and self.epoch < self._settings.epochs:
            return None
        return liveness(self.model, self._images, self._labels, accuracy=accuracy, number=seen).complaint()

    def _validated(self) -> Judgement | None:
        if self._validation is None:
            return None
        judged, patience = self._validation.judge(self.network), self._settings.patience
        if not self._competes(judged):
            return judged
        if self._is_better(judged):
            self.best_epoch, self.no_better = self.epoch, 0
            self.best_accuracy, self.best_information = judged
            return judged
        self.no_better += 1
        if patience is not None and self.stopped is None and self.no_better >= patience:
            what, best = "accuracy on", f"{self.best_accuracy:.1%}"
            if self.best_information is not None:
                what, best = "decoded information in", f"{self.best_information:.3f} nats"
            self.stopped = (
                f"{what} held-out images was highest after epoch {self.best_epoch}, {best}, "
                f"and no higher for {patience} epochs"
            )
        return judged

    def _competes(self, judged: Judgement) -> bool:
        """Return whether the network may be the best one, and counts for patience.

        Decoders can read more from a network at chance than from a trained one. So information decides only between
        epochs after the warm-up whose network is more accurate than a constant answer on the judged images.
        """
        assert self._validation is not None
        return judged.information is None or (self._is_warm() and judged.accuracy > self._validation.constant_accuracy)

    def _is_better(self, judged: Judgement) -> bool:
        if judged.information is not None:
            return self.best_information is None or judged.information > self.best_information
        return judged.accuracy > self.best_accuracy

    def _check_finite(self, *tensors: Tensor) -> None:
        if not all(math.isfinite(tensor.detach().sum(dtype=torch.double).item()) for tensor in tensors):
            raise DivergedError(
                f"{self._training} training diverged in epoch {self.epoch + 1}: the loss or a weight is not finite; "
                f"try a lower learning rate than {self.learning_rate():g} (--training.learning-rate)"
            )

    def state_dict(self) -> dict[str, Any]:
        """State of weights, buffers, optimiser, method and counters: all that the next epoch depends on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "method": self.method.state_dict(),
            "methods_of_others": self._method_states,
            "epoch": self.epoch,
            "stopped": self.stopped,
            "at_chance": self.at_chance,
            "updates": self.updates,
            "average": None if self._average is None else self._average.state_dict(),
            "best_epoch": self.best_epoch,
            "no_better": self.no_better,
            "best_accuracy": self.best_accuracy,
            "best_information": self.best_information,
            "forward_evaluations": self.forward_evaluations,
            "gradient_evaluations": self.gradient_evaluations,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        if not self._team.rank:
            self.method.load_state_dict(state["method"])
        elif self._team.rank <= len(state["methods_of_others"]):
            self.method.load_state_dict(state["methods_of_others"][self._team.rank - 1])
        self._method_states = state.get("methods_of_others", [])
        self.epoch = state["epoch"]
        self.stopped = state["stopped"]
        self.at_chance, self.updates = state["at_chance"], state["updates"]
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.best_epoch, self.best_accuracy = state["best_epoch"], state["best_accuracy"]
        self.best_information = state.get("best_information")  # older checkpoints have none
        self.no_better = state.get("no_better", self.epoch - self.best_epoch)
        self.forward_evaluations = state["forward_evaluations"]
        self.gradient_evaluations = state["gradient_evaluations"]
        self.seconds = state["seconds"]


def _optimiser(
    model: nn.Module, settings: TrainingConfig, before_step: Callable[[], None] | None
) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    betas = (settings.momentum, 0.999)
    optimiser: torch.optim.Optimizer
    if settings.optimiser == "adam":
        # fused: on a CPU a step of a large perceptron takes a quarter of the time
        optimiser = Adam(model.parameters(), lr=rate, betas=betas, weight_decay=decay, fused=True)
    elif settings.optimiser == "adamw":
        optimiser = AdamW(model.parameters(), lr=rate, betas=betas, weight_decay=decay)
    else:
        optimiser = SGD(model.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)
    if before_step is not None:
        optimiser.register_step_pre_hook(lambda *_: before_step())
    if (longest := settings.gradient_clip) is not None:
        # a hook, because methods step the optimiser themselves, some of them several times per batch
        optimiser.register_step_pre_hook(lambda *_: _clip(model, longest))
    return optimiser


def _clip(model: nn.Module, longest: float) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), longest)
