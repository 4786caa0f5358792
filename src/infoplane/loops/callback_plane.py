"""The plane of a callback: made on the device of the network, and measured so that training goes on as without it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from infoplane.attacks import Attack
from infoplane.checks import check_at_least
from infoplane.config import MeasurementConfig
from infoplane.distributed.team import ALONE, RankedTeam, Team
from infoplane.errors import UserError
from infoplane.loops.plane import InformationPlane
from infoplane.randomness import isolated_array_generators, isolated_global_generator, stable_seed
from infoplane.runs.folder import RunFolder


class CallbackPlane:
    """What the callbacks for Lightning and Hugging Face share: a plane, its schedule, and its run folder.

    Args:
        images: as for `InformationPlane`, on any device.
        labels: as for `InformationPlane`.
        every: measure at epochs that this number divides, and at the last.
        thorough_every: fit decoders and take the Monte Carlo value at epochs that this number divides, at the first
            and at the last; None leaves those between out.
        run: folder that the plane is saved into after each measurement, if any.
        training: name of the training in the records.
        name: as for `InformationPlane`, like the following.
        class_names: names of the classes.
        layers: the probed ones.
        attack: makes the adversarial examples.
        settings: of the measurement.
        seed: of the training.
        budget: largest share of the time of training.

    Raises:
        ValueError: an argument is not as described.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        every: int,
        thorough_every: int | None,
        run: Path | str | None,
        training: str,
        name: str,
        class_names: Sequence[str],
        layers: Sequence[str],
        attack: Attack | Mapping[str, Attack] | None,
        settings: MeasurementConfig | None,
        seed: int,
        budget: float | None,
    ) -> None:
        check_at_least(every, 1, name="every")
        if thorough_every is not None:
            check_at_least(thorough_every, 1, name="thorough_every")
        self._every, self._thorough_every = every, thorough_every
        self._run, self._training, self._seed = run, training, seed
        self._images, self._labels, self._team = images, labels, ALONE

        self._made = partial(  # no function of this scope: processes that are spawned get a pickled copy
            InformationPlane,
            name=name,
            class_names=class_names,
            layers=layers,
            attack=attack,
            settings=settings,
            seed=seed,
            budget=budget,
        )
        self.plane = self._made(images, labels)  # now, so that what is wrong is said before training

    def begin(self, device: torch.device | str, processes: int = 1) -> None:
        """Prepare for training on a device.

        Args:
            device: of the network.
            processes: that train together, each with all of the network. They must be in the default process group.
        """
        team = RankedTeam() if processes > 1 else ALONE
        if self._images.device != torch.device(device) or team.size != self._team.size:
            self._images, self._labels = self._images.to(device), self._labels.to(device)
            self.plane = self._made(self._images, self._labels, team=team)
        self._team = team

    def is_due(self, epoch: int) -> bool:
        """Return whether an epoch is measured, if it is not the last."""
        return epoch % self._every == 0

    def measure(self, network: nn.Module, epoch: int, *, final: bool = False, save: bool = True) -> dict[str, float]:
        """Measure the network and save the run. Return the scalars, empty if the budget leaves the epoch out.

        The modes, weights, buffers and gradients of the network and all global random generators are left as they were.

        Args:
            network: maps images to logits.
            epoch: completed epochs; 0 begins a training, so the run folder must not have later ones yet.
            final: whether it is the last epoch.
            save: whether the run folder is written.

        Raises:
            ValueError: as `InformationPlane.measure`.
            UserError: as `InformationPlane.save`, or the run folder has an earlier training of this name and seed.
        """
        save = save and self._run is not None
        if save and epoch == 0:
            self._in_the_leader(self._check_new)
        thorough = final or epoch == 0 or (self._thorough_every is not None and epoch % self._thorough_every == 0)
        seed = stable_seed(self._seed, "callback", epoch)
        with ExitStack() as restored:
            # a network may draw in evaluation mode too
            restored.enter_context(isolated_global_generator(seed, self._images.device))
            restored.enter_context(isolated_array_generators(seed))
            restored.enter_context(_buffers_of_the_leader(network, self._team))
            found = self.plane.measure(network, epoch=epoch, training=self._training, thorough=thorough, final=final)
        if not found.measurements:
            return {}
        if save:
            self._in_the_leader(self._save)
        return self.plane.scalars(epoch, self._training)

    def _check_new(self) -> None:
        assert self._run is not None
        epochs = RunFolder(self._run, option="run=").checkpoint_epochs(self._seed, self._training)
        if epochs and epochs[-1] > 0:
            raise UserError(
                f"{self._run} already holds a training {self._training!r} of seed {self._seed}; name another folder "
                "with run=, another training= or seed=, or delete the folder"
            )

    def _save(self) -> None:
        assert self._run is not None
        self.plane.save(self._run)

    def _in_the_leader(self, work: Callable[[], None]) -> None:
        """Do some work in process 0. All processes raise its error, so that none waits for the others."""
        refused: UserError | None = None
        if self._team.rank == 0:
            try:
                work()
            except UserError as error:
                refused = error
        if (refused := self._team.tell(refused)) is not None:
            raise refused


def sharing_processes() -> int:
    """Return the number of processes in the default process group of torch; 1 if there is none."""
    there = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if there else 1


@contextmanager
def _buffers_of_the_leader(network: nn.Module, team: Team) -> Iterator[None]:
    """Give all processes the buffers of rank 0 inside the block.

    The statistics of BatchNorm differ between processes that train on different images.
    """
    if team.size == 1:
        yield
        return
    buffers = [buffer.detach() for buffer in network.buffers()]
    before = [buffer.clone() for buffer in buffers]
    team.lead_(buffers)
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
