"""`infoplane shape`: whether the networks of a run answer by shape or by texture, and what their layers encode of both.

Images with the shape of one class and the texture of another are shown to every network. At each layer, decoders of
the label that are trained on images without a conflict read both classes, and so do decoders that are refitted to the
conflicts. The records of a network are written when they are whole.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from torch import Tensor, nn

from infoplane.data import stratified_indices
from infoplane.data.conflict_folder import read_conflict_folder
from infoplane.errors import UserError
from infoplane.estimators.influence import group_means
from infoplane.measuring.cue_decoding import Decoded, OriginalDecoders, refitted
from infoplane.measuring.evaluate import evaluate, layer_activations, recorded_names
from infoplane.measuring.exchanged import CONFLICTS, DECODED_KINDS, Exchange, exchange_of, fingerprint, kind_title
from infoplane.measuring.fitted_decoders import DECODABLE
from infoplane.measuring.layer_outputs import stratified_groups
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.randomness import seeded_generator
from infoplane.records.shape import (
    CUE_ANSWER_SCHEMA,
    CUE_LAYER_SCHEMA,
    FOLDER_KIND,
    LABEL,
    ORIGINALS_KIND,
    SHAPE,
    TEXTURE,
    UNTRAINED,
)
from infoplane.records.tables import DECODED, DECODED_TRANSFER
from infoplane.runs.folder import RunFolder
from infoplane.runs.own_loop import loop_settings
from infoplane.runs.progress import Progress, Silence
from infoplane.runs.shape_files import CueRecords, ShapeFiles
from infoplane.studies.finished import FinishedNetwork, FinishedRun
from infoplane.studies.parts import build_model

_PICTURES = 8  # conflicts of each kind that are kept for the page
_DECODING = 100.0  # work per image of decoding the layers of a kind, in passes of an image; as `where` counts it


class _Conflicts(NamedTuple):
    """Cue conflicts of one kind, as every network is shown them."""

    kind: str
    width: float | None
    fingerprint: str
    images: Tensor  # (n, channels, height, width) floats
    shapes: Tensor  # (n,) classes
    textures: Tensor  # (n,) classes
    groups: Tensor  # (n,) fixed groups
    sources: Mapping[str, Tensor]  # by cue: (n,) equal where conflicts share an image
    lenders: Mapping[str, Tensor] | None  # by cue: (n,) row of the lending original; None of images that were read
    facts: Mapping[str, Sequence[Any]]  # columns of the answers
    decoded: bool

    @property
    def key(self) -> tuple[str, float | None]:
        return self.kind, self.width


def shape_study(
    run: RunFolder,
    *,
    images: Path | None = None,
    examples: int | None = None,
    device: str = "cpu",
    model: str | None = None,
    progress: Progress | None = None,
) -> CueRecords:
    """Measure shape bias and decoded information about both cues in all networks of a finished run.

    Networks that have records on the same conflicts are not measured again.

    Args:
        run: the folder of the run; files are added to its folder `shape`.
        images: a folder of conflict images, measured beside those that are made; see `read_conflict_folder`.
        examples: number of images that are exchanged, a stratified part of those of study one; None takes all.
        device: "cpu" or "cuda".
        model: "package.module:function" of the network, for a run of a user's own training loop.
        progress: shows how far the study is.

    Returns:
        The records of all networks, those of earlier calls included.

    Raises:
        UserError: the run is not finished, the images are too few or of one class, or the folder is unusable.
    """
    progress, files = progress or Silence(), ShapeFiles(run)
    finished = FinishedRun(run, device, attacks=(), model=model, progress=progress)
    for seed, training in finished.ended_at_chance:
        progress.say(f"{training} training, seed {seed}: it ended at chance, so its network is not measured")
    exchange = _exchange(finished, examples)
    conflicts = _made(exchange, finished.config.data.seed)
    if images is not None:
        conflicts.append(_read(images, finished, exchange))
    prints = {one.key: one.fingerprint for one in conflicts} | {(ORIGINALS_KIND, None): exchange.fingerprint}
    files.forget_others(prints, originals=exchange.fingerprint)
    networks = [*_untrained(finished, run), *finished.trainings]
    sittings = [_Sitting(finished, *network, exchange, conflicts, run, progress) for network in networks]
    if any(sitting.missing for sitting in sittings):
        progress.say(f"{', '.join(f'{len(one.images):,} conflicts ({kind_title(*one.key)})' for one in conflicts)}")
        _keep_pictures(files, conflicts)
    progress.begin(sum(sitting.work_ahead() for sitting in sittings))
    for sitting in sittings:
        sitting.go()
    return files.read()


def _exchange(finished: FinishedRun, examples: int | None) -> Exchange:
    """Pair the examples, all of them or a stratified part."""
    labels, seed = finished.labels.cpu(), finished.config.data.seed
    generator = seeded_generator(seed, "examples of cue conflicts")
    chosen = stratified_indices(labels, examples or len(labels), generator=generator)
    if len(torch.unique(labels[chosen])) < 2:
        raise UserError("all measured examples are of one class, so shape and texture cannot be of different classes")
    found = exchange_of(finished.images[chosen], labels[chosen], seed)
    if len(found.examples) < 2 * DECODABLE:
        raise UserError(
            f"cue conflicts need at least {2 * DECODABLE} different examples of several classes, got "
            f"{len(found.examples)}; measure more examples"
        )
    return found._replace(examples=chosen[found.examples])


def _made(exchange: Exchange, seed: int) -> list[_Conflicts]:
    rows = torch.arange(len(exchange.labels))
    facts = {
        "shape_example": exchange.examples.tolist(),
        "texture_example": exchange.examples[exchange.partners].tolist(),
    }
    return [
        _Conflicts(
            kind=kind.name,
            width=kind.width,
            fingerprint=exchange.fingerprint,
            images=exchange.conflicts(kind, seed),
            shapes=exchange.labels,
            textures=exchange.textures,
            groups=exchange.groups,
            sources=dict.fromkeys((SHAPE, TEXTURE), exchange.pairs),
            lenders={SHAPE: rows, TEXTURE: exchange.partners},
            facts=facts,
            decoded=kind in DECODED_KINDS,
        )
        for kind in CONFLICTS
    ]


def _read(folder: Path, finished: FinishedRun, exchange: Exchange) -> _Conflicts:
    """Read the user's conflicts; those with one image for the shape are in one group.

    Their fingerprint includes that of the originals, to which the decoders that read the conflicts are fitted.
    """
    channels, height, width = finished.images.shape[1:]
    if height != width:
        raise UserError(f"--images: the images of this run are {height} x {width} pixels; only squares can be read")
    found = read_conflict_folder(folder, finished.test.class_names, image_size=height, channels=channels)
    measured = set(finished.labels.tolist())
    if unknown := sorted({*found.shapes.tolist(), *found.textures.tolist()} - measured):
        name = finished.test.class_names[unknown[0]]
        raise UserError(f"--images {folder}: the run measured no image of class {name!r}; measure more examples")
    firsts = torch.unique(found.shape_sources, return_inverse=True)[1]
    first_rows = torch.tensor([(firsts == one).nonzero()[0].item() for one in range(int(firsts.max()) + 1)])
    groups = stratified_groups(
        found.shapes[first_rows], seeded_generator(finished.config.data.seed, "groups of read conflicts")
    )
    return _Conflicts(
        kind=FOLDER_KIND,
        width=None,
        fingerprint=f"{fingerprint(found.images, found.shapes, found.textures)}-{exchange.fingerprint}",
        images=as_pixels(found.images).to(finished.images.device),
        shapes=found.shapes,
        textures=found.textures,
        groups=groups[firsts],
        sources={SHAPE: found.shape_sources, TEXTURE: found.texture_sources},
        lenders=None,
        facts={"image": found.names},
        decoded=True,
    )


def _untrained(finished: FinishedRun, run: RunFolder) -> list[tuple[int, str]]:
    """Return the networks with initial weights, one of each seed; none where these are not known."""
    if loop_settings(run) is not None or finished.config.model.weights is not None:
        return []
    return [(seed, UNTRAINED) for seed in dict.fromkeys(seed for seed, _ in finished.trainings)]


def _keep_pictures(files: ShapeFiles, conflicts: Sequence[_Conflicts]) -> None:
    images, facts = {}, {}
    for one in conflicts:
        title = kind_title(*one.key)
        images[title] = (one.images[:_PICTURES] * 255).round().clamp(0, 255).byte().cpu()
        facts[title] = [one.shapes[:_PICTURES].tolist(), one.textures[:_PICTURES].tolist()]
    files.write_pictures(images, {"classes": facts})


class _Sitting:
    """One network: show it the conflicts, decode its layers, write."""

    def __init__(
        self,
        finished: FinishedRun,
        seed: int,
        training: str,
        exchange: Exchange,
        conflicts: Sequence[_Conflicts],
        run: RunFolder,
        progress: Progress,
    ) -> None:
        self._finished, self._seed, self._training, self._exchange = finished, seed, training, exchange
        self._run, self._files, self._progress = run, ShapeFiles(run), progress
        self._is_trained = training != UNTRAINED
        self._who = f"{training} training, seed {seed}" if self._is_trained else f"initial weights, seed {seed}"
        own = (pl.col("seed") == seed) & (pl.col("training") == training)
        known = set(self._files.read().where(own).answers.select("kind", "width").unique().iter_rows())
        self.missing = [one for one in conflicts if one.key not in known]

    def work_ahead(self) -> float:
        """Return the amount of work of `go`, in passes of one image."""
        decoded = sum(len(one.images) for one in self.missing if one.decoded and self._is_trained)
        return sum(len(one.images) for one in self.missing) + _DECODING * decoded

    def go(self) -> None:
        """Measure all kinds of conflicts without records."""
        if not self.missing:
            self._progress.say(f"{self._who}: complete")
            return
        began = time.perf_counter()
        try:
            found = self._measured()
        except ValueError as error:  # e.g. activations of the user's network that are not finite
            raise UserError(f"{self._who}: {error}") from error
        self._files.write(self._seed, self._training, found)
        taken = time.perf_counter() - began
        kinds = [kind_title(*one.key) for one in self.missing]
        self._run.log("shape", seed=self._seed, training=self._training, kinds=kinds, seconds=taken)
        self._progress.advance(self.work_ahead())
        self._progress.say(f"{self._who}: measured {len(self.missing)} kinds of conflicts in {taken:.1f} s")

    def _measured(self) -> CueRecords:
        self._progress.doing(f"{self._who}: answers to conflicts")
        if not self._is_trained:
            config = self._finished.config.model_copy(update={"seed": self._seed})
            model = build_model(config, self._finished.test)
            return CueRecords(self._answers(model, epoch=0), pl.DataFrame(schema=CUE_LAYER_SCHEMA))
        network = self._finished.network(self._seed, self._training)
        answers = self._answers(network.model, network.epoch)
        self._progress.doing(f"{self._who}: decoding both cues at each layer")
        return CueRecords(answers, self._layers(network))

    def _answers(self, model: nn.Module, epoch: int) -> pl.DataFrame:
        parts = []
        for one in self.missing:
            with evaluation_mode(model), torch.autocast(one.images.device.type, enabled=False):
                predicted = evaluate(model, one.images, one.shapes.to(one.images.device)).predicted
            columns = {
                "conflict": range(len(one.images)),
                "shape": one.shapes.tolist(),
                "texture": one.textures.tolist(),
                "group": one.groups.tolist(),
                "predicted": predicted.tolist(),
                **one.facts,
            }
            facts = {"seed": self._seed, "training": self._training, "epoch": epoch, **_kind_facts(one)}
            every = {name: columns.get(name, [facts.get(name)] * len(one.images)) for name in CUE_ANSWER_SCHEMA}
            parts.append(pl.DataFrame(every, schema=CUE_ANSWER_SCHEMA))
        return pl.concat(parts)

    def _layers(self, network: FinishedNetwork) -> pl.DataFrame:
        exchange, decoded = self._exchange, [one for one in self.missing if one.decoded]
        settings, seed, rows = network.config.measurement, network.config.data.seed, []
        options = {"examples_seed": seed, "permutations": settings.decoder_permutations}
        shown = [exchange.images, *(one.images for one in decoded)]
        for place, (layer, (originals, *versions)) in enumerate(_layer_by_layer(network, shown)):
            facts = {"seed": self._seed, "training": self._training, "epoch": network.epoch}
            facts |= {"layer_index": place, "layer": layer}
            decoders = OriginalDecoders(originals, exchange.labels, groups=exchange.pairs, **options)
            of_originals = {"kind": ORIGINALS_KIND, "width": None, "cue": LABEL, "estimator": DECODED}
            of_originals["fingerprint"] = exchange.fingerprint
            rows.append(facts | of_originals | _numbers(decoders.of_originals(), exchange.groups))
            for one, activations in zip(decoded, versions, strict=True):
                for cue, classes in ((SHAPE, one.shapes), (TEXTURE, one.textures)):
                    own = facts | _kind_facts(one) | {"cue": cue}
                    if one.lenders is None:
                        found = decoders.of_others(activations, classes)
                    else:
                        found = decoders.of_exchanged(activations, one.lenders[cue])
                    rows.append(own | {"estimator": DECODED_TRANSFER} | _numbers(found, one.groups))
                    again = refitted(activations, classes, groups=one.sources[cue], **options)
                    if again is not None:
                        rows.append(own | {"estimator": DECODED} | _numbers(again, one.groups))
        return pl.DataFrame(rows, schema=CUE_LAYER_SCHEMA)


def _kind_facts(one: _Conflicts) -> dict[str, Any]:
    return {"kind": one.kind, "width": one.width, "fingerprint": one.fingerprint}


def _numbers(found: Decoded, groups: Tensor) -> dict[str, Any]:
    """Return the columns of a decoded value."""
    value, null = found.information, found.null
    return {
        "n": len(value.terms),
        "value_nats": value.value,
        "standard_error": value.error,
        "interval_low": value.low,
        "interval_high": value.high,
        "ceiling_nats": value.ceiling,
        "null_mean_nats": None if null is None else null.mean,
        "null_quantile95_nats": None if null is None else null.quantile95,
        "permutations": 0 if null is None else len(null.values),
        "undersampled": found.undersampled,
        "group_means": group_means(value.terms, groups, int(groups.max()) + 1).tolist(),
    }


def _layer_by_layer(network: FinishedNetwork, shown: Sequence[Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
    """Yield the name and the activations of each layer, for each set of images."""
    with evaluation_mode(network.model), torch.autocast(network.images.device.type, enabled=False):
        recorded_names(network.model, shown, network.layers)
        passes = [layer_activations(network.model, images, network.layers) for images in shown]
        for recorded in zip(*passes, strict=True):
            yield recorded[0][0], [own for _, own in recorded]
