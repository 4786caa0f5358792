"""`infoplane where`: at which layer each example loses its label, without an attack and under each attack.

At every layer of a finished network, decoders are fitted to the originals and decode each version of the examples that
their fit did not include: pointwise information about the label (`measuring.pointwise`). The same is done for permuted
labels, with the same folds. The records of a network are written when they are whole.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.attacks import AttackSpec, attacks_named
from infoplane.errors import UserError
from infoplane.estimators.distinct_rows import first_appearances
from infoplane.measuring.attacked_versions import versions_of
from infoplane.measuring.evaluate import evaluate, layer_activations, recorded_names
from infoplane.measuring.fitted_decoders import DECODABLE
from infoplane.measuring.places_of_loss import places_of_loss
from infoplane.measuring.plane import distinct_images
from infoplane.measuring.pointwise import PointwiseLayer, pointwise_information
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.records.tables import ORIGINAL
from infoplane.records.where import POINTWISE_LAYER_SCHEMA, POINTWISE_SCHEMA
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress, Silence
from infoplane.runs.where_files import Where, WhereFiles
from infoplane.studies.attack_lines import attack_lines
from infoplane.studies.attack_warnings import attack_warnings_said
from infoplane.studies.finished import FinishedNetwork, FinishedRun
from infoplane.studies.flow.work_estimate import reading_work

SHOWN_PAIRS = 16  # images of a network and version in the gallery, each of another class or misclassified as another
_SHOWN_PIXELS = 96  # larger images are stored smaller


def where_lost(
    run: RunFolder,
    *,
    attacks: Sequence[str] | None = None,
    examples: int | None = None,
    device: str = "cpu",
    model: str | None = None,
    progress: Progress | None = None,
) -> Where:
    """Measure pointwise information about the label in all networks of a finished run.

    Attacks that have records on the same examples are not measured again.

    Args:
        run: the folder of the run; files are added to its folder `where`.
        attacks: names of the attacks; None takes those of the run.
        examples: number of examples, a stratified part of those of study one; None takes all.
        device: "cpu" or "cuda".
        model: "package.module:function" of the network, for a run of a user's own training loop.
        progress: shows how far the study is.

    Returns:
        The records of all networks, those of earlier calls included.

    Raises:
        UserError: the run is not finished, an attack cannot be used, or the examples are too few or of one class.
    """
    progress = progress or Silence()
    finished = FinishedRun(run, device, attacks=attacks, model=model, progress=progress)
    for seed, training in finished.ended_at_chance:
        progress.say(f"{training} training, seed {seed}: it ended at chance, so its network is not measured")
    chosen = _chosen(finished, examples)
    sittings = [_Sitting(finished, seed, training, chosen, run, progress) for seed, training in finished.trainings]
    if any(sitting.missing for sitting in sittings):
        progress.say(f"{len(chosen)} examples of each network")
        for line in attack_lines(finished.config):
            progress.say(line)
    progress.begin(sum(sitting.work_ahead() for sitting in sittings))
    for sitting in sittings:
        sitting.go()
    return WhereFiles(run).read()


def _chosen(finished: FinishedRun, examples: int | None) -> Tensor:
    """Return the indices of the examples among the measured ones, ascending."""
    labels, chosen = finished.labels.cpu(), finished.chosen("examples of pointwise information", examples)
    distinct = len(torch.unique(distinct_images(finished.images[chosen])))
    if distinct < DECODABLE:
        raise UserError(f"decoders need at least {DECODABLE} different examples, got {distinct}; measure more examples")
    if len(torch.unique(labels[chosen])) < 2:
        raise UserError("all measured examples are of one class, so there is no information about the label to lose")
    return chosen


class _Sitting:
    """One network: attack it, decode, write."""

    def __init__(
        self, finished: FinishedRun, seed: int, training: str, chosen: Tensor, run: RunFolder, progress: Progress
    ) -> None:
        self._finished, self._seed, self._training, self._chosen = finished, seed, training, chosen
        self._run, self._files, self._progress = run, WhereFiles(run), progress
        self._who = f"{training} training, seed {seed}"
        known = self._files.read().about(seed, training)
        same = set(known.pointwise["example"]) == set(chosen.tolist())
        self._known = known if same else Where(*(table.clear() for table in known))
        specs = attacks_named(finished.config.attacks, finished.config.attack.norm)
        wanted: dict[str, AttackSpec | None] = {ORIGINAL: None, **specs}
        recorded = set(self._known.layers["examples"])
        self.missing = {name: spec for name, spec in wanted.items() if name not in recorded}

    def work_ahead(self) -> float:
        """Return the amount of work of `go`, in forward and backward passes of one image."""
        if not self.missing:
            return 0
        names = tuple(spec.name for spec in self.missing.values() if spec)
        return len(self._chosen) * reading_work(self._finished.config.model_copy(update={"attacks": names}))

    def go(self) -> None:
        """Attack the network by all attacks without records, and decode the label at every layer."""
        if not self.missing:
            self._progress.say(f"{self._who}: complete")
            return
        began, network = time.perf_counter(), self._finished.network(self._seed, self._training)
        images, labels = network.images[self._chosen], network.labels[self._chosen]
        try:
            self._progress.doing(f"{self._who}: attacking")
            versions = self._versions(network, images, labels)
            predicted = {name: _predicted(network, one, labels) for name, one in versions.items()}
            self._progress.doing(f"{self._who}: decoding the label at each layer")
            found = self._decoded(network, versions, labels, predicted)
        except ValueError as error:  # e.g. activations of the user's network that are not finite
            raise UserError(f"{self._who}: {error}") from error
        new = pl.col("examples").is_in(list(self.missing))
        whole = Where(
            *(pl.concat([old, one.filter(new)]) for old, one in zip(self._known, found, strict=True))
        )  # the originals decode as before
        self._write_gallery(versions, labels, predicted)
        self._files.write(self._seed, self._training, whole)
        taken = time.perf_counter() - began
        self._run.log(
            "where",
            seed=self._seed,
            training=self._training,
            examples=list(self.missing),
            n=len(labels),
            seconds=taken,
        )
        self._progress.advance(self.work_ahead())
        self._progress.say(f"{self._who}: decoded {len(versions)} versions of {len(labels)} examples in {taken:.1f} s")

    def _versions(self, network: FinishedNetwork, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        attacks = {name: network.attacks[name] for name in self.missing if name != ORIGINAL}
        with evaluation_mode(network.model), attack_warnings_said(self._who, self._progress, self._log):
            return versions_of(
                images, labels, network.model, attacks, seed=self._seed, training=self._training, epoch=network.epoch
            )

    def _decoded(
        self, network: FinishedNetwork, versions: Mapping[str, Tensor], labels: Tensor, predicted: Mapping[str, Tensor]
    ) -> Where:
        settings, copies = network.config.measurement, distinct_images(versions[ORIGINAL]).cpu()
        names, layers = [], []
        for name, activations in _layer_by_layer(network, versions):
            names.append(name)
            layers.append(
                pointwise_information(
                    activations,
                    labels,
                    groups=copies,
                    examples_seed=network.config.data.seed,
                    permutations=settings.decoder_permutations,
                )
            )
        facts = {"seed": self._seed, "training": self._training, "epoch": network.epoch}
        examples = {
            "example": self._chosen.tolist(),
            "copy_of": self._chosen[first_appearances(copies)].tolist(),
            "label": labels.cpu().tolist(),
        }
        attacks = {name: spec.name if spec else None for name, spec in self.missing.items()}
        pointwise, summaries = [], []
        for name in versions:
            whole = {**facts, "examples": name}
            for place, (layer, one) in enumerate(zip(names, layers, strict=True)):
                own = {**whole, "layer_index": place, "layer": layer}
                information, encoded = one.labels[name]
                values = {"information_nats": information.tolist(), "encoded": encoded.tolist()}
                table = pl.DataFrame({**examples, "predicted": predicted[name].tolist(), **values})
                pointwise.append(_with_facts(table, own, POINTWISE_SCHEMA))
                summaries.append(
                    {
                        **own,
                        "attack": attacks.get(name),
                        "n": len(labels),
                        "information_nats": information.mean().item(),
                        "undersampled": one.undersampled,
                        **_permuted(layers, place, name),
                    }
                )
        return Where(pl.concat(pointwise), pl.DataFrame(summaries, schema=POINTWISE_LAYER_SCHEMA))

    def _write_gallery(self, versions: Mapping[str, Tensor], labels: Tensor, predicted: Mapping[str, Tensor]) -> None:
        """Keep the first misclassified example of each class and mistaken class, the most frequent pairs first."""
        images, facts = self._files.read_gallery(self._seed, self._training) or ({}, {"examples": {}})
        right = predicted[ORIGINAL] == labels.cpu()
        for name, version in versions.items():
            wrong = predicted[name] != labels.cpu()
            places = _first_of_pairs(labels.cpu(), predicted[name], wrong if name == ORIGINAL else wrong & right)
            if places:
                images |= {name: _shown(version[places]), f"{name}/{ORIGINAL}": _shown(versions[ORIGINAL][places])}
            facts["examples"][name] = self._chosen[places].tolist()
        self._files.write_gallery(self._seed, self._training, images, facts)

    def _log(self, event: str, **facts: object) -> None:
        self._run.log(event, seed=self._seed, training=self._training, **facts)


def _with_facts(table: pl.DataFrame, facts: Mapping[str, object], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the table with constant columns, in the order and types of the schema."""
    return table.with_columns(**{name: pl.lit(fact) for name, fact in facts.items()}).select(
        pl.col(name).cast(kind) for name, kind in schema.items()
    )


def _layer_by_layer(
    network: FinishedNetwork, versions: Mapping[str, Tensor]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the name and the activations of each layer, by version."""
    with evaluation_mode(network.model), torch.autocast(network.images.device.type, enabled=False):
        recorded_names(network.model, versions.values(), network.layers)
        passes = [layer_activations(network.model, images, network.layers) for images in versions.values()]
        for recorded in zip(*passes, strict=True):
            yield recorded[0][0], {name: own for name, (_, own) in zip(versions, recorded, strict=True)}


def _permuted(layers: Sequence[PointwiseLayer], place: int, name: str) -> dict[str, float | int | None]:
    """Return what permuted labels give at the layer at `place`, as means over permutations."""
    permutations = len(layers[0].permuted[name])
    if not permutations:
        return {"permutations": 0}
    here = layers[place].permuted[name]
    lost = []
    for number in range(permutations):
        own, originals = (
            np.stack([layer.permuted[version][number].encoded.numpy() for layer in layers])
            for version in (name, ORIGINAL)
        )
        lost.append((places_of_loss(own, originals) == place).mean())
    return {
        "permutations": permutations,
        "permuted_nats": torch.stack([one.information for one in here]).mean().item(),
        "permuted_encoded_share": torch.stack([one.encoded for one in here]).double().mean().item(),
        "permuted_lost_share": float(np.mean(lost)),
    }


def _first_of_pairs(labels: Tensor, predicted: Tensor, among: Tensor) -> list[int]:
    """Return the first example of each class and mistaken class, the most frequent pairs first."""
    pairs: dict[tuple[int, int], list[int]] = {}
    for place in among.nonzero().flatten().tolist():
        pairs.setdefault((int(labels[place]), int(predicted[place])), []).append(place)
    ordered = sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return [places[0] for _, places in ordered[:SHOWN_PAIRS]]


def _shown(images: Tensor) -> Tensor:
    """Return images as bytes, `(n, channels, height, width)`, large ones smaller."""
    if max(images.shape[2:]) > _SHOWN_PIXELS:
        scale = _SHOWN_PIXELS / max(images.shape[2:])
        images = F.interpolate(images, scale_factor=scale, mode="area")
    return (images * 255).round().clamp(0, 255).byte().cpu()


def _predicted(network: FinishedNetwork, images: Tensor, labels: Tensor) -> Tensor:
    with evaluation_mode(network.model), torch.autocast(images.device.type, enabled=False):
        return evaluate(network.model, images, labels).predicted
