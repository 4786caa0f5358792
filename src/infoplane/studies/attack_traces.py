"""`infoplane attacks`: what the layers of finished networks encode under many attacks.

Each network is attacked by every attack on the same examples. The examples are measured as study one measures them:
decoders refitted to them, decoders of the originals applied to them, and I(X;T). Strength and cost of each attack are
recorded too. The records of a network are written when they are whole, apart from those of other studies.
"""

import time
from collections.abc import Sequence

import polars as pl
import torch
from torch import Tensor

from infoplane.attacks import Attack, AttackSpec, attacks_named
from infoplane.attacks.oracle import counted_evaluations
from infoplane.errors import UserError
from infoplane.measuring.attacked_versions import versions_of
from infoplane.measuring.evaluate import evaluate
from infoplane.measuring.plane import Plane
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.records.attacks import ATTACKS_STUDY, AttackOutcome, attack_outcome_table
from infoplane.records.tables import ORIGINAL, measurement_table
from infoplane.runs.attack_files import AttackFiles, Traces
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress, Silence
from infoplane.studies.attack_lines import attack_lines
from infoplane.studies.attack_warnings import attack_warnings_said
from infoplane.studies.finished import FinishedNetwork, FinishedRun
from infoplane.studies.flow.work_estimate import measuring_work
from infoplane.studies.transfer_between import written_transfer_matrix

EXAMPLES = 500


def attack_traces(
    run: RunFolder,
    attacks: Sequence[str],
    *,
    examples: int = EXAMPLES,
    device: str = "cpu",
    model: str | None = None,
    progress: Progress | None = None,
) -> Traces:
    """Measure all networks of a finished run under each attack, and the transfer matrix between them.

    Attacks that have records on as many examples are not measured again.

    Args:
        run: the folder of the run; files are added to its folder `attacks`.
        attacks: names of the attacks.
        examples: number of examples, a stratified part of those of study one; all if there are fewer.
        device: "cpu" or "cuda".
        model: builds the networks of a run that `InformationPlane.save` wrote: its name, or package.module:function.
        progress: shows how far the study is.

    Returns:
        The records of all networks, those of earlier calls included.

    Raises:
        UserError: the run is not finished, or an attack cannot be used.
    """
    progress = progress or Silence()
    finished = FinishedRun(run, device, attacks=attacks, model=model, progress=progress)
    for seed, training in finished.ended_at_chance:
        progress.say(f"{training} training, seed {seed}: it ended at chance, so its network is not measured")
    chosen = finished.chosen("examples of attacks", examples)
    sittings = [_Sitting(finished, seed, training, chosen, run, progress) for seed, training in finished.trainings]
    if any(sitting.missing for sitting in sittings):
        progress.say(f"{len(chosen)} examples of each network")
        for line in attack_lines(finished.config):
            progress.say(line)
    progress.begin(sum(sitting.work_ahead() for sitting in sittings))
    for sitting in sittings:
        sitting.go()
    written_transfer_matrix(finished, chosen, run, progress)
    return AttackFiles(run).read_all()


class _Sitting:
    """One network: attack it, measure, write."""

    def __init__(
        self, finished: FinishedRun, seed: int, training: str, chosen: Tensor, run: RunFolder, progress: Progress
    ) -> None:
        self._finished, self._seed, self._training, self._chosen = finished, seed, training, chosen
        self._run, self._files, self._progress = run, AttackFiles(run), progress
        self._who = f"{training} training, seed {seed}"
        known = self._files.read(seed, training)
        same = known.outcomes.filter(pl.col("n") == len(chosen))
        self._known = known if len(same) == len(known.outcomes) else Traces(known[0].clear(), known[1].clear())
        specs = attacks_named(finished.config.attacks, finished.config.attack.norm)
        recorded = set(self._known.outcomes["examples"])
        self.missing: dict[str, AttackSpec] = {name: spec for name, spec in specs.items() if name not in recorded}

    def work_ahead(self) -> float:
        """Return the amount of work of `go`, in forward and backward passes of one image."""
        if not self.missing:
            return 0
        names = tuple(spec.name for spec in self.missing.values())
        config = self._finished.config.model_copy(update={"attacks": names})
        return len(self._chosen) * measuring_work(config, thorough=True, final=False)

    def go(self) -> None:
        """Attack and measure the network by all attacks without records."""
        if not self.missing:
            self._progress.say(f"{self._who}: complete")
            return
        began, network = time.perf_counter(), self._finished.network(self._seed, self._training)
        images, labels = network.images[self._chosen], network.labels[self._chosen]
        versions, outcomes = {ORIGINAL: images}, []
        before = _predicted(network, images, labels) == labels.cpu()
        try:
            for name, spec in self.missing.items():
                self._progress.doing(f"{self._who}: attack {spec.name}")
                versions[name], outcome = self._attacked(network, name, spec, images, labels, before)
                outcomes.append(outcome)
                self._progress.say(
                    f"{self._who}, {spec.name}: accuracy {outcome.accuracy:.1%} ({outcome.seconds:.1f} s)"
                )
            self._progress.doing(f"{self._who}: measuring the layers")
            found = Traces(self._measured(network, versions, labels), attack_outcome_table(outcomes))
        except ValueError as error:  # e.g. activations of the user's network that are not finite
            raise UserError(f"{self._who}: {error}") from error
        earlier = self._known
        if len(earlier.measurements):  # with the same originals
            found = Traces(found.measurements.filter(pl.col("examples") != ORIGINAL), found.outcomes)
        whole = Traces(*(pl.concat(parts) for parts in zip(earlier, found, strict=True)))
        self._files.write(self._seed, self._training, whole)
        taken = time.perf_counter() - began
        self._log("attacked", attacks=[spec.name for spec in self.missing.values()], n=len(labels), seconds=taken)
        self._progress.advance(self.work_ahead())
        self._progress.say(f"{self._who}: measured {len(versions)} versions of {len(labels)} examples in {taken:.1f} s")

    def _attacked(
        self,
        network: FinishedNetwork,
        name: str,
        spec: AttackSpec,
        images: Tensor,
        labels: Tensor,
        before: Tensor,
    ) -> tuple[Tensor, AttackOutcome]:
        """Return the examples of one attack, and how strong it is; `before` says what was classified rightly."""
        attack: dict[str, Attack] = {name: network.attacks[name]}
        began = time.perf_counter()
        with (
            evaluation_mode(network.model),
            counted_evaluations() as counted,
            attack_warnings_said(f"{self._who}, {spec.name}", self._progress, self._log),
        ):
            found = versions_of(
                images, labels, network.model, attack, seed=self._seed, training=self._training, epoch=network.epoch
            )[name]
        seconds = time.perf_counter() - began
        after = _predicted(network, found, labels) == labels.cpu()
        change = (found - images).flatten(1).double().cpu()[before & ~after]
        return found, AttackOutcome(
            seed=self._seed,
            training=self._training,
            epoch=network.epoch,
            attack=spec.name,
            examples=name,
            threat=spec.threat,
            in_ball=spec.in_ball,
            gradients=counted.gradient / len(labels),
            queries=(counted.forward - counted.gradient) / len(labels),
            seconds=seconds,
            n=len(labels),
            accuracy=after.double().mean().item(),
            original_accuracy=before.double().mean().item(),
            median_l2=change.norm(dim=1).median().item() if len(change) else None,
            median_linf=change.abs().amax(dim=1).median().item() if len(change) else None,
        )

    def _measured(self, network: FinishedNetwork, versions: dict[str, Tensor], labels: Tensor) -> pl.DataFrame:
        plane = Plane(
            versions[ORIGINAL],
            labels,
            layers=network.layers,
            settings=network.config.measurement.model_copy(update={"budget": None}),
            seed=self._seed,
            examples_seed=network.config.data.seed,
            study=ATTACKS_STUDY,
        )
        records = plane.measure(network.model, epoch=network.epoch, training=self._training, versions=versions)
        return measurement_table(records.measurements)

    def _log(self, event: str, **facts: object) -> None:
        self._run.log(event, seed=self._seed, training=self._training, **facts)


def _predicted(network: FinishedNetwork, images: Tensor, labels: Tensor) -> Tensor:
    with evaluation_mode(network.model), torch.autocast(images.device.type, enabled=False):
        return evaluate(network.model, images, labels).predicted
