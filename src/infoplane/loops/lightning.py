"""Measure an information plane while Lightning trains: one callback. It needs the extra `lightning`."""

import sys
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
from infoplane.loops.trackers import log_scalars

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
elif "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:  # the one that the user works with
    from pytorch_lightning import Callback
elif find_spec("lightning") is not None:
    from lightning.pytorch import Callback
elif find_spec("pytorch_lightning") is not None:
    from pytorch_lightning import Callback
else:
    raise ImportError("infoplane.loops.lightning needs Lightning: pip install 'infoplane[lightning]'")

__all__ = ["InformationPlaneCallback"]


class InformationPlaneCallback(Callback):
    """Measures the network of a LightningModule before training, after each training epoch, and at the end of `fit`.

    Epochs are numbered by how many are completed, so that 0 is the untrained network. Epoch e + 1 is measured in
    `on_train_epoch_end`, when the validation of that epoch is over. The last is measured in `on_train_end`, with all
    that `InformationPlane.measure(final=True)` adds. The sanity check of Lightning is not measured. Training ends with
    the same weights, bit for bit, as without the callback.

    The scalars of each measurement go to all loggers of the trainer, at the step `trainer.global_step`.

    Several processes (strategy "ddp") measure together. Rank 0 logs and writes.

    If training continues from a checkpoint (`trainer.fit(ckpt_path=...)`), the run folder keeps the epochs before it.
    `plane` has those that this process has measured.

    Args:
        images: `(n, channels, height, width)` float32 in [0, 1], on any device: some hundreds to thousands that are not
            trained on.
        labels: `(n,)` integers, the indices of the classes among the logits.
        attack: makes adversarial examples, which are then measured too: an attack or a dict of several, as for
            `InformationPlane`.
        layers: names of modules inside the network; by default its `probed_layers`, or all its convolutions and linear
            layers.
        every: measure at epochs that this number divides, and at the last.
        thorough_every: fit decoders and take the Monte Carlo value between the KDE bounds at epochs that this number
            divides. By default they are taken at epoch 0 and at the last epoch only, since they cost several times the
            rest.
        run: folder of the run, which is saved after each measurement. `infoplane report` and all other commands read
            it. By default nothing is written.
        network: returns the network that maps images in [0, 1] to logits, given the LightningModule. By default that is
            the LightningModule itself, by its `forward`.
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
        name: str = "own",
        class_names: Sequence[str] = (),
        settings: MeasurementConfig | None = None,
        seed: int = 0,
        training: str = "normal",
        budget: float | None = None,
    ) -> None:
        super().__init__()
        self._network = network
        self._completed: int | None = None  # epochs, once one has ended in this `fit`
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

    def on_fit_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Prepare the plane on the device of the network.

        Raises:
            UserError: the LightningModule has no `forward`, or the strategy divides the network.
        """
        if self._network is None and _has_no_forward(pl_module):
            raise UserError(
                f"{type(pl_module).__name__} has no forward(); add one that returns logits, or name the network: "
                "InformationPlaneCallback(..., network=lambda module: module.model)"
            )
        parents = {parent.__name__ for parent in type(trainer.strategy).__mro__}
        if trainer.world_size > 1 and ("DDPStrategy" not in parents or parents & {"DeepSpeedStrategy", "XLAStrategy"}):
            raise UserError(
                f"{type(trainer.strategy).__name__} is not supported: each process needs the whole network; use "
                'Trainer(strategy="ddp"), or one device'
            )
        self._completed = None
        self._planes.begin(pl_module.device, sharing_processes())

    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Measure epoch 0, unless training continues from a checkpoint."""
        if trainer.global_step == 0:
            self._measure(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Measure the epoch that ends, if it is due and not the last."""
        self._completed = trainer.current_epoch + 1
        if self._planes.is_due(self._completed) and not _ends(trainer, self._completed):
            self._measure(trainer, pl_module, self._completed)

    def on_train_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Measure the last epoch."""
        if self._completed is not None:
            self._measure(trainer, pl_module, self._completed, final=True)

    def _measure(self, trainer: "Trainer", module: "LightningModule", epoch: int, *, final: bool = False) -> None:
        network = module if self._network is None else self._network(module)
        # a trial run of a few batches leaves no files behind, as it leaves no checkpoints
        scalars = self._planes.measure(network, epoch, final=final, save=not trainer.fast_dev_run)
        if scalars and trainer.is_global_zero:
            for logger in trainer.loggers:
                log_scalars(scalars, logger, trainer.global_step)


def _has_no_forward(module: "LightningModule") -> bool:
    """Return whether no class has a `forward` of its own: Lightning inherits one from torch that only raises."""
    defining: type = next(parent for parent in type(module).__mro__ if "forward" in vars(parent))
    return defining is nn.Module or defining.__module__.split(".")[0] in ("lightning", "pytorch_lightning")


def _ends(trainer: "Trainer", completed: int) -> bool:
    """Return whether training is known to end with this epoch, so that `on_train_end` measures it."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    return bool((epochs is not None and 0 <= epochs <= completed) or 0 <= steps <= trainer.global_step)
