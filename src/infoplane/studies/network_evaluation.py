"""Evaluation of one network: every attack of a suite, accuracy against epsilon, and alarms of gradient masking.

A network with random parts is evaluated in each way in which it is used (`robustness.uses`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import polars as pl
import torch
from torch import nn

from infoplane.errors import UserError
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.records.evaluation import NetworkEvaluation
from infoplane.robustness.outputs import look_at_outputs
from infoplane.robustness.summary import accuracy_of, attacked_row, clean_row, curve_points, right_under_all
from infoplane.robustness.uses import note_on, uses_of
from infoplane.studies.evaluation_files import weights_sha256
from infoplane.studies.file_weights import chance_note
from infoplane.studies.path_evaluation import PathStudy, Setting

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network to evaluate.

    Args:
        key: short name for files.
        name: in words.
        load: function that returns the network, on the device of the images.
        seed: of its training, if known.
        training: name of its training, if known.
        checkpoint: "last", "best" or "file".
        epoch: completed epochs of training, if known.
        source: another network for the same images, for transfer attacks.
        notes: sentences about its origin for the user and the record.
    """

    key: str
    name: str
    load: Callable[[], nn.Module]
    seed: int | None = None
    training: str | None = None
    checkpoint: str
    epoch: int | None = None
    source: "Subject | None" = None
    notes: tuple[str, ...] = ()


class NetworkStudy:
    """Evaluation of one network.

    Args:
        subject: the network.
        setting: of the evaluation.
    """

    def __init__(self, subject: Subject, setting: Setting) -> None:
        self._subject, self._setting = subject, setting

    def work_ahead(self) -> float:
        """Return the largest amount of work that `go` will do, in forward and backward passes of one image.

        Raises:
            UserError: the network breaks its contract.
        """
        return self._with_paths(lambda _, paths: sum(path.work_ahead() for path in paths))

    def go(self) -> tuple[NetworkEvaluation, pl.DataFrame]:
        """Run all attacks without a result, and return the evaluation with a row for each image and attack.

        Raises:
            UserError: the network or an attack breaks its contract.
        """
        return self._with_paths(self._evaluated)

    def _with_paths(self, work: Callable[[nn.Module, list[PathStudy]], Result]) -> Result:
        """Load the network and give it to `work`, in evaluation mode, with the ways in which it is used."""
        subject, images = self._subject, self._setting.images
        model = subject.load()
        try:
            with evaluation_mode(model), torch.autocast(images.pixels.device.type, enabled=False):
                return work(model, self._paths(model))
        except ValueError as error:
            raise UserError(f"{subject.name}: {error}") from error

    def _paths(self, model: nn.Module) -> list[PathStudy]:
        subject, images, weights = self._subject, self._setting.images, weights_sha256(model)
        paths: list[PathStudy] = []
        for use in reversed(uses_of(model, images.pixels, images.seed)):  # examples of the first are tried on the last
            path = PathStudy(
                use,
                self._setting,
                key=subject.key,
                name=subject.name,
                weights=weights,
                source=None if subject.source is None else subject.source.load,
                tried_on=paths[-1] if paths else None,
            )
            paths.append(path)
        return paths[::-1]

    def _evaluated(self, model: nn.Module, paths: list[PathStudy]) -> tuple[NetworkEvaluation, pl.DataFrame]:
        subject, images, progress = self._subject, self._setting.images, self._setting.progress
        notes = [*subject.notes, *filter(None, [note_on([path.use for path in paths])])]
        for note in notes:
            progress.say(f"note: {note}")
        for reason in dict.fromkeys(reason for path in paths for reason in path.left_out):
            notes.append(f"left out: {reason}")
            progress.say(f"{subject.name}: left out: {reason}")
        chance = dict.fromkeys(filter(None, (chance_note(path.clean, images.labels) for path in paths)))
        for warning in chance:
            progress.say(f"WARNING: {warning}")
        for path in paths:
            path.go()
        outputs = look_at_outputs(model, images.pixels)
        worst = {path.use.path: right_under_all(path.correct, path.results) for path in paths}
        evaluation = NetworkEvaluation(
            name=subject.name,
            seed=subject.seed,
            training=subject.training,
            checkpoint=subject.checkpoint,
            epoch=subject.epoch,
            weights_sha256=weights_sha256(model),
            attacks=[
                row
                for path in paths
                for row in (
                    clean_row(path.correct.cpu(), path.use.path),
                    *(attacked_row(one, result, path.use.path) for one, result in path.results.items()),
                )
            ],
            worst_case=accuracy_of(torch.stack(list(worst.values())).all(dim=0)),
            worst_of_paths={path: accuracy_of(right) for path, right in worst.items()} if len(worst) > 1 else {},
            curve=[
                point
                for path in paths
                if path.curve
                for point in curve_points(path.epsilons, path.curve, path.use.path)
            ],
            alarms=[alarm for path in paths for alarm in path.alarms(outputs)],
            notes=[*notes, *chance],
        )
        for alarm in evaluation.alarms:
            progress.say(f"{subject.name}  ALARM: {alarm.text}")
        return evaluation, pl.concat(path.table() for path in paths)
