"""Evaluation of one network: every attack of a suite, accuracy against epsilon, and alarms of gradient masking.

The result of every attack is a file, so that a process that is killed loses at most one attack.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from infoplane.attacks import Attack, Transfer
from infoplane.attacks.contract import Ball
from infoplane.errors import UserError
from infoplane.measuring.evaluate import evaluate
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.randomness import seeded_generator
from infoplane.records.evaluation import EVALUATION, AttackedImage, NetworkEvaluation
from infoplane.records.tables import table_schema
from infoplane.robustness.alarms import all_alarms
from infoplane.robustness.curve import curve_epsilons, survivors
from infoplane.robustness.outputs import look_at_outputs
from infoplane.robustness.suites import CURVE_DESCRIPTION, CURVE_STEPS, SuiteAttack
from infoplane.robustness.summary import accuracy_of, attacked_row, clean_row, curve_points, worst_case
from infoplane.robustness.under_attack import UnderAttack, under_attack
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.studies.evaluation_files import AttackFiles, weights_sha256
from infoplane.studies.file_weights import chance_note, shown

_CURVE_RADII = 8


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """The images of an evaluation.

    Args:
        pixels: `(n, channels, height, width)` float32 in [0, 1].
        labels: `(n,)` integers.
        indices: `(n,)` places among all test images.
        seed: source of the random draws of attacks, which are the same for all networks.
    """

    pixels: Tensor
    labels: Tensor
    indices: Tensor
    seed: int


class NetworkStudy:
    """Evaluation of one network.

    Args:
        subject: the network.
        attacks: that can be run on it, in their order.
        ball: in which a changed image counts against the network.
        images: the images.
        folder: of the evaluation.
        progress: shows how far it is.
    """

    def __init__(
        self,
        subject: Subject,
        attacks: Sequence[SuiteAttack],
        ball: Ball,
        images: Images,
        folder: RunFolder,
        progress: Progress,
    ) -> None:
        self._subject, self._attacks, self._ball, self._images = subject, attacks, ball, images
        self._folder, self._progress = folder, progress
        self._files = AttackFiles(folder, subject.key)
        self._results: dict[SuiteAttack, UnderAttack] = {}

    def work_ahead(self) -> float:
        """Return the largest amount of work that `go` will do, in forward and backward passes of one image."""
        ahead = sum(self._work(one) for one in self._attacks if not self._files.path(one.name).is_file())
        return ahead + (0 if self._files.path("curve").is_file() else self._curve_work())

    def _work(self, attack: SuiteAttack) -> float:
        return attack.work * len(self._images.labels)

    def _curve_work(self) -> float:
        return CURVE_STEPS * _CURVE_RADII * len(self._images.labels)

    def go(self) -> tuple[NetworkEvaluation, pl.DataFrame]:
        """Run all attacks without a result, and return the evaluation with a row for each image and attack.

        Raises:
            UserError: the network or an attack breaks its contract.
        """
        subject, images = self._subject, self._images
        model = subject.load()
        try:
            with evaluation_mode(model), torch.autocast(images.pixels.device.type, enabled=False):
                return self._evaluated(model)
        except ValueError as error:
            raise UserError(f"{subject.name}: {error}") from error

    def _evaluated(self, model: nn.Module) -> tuple[NetworkEvaluation, pl.DataFrame]:
        subject, images, weights = self._subject, self._images, weights_sha256(model)
        predicted = evaluate(model, images.pixels, images.labels).predicted
        correct = predicted.to(images.labels.device) == images.labels
        clean = accuracy_of(correct.cpu())
        for note in subject.notes:
            self._progress.say(f"note: {note}")
        self._progress.say(f"{subject.name}  clean: {shown(clean)}")
        at_chance = chance_note(clean, images.labels)
        if at_chance is not None:
            self._progress.say(f"WARNING: {at_chance}")
        for place, one in enumerate(self._attacks):
            self._progress.doing(f"{subject.name}: {one.name} ({place + 1} of {len(self._attacks)})")
            self._results[one] = self._result(model, one, correct, weights)
        self._progress.doing(f"{subject.name}: accuracy against epsilon")
        epsilons = curve_epsilons(self._ball.norm, images.pixels)
        curve = self._curve(model, correct, epsilons, weights)
        outputs = look_at_outputs(model, images.pixels)
        evaluation = NetworkEvaluation(
            name=subject.name,
            seed=subject.seed,
            training=subject.training,
            checkpoint=subject.checkpoint,
            epoch=subject.epoch,
            weights_sha256=weights,
            attacks=[clean_row(correct.cpu()), *(attacked_row(one, self._results[one]) for one in self._results)],
            worst_case=worst_case(correct, self._results),
            curve=curve_points(epsilons, curve),
            alarms=all_alarms(self._results, outputs, epsilons, curve),
            notes=[*subject.notes, *filter(None, [at_chance])],
        )
        for alarm in evaluation.alarms:
            self._progress.say(f"{subject.name}  ALARM: {alarm.text}")
        return evaluation, self._table(predicted, correct.cpu())

    def _result(self, model: nn.Module, attack: SuiteAttack, correct: Tensor, weights: str) -> UnderAttack:
        images, built = self._images, attack.build(self._ball)
        settings = repr(built) if is_dataclass(built) else ""  # of others it may hold an address
        made_of: dict[str, Any] = {"weights": weights, "attack": f"{attack.description} {settings}"}
        if attack.threat == "transfer":
            built, made_of["source"] = self._on_source(built)
        if (known := self._files.read(attack.name, made_of)) is not None:
            return known
        draws = seeded_generator(images.seed, EVALUATION, attack.name, device=images.pixels.device)
        result = under_attack(model, built, images.pixels, images.labels, correct, self._ball, generator=draws)
        self._files.write(attack.name, result, made_of)
        self._folder.log("attacked", network=self._subject.key, attack=attack.name, seconds=result.seconds)
        self._progress.advance(self._work(attack))
        self._progress.say(
            f"{self._subject.name}  {attack.name}: {shown(accuracy_of(result.robust))} (in {result.seconds:.1f} s)"
        )
        for complaint, number in result.complaints.items():
            self._progress.say(f"{self._subject.name}  {attack.name}: {number} of {result.attacked} images {complaint}")
        return result

    def _on_source(self, attack: Attack) -> tuple[Attack, str]:
        source = self._subject.source
        assert source is not None, "a transfer attack is left out where there is no source"
        network = source.load()
        return Transfer(attack=attack, source=network), weights_sha256(network)

    def _curve(self, model: nn.Module, correct: Tensor, epsilons: Sequence[float], weights: str) -> list[Tensor]:
        images = self._images
        made_of = {"weights": weights, "attack": CURVE_DESCRIPTION, "epsilons": list(epsilons)}
        if (known := self._files.read_curve(made_of)) is not None:
            return known
        began, curve = time.perf_counter(), list[Tensor]()

        def draws(place: int) -> torch.Generator:
            return seeded_generator(images.seed, EVALUATION, "curve", place, device=images.pixels.device)

        for left in survivors(model, images.pixels, images.labels, correct, self._ball.norm, epsilons, draws):
            curve.append(left)
            self._progress.advance(self._curve_work() / len(epsilons))
        self._files.write_curve(curve, made_of)
        self._progress.say(
            f"{self._subject.name}  accuracy against epsilon: {100 * curve[0].double().mean():.1f} % at "
            f"{epsilons[0]:.3g} to {100 * curve[-1].double().mean():.1f} % at {epsilons[-1]:.3g} "
            f"(in {time.perf_counter() - began:.1f} s)"
        )
        return curve

    def _table(self, predicted: Tensor, correct: Tensor) -> pl.DataFrame:
        images = self._images
        zeros = torch.zeros(len(correct))
        rows: Mapping[str, tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = {
            "clean": (predicted, torch.zeros_like(correct), correct, zeros, zeros),
            **{one.name: (r.predicted, r.fooled, r.robust, r.linf, r.l2) for one, r in self._results.items()},
        }
        return pl.concat(
            pl.DataFrame(
                {
                    "network": [self._subject.key] * len(correct),
                    "attack": [attack] * len(correct),
                    "index": images.indices.tolist(),
                    "label": images.labels.tolist(),
                    "predicted": columns[0].tolist(),
                    "fooled": columns[1].tolist(),
                    "robust": columns[2].tolist(),
                    "linf": columns[3].tolist(),
                    "l2": columns[4].tolist(),
                },
                schema=table_schema(AttackedImage),
            )
            for attack, columns in rows.items()
        )
