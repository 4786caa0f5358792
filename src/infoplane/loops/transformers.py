"""Measure an information plane while the Trainer of Hugging Face trains. It needs the extra `transformers`."""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from infoplane.attacks import Attack
from infoplane.config import MeasurementConfig
from infoplane.errors import UserError
from infoplane.loops.callback_plane import CallbackPlane, sharing_processes
from infoplane.loops.plane import InformationPlane

if not TYPE_CHECKING and find_spec("transformers") is None:
    raise ImportError("infoplane.loops.transformers needs Transformers: pip install 'infoplane[transformers]'")

from transformers import PrinterCallback, ProgressCallback, TrainerCallback

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

__all__ = ["InformationPlaneCallback"]


class InformationPlaneCallback(TrainerCallback):
    """Measures the model of a Hugging Face `Trainer` before training and after each epoch.

    Epochs are numbered by how many are completed, so that 0 is the model before training. If training ends within an
    epoch (`max_steps`), that epoch counts. At the last epoch all that `InformationPlane.measure(final=True)` adds is
    measured as well. Training ends with the same weights, bit for bit, as without the callback.

    Several processes (DDP) measure together. Rank 0 writes and logs. If training continues from a checkpoint, the run
    folder keeps the epochs before it, and `plane` has those that this process has measured.

    Args:
        images: `(n, channels, height, width)` float32 in [0, 1], on any device: some hundreds to thousands that are not
            trained on.
        labels: `(n,)` integers, the indices of the classes among the logits.
        attack: makes adversarial examples, which are then measured too: an attack or a dict of several, as for
            `InformationPlane`.
        layers: names of modules inside the model. By default all its convolutions and linear layers are measured, which
            are many in a transformer: name the blocks, e.g. `["vit.layers.0", "vit.layers.1", "classifier"]`.
        every: measure at epochs that this number divides, and at the last.
        thorough_every: fit decoders and take the Monte Carlo value between the KDE bounds at epochs that this number
            divides. By default they are taken at epoch 0 and at the last epoch only, since they cost several times the
            rest.
        run: folder of the run, which is saved after each measurement. `infoplane report` and all other commands read
            it. By default nothing is written.
        network: returns the network that maps images in [0, 1] to logits, given the model: say, the model behind a
            layer that normalises. By default the model gets the images as `pixel_values`.
        trainer: the `Trainer`, whose trackers (`TrainingArguments(report_to=...)`) then get the scalars of each
            measurement. They are not printed, since they are many. By default nothing is logged.
        name: title of figures and report.
        class_names: one per class, for figures and report.
        settings: noise, bins and permutations.
        seed: seed of the training, for the records and the attack's draws.
        training: name of the training in the records, e.g. "adversarial".
        budget: largest share of the time of training, say 0.25, that measuring may take.

    Raises:
        ValueError: an argument is not as described.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        attack: Attack | Mapping[str, Attack] | None = None,
        layers: Sequence[str] = (),
        every: int = 1,
        thorough_every: int | None = None,
        run: Path | str | None = None,
        network: Callable[[Any], nn.Module] | None = None,
        trainer: "Trainer | None" = None,
        name: str = "own",
        class_names: Sequence[str] = (),
        settings: MeasurementConfig | None = None,
        seed: int = 0,
        training: str = "normal",
        budget: float | None = None,
    ) -> None:
        self._network, self._trainer = network, trainer
        self._final: int | None = None  # the epoch that was measured as the last one
        self._planes = CallbackPlane(
            images,
            labels,
            every=every,
            thorough_every=thorough_every,
            run=run,
            training=training,
            name=name,
            class_names=class_names,
            layers=layers,
            attack=attack,
            settings=settings,
            seed=seed,
            budget=budget,
        )

    @property
    def plane(self) -> InformationPlane:
        """The plane with all records so far."""
        return self._planes.plane

    def on_train_begin(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **given: Any
    ) -> None:
        """Measure epoch 0, unless training continues from a checkpoint.

        Raises:
            UserError: the processes divide the model between them.
        """
        processes = sharing_processes()
        if processes > 1 and (args.fsdp or args.deepspeed):
            raise UserError("FSDP and DeepSpeed are not supported: each process needs the whole model; use DDP")
        self._final = None
        self._planes.begin(args.device, processes)
        if state.global_step == 0:
            self._measure(args, state, control, 0, given)

    def on_epoch_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **given: Any
    ) -> None:
        """Measure the epoch that ends, if it is due or the last."""
        epoch = _completed(state)
        # not in `on_train_end`: the Trainer may have loaded its best weights by then
        final = control.should_training_stop or state.global_step >= state.max_steps
        if final or self._planes.is_due(epoch):
            self._measure(args, state, control, epoch, given, final=final)

    def on_train_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **given: Any
    ) -> None:
        """Measure the last epoch where its end was not known before, as after early stopping."""
        epoch = _completed(state)
        if self._final == epoch or state.global_step == 0:
            return
        if args.load_best_model_at_end:
            warnings.warn(
                f"epoch {epoch} is not measured as the last one: early stopping has loaded the best weights since",
                stacklevel=2,
            )
            return
        self._measure(args, state, control, epoch, given, final=True)

    def _measure(
        self,
        args: "TrainingArguments",
        state: "TrainerState",
        control: "TrainerControl",
        epoch: int,
        given: Mapping[str, Any],
        *,
        final: bool = False,
    ) -> None:
        model = given["model"]
        network = self._network(model) if self._network is not None else _taking_images(model)
        scalars = self._planes.measure(network, epoch, final=final)
        self._final = epoch if final else None
        if scalars and self._trainer is not None and state.is_world_process_zero:
            # one by one: Trainer.log would print hundreds of numbers, and cancel its own log of this step
            for tracker in self._trainer.callback_handler.callbacks:
                if not isinstance(tracker, PrinterCallback | ProgressCallback):
                    tracker.on_log(args, state, control, logs=dict(scalars), **given)


class _ByPixelValues(nn.Module):
    """Hands images over by name, to a model whose first argument is another one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        return self.model(pixel_values=images)


def _taking_images(model: nn.Module) -> nn.Module:
    parameters = list(inspect.signature(model.forward).parameters)
    return _ByPixelValues(model) if "pixel_values" in parameters[1:] else model


def _completed(state: "TrainerState") -> int:
    """Return the number of completed epochs; one that training has left early counts."""
    return math.ceil(round(state.epoch or 0.0, 6))
