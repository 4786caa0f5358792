"""Evaluation of one way in which a network is used: its attacks, accuracy against epsilon, and alarms.

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
from infoplane.measuring.evaluate import evaluate
from infoplane.randomness import seeded_generator
from infoplane.records.evaluation import CLEAN, EVALUATION, ONE_PATH, Accuracy, Alarm, AttackedImage
from infoplane.records.tables import table_schema
from infoplane.robustness.alarms import all_alarms
from infoplane.robustness.curve import curve_epsilons, survivors
from infoplane.robustness.outputs import Outputs
from infoplane.robustness.suites import CURVE_DESCRIPTION, CURVE_STEPS, SuiteAttack, on_mean_path
from infoplane.robustness.summary import accuracy_of
from infoplane.robustness.under_attack import Examples, UnderAttack, examples_of, verified
from infoplane.robustness.uses import Use
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.studies.evaluation_files import AttackFiles, weights_sha256
from infoplane.studies.file_weights import shown

_CURVE_RADII = 8


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """What all networks of an evaluation share.

    Args:
        attacks: that can be run, in their order.
        ball: in which a changed image counts against the network.
        images: the images.
        folder: of the evaluation.
        progress: shows how far it is.
        with_curve: whether accuracy against epsilon is measured.
    """

    attacks: Sequence[SuiteAttack]
    ball: Ball
    images: Images
    folder: RunFolder
    progress: Progress
    with_curve: bool = True


class PathStudy:
    """Evaluation of one way in which a network is used.

    Args:
        use: the way.
        setting: of the evaluation.
        key: short name of the network for files.
        name: of the network in words.
        weights: checksum of the network.
        source: function that returns another network for transfer attacks; None if there is none.
        tried_on: another way to use the network, on which the examples of this one are tried too.
    """

    def __init__(
        self,
        use: Use,
        setting: Setting,
        *,
        key: str,
        name: str,
        weights: str,
        source: Callable[[], nn.Module] | None,
        tried_on: "PathStudy | None" = None,
    ) -> None:
        self.use, self._setting, self._key = use, setting, key
        self._who = f"{name}, {use.path}" if use.path else name
        self._weights, self._source, self._tried_on = weights, source, tried_on
        self.attacks, self.left_out = use.attacks(setting.attacks)
        self._files = AttackFiles(setting.folder, "-".join([key, *use.path.split()]))
        self._own: dict[SuiteAttack, UnderAttack] = {}
        self._tried: dict[SuiteAttack, UnderAttack] = {}
        images = setting.images
        self.predicted = evaluate(use.verified, images.pixels, images.labels).predicted
        self.correct = self.predicted.to(images.labels.device) == images.labels
        self.curve: list[Tensor] = []
        self.epsilons = curve_epsilons(setting.ball.norm, images.pixels)

    @property
    def clean(self) -> Accuracy:
        """Accuracy on the original images."""
        return accuracy_of(self.correct.cpu())

    @property
    def results(self) -> Mapping[SuiteAttack, UnderAttack]:
        """Of each attack; examples that were made on another path come last."""
        return {**self._own, **self._tried}

    def work_ahead(self) -> float:
        """Return the largest amount of work that `go` will do, in forward and backward passes of one image."""
        ahead = sum(self._work(one) for one in self.attacks if not self._files.path(one.name).is_file())
        missing = self._setting.with_curve and not self._files.path("curve").is_file()
        return ahead + (self._curve_work() if missing else 0)

    def _work(self, attack: SuiteAttack) -> float:
        return attack.work * len(self._setting.images.labels) * self.use.work

    def _curve_work(self) -> float:
        return CURVE_STEPS * _CURVE_RADII * len(self._setting.images.labels) * self.use.work * self.use.draws

    def go(self) -> None:
        """Run all attacks without a result, and measure accuracy against epsilon."""
        progress = self._setting.progress
        progress.say(f"{self._who}  clean: {shown(self.clean)}")
        for place, one in enumerate(self.attacks):
            progress.doing(f"{self._who}: {one.name} ({place + 1} of {len(self.attacks)})")
            self._own[one] = self._result(one)
        if self._setting.with_curve:
            progress.doing(f"{self._who}: accuracy against epsilon")
            self.curve = self._survivors()

    def alarms(self, outputs: Outputs) -> list[Alarm]:
        """Return the alarms; each text begins with the path if the network has several uses.

        Args:
            outputs: of the network that is attacked.
        """
        curve = self.curve or [torch.zeros(len(self.correct), dtype=torch.bool)]
        found = all_alarms(self.results, outputs, self.epsilons, curve, averaged=self.use.draws > 1)
        if self.use.path == ONE_PATH:
            return found
        return [alarm.model_copy(update={"text": f"{self.use.path}: {alarm.text}"}) for alarm in found]

    def _made_of(self, attack: str) -> dict[str, Any]:
        path = {"path": self.use.path} if self.use.path else {}
        return {"weights": self._weights, "attack": attack, **path}

    def _result(self, one: SuiteAttack) -> UnderAttack:
        setting, built = self._setting, one.build(self._setting.ball)
        settings = repr(built) if is_dataclass(built) else ""  # of others it may hold an address
        made_of = self._made_of(f"{one.description} {settings}")
        if one.threat == "transfer":
            built, made_of["source"] = self._on_source(built)
        passed_on = self._tried_on if one.threat != "transfer" else None  # transfer makes the same examples there
        known = self._files.read(one.name, made_of)
        if known is not None and (passed_on is None or passed_on.has_tried(one, made_of)):
            return known
        draws = seeded_generator(setting.images.seed, EVALUATION, one.name, device=setting.images.pixels.device)
        attacked = self.use.single if one.one_draw else self.use.attacked
        assert attacked is not None, "attacks along one draw are left out where there is none"
        examples = examples_of(
            attacked, built, setting.images.pixels, setting.images.labels, self.correct, generator=draws
        )
        result = self._verified(one, examples, made_of)
        setting.progress.advance(self._work(one))
        if passed_on is not None:
            passed_on.try_examples(one, examples, made_of)
        return result

    def _verified(self, one: SuiteAttack, examples: Examples, made_of: Mapping[str, Any]) -> UnderAttack:
        setting = self._setting
        result = verified(self.use.verified, examples, self.correct, setting.ball)
        self._files.write(one.name, result, made_of)
        setting.folder.log("attacked", network=self._key, path=self.use.path, attack=one.name, seconds=result.seconds)
        setting.progress.say(
            f"{self._who}  {one.name}: {shown(accuracy_of(result.robust))} (in {result.seconds:.1f} s)"
        )
        for complaint, number in result.complaints.items():
            setting.progress.say(f"{self._who}  {one.name}: {number} of {result.attacked} images {complaint}")
        return result

    def has_tried(self, one: SuiteAttack, made_of: Mapping[str, Any]) -> bool:
        """Return whether the examples of another path have a result here; it is then one of `results`."""
        there = on_mean_path(one)
        known = self._files.read(there.name, {**made_of, "tried on": self.use.path})
        if known is not None:
            self._tried[there] = known
        return known is not None

    def try_examples(self, one: SuiteAttack, examples: Examples, made_of: Mapping[str, Any]) -> None:
        """Verify examples that were made on another path; its passes and complaints are not counted again here."""
        there, free = on_mean_path(one), {"seconds": 0.0, "forward": 0, "gradient": 0, "complaints": {}}
        examples = Examples(**{**vars(examples), **free})
        self._tried[there] = self._verified(there, examples, {**made_of, "tried on": self.use.path})

    def _on_source(self, attack: Attack) -> tuple[Attack, str]:
        assert self._source is not None, "a transfer attack is left out where there is no source"
        network = self._source()
        return Transfer(attack=attack, source=network), weights_sha256(network)

    def _survivors(self) -> list[Tensor]:
        images, epsilons = self._setting.images, self.epsilons
        attack = f"{CURVE_DESCRIPTION}; all steps on every image" if self.use.all_steps else CURVE_DESCRIPTION
        made_of = {**self._made_of(attack), "epsilons": list(epsilons)}
        if (known := self._files.read_curve(made_of)) is not None:
            return known
        began, curve = time.perf_counter(), list[Tensor]()

        def draws(place: int) -> torch.Generator:
            return seeded_generator(images.seed, EVALUATION, "curve", place, device=images.pixels.device)

        for left in survivors(
            self.use.attacked,
            images.pixels,
            images.labels,
            self.correct,
            self._setting.ball.norm,
            epsilons,
            draws,
            draws=self.use.draws,
            all_steps=self.use.all_steps,
            classifier=None if self.use.verified is self.use.attacked else self.use.verified,
        ):
            curve.append(left)
            self._setting.progress.advance(self._curve_work() / len(epsilons))
        self._files.write_curve(curve, made_of)
        self._setting.progress.say(
            f"{self._who}  accuracy against epsilon: {100 * curve[0].double().mean():.1f} % at "
            f"{epsilons[0]:.3g} to {100 * curve[-1].double().mean():.1f} % at {epsilons[-1]:.3g} "
            f"(in {time.perf_counter() - began:.1f} s)"
        )
        return curve

    def table(self) -> pl.DataFrame:
        """Return a row for each image and attack."""
        images, correct = self._setting.images, self.correct.cpu()
        zeros = torch.zeros(len(correct))
        rows: Mapping[str, tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = {
            CLEAN: (self.predicted, torch.zeros_like(correct), correct, zeros, zeros),
            **{one.name: (r.predicted, r.fooled, r.robust, r.linf, r.l2) for one, r in self.results.items()},
        }
        return pl.concat(
            pl.DataFrame(
                {
                    "network": [self._key] * len(correct),
                    "path": [self.use.path] * len(correct),
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
