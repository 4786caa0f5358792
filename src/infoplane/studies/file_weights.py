"""Networks whose weights are in a file from elsewhere: load them, and check their accuracy before they are measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from infoplane.config import FlowConfig
from infoplane.data import ImageSet, stratified_indices
from infoplane.errors import UserError
from infoplane.measuring.evaluate import evaluate
from infoplane.models import model_named
from infoplane.models.load_weights import load_weights
from infoplane.models.weights_file import WeightsFile, read_weights
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.randomness import seeded_generator
from infoplane.records.evaluation import Accuracy
from infoplane.robustness.summary import accuracy_of
from infoplane.runs.folder import RunFolder
from infoplane.studies.parts import build_model

CHECKED = 500  # test images whose accuracy is checked
KEY = "weights"  # in the environment of a run


class FileNetwork(NamedTuple):
    """A network with the weights of a file."""

    model: nn.Module
    notes: tuple[str, ...]  # sentences for the user


def network_of_file(config: FlowConfig, test: ImageSet, path: Path, file: WeightsFile) -> FileNetwork:
    """Build the network of the settings and load the weights into it.

    Args:
        config: names the model and its settings.
        test: images for which it is built.
        path: of the file, for messages.
        file: its content.

    Raises:
        UserError: the network cannot be built, or the weights do not fit it.
    """
    model, layout = build_model(config, test), model_named(config.model.name).key_layout
    loaded = load_weights(model, file.weights, of=f"--weights {path}", named=config.model.name, layout=layout)
    notes = []
    if loaded.renamed and not loaded.normalisation:
        mean, std = (" ".join(f"{number:g}" for number in one) for one in (config.model.mean, config.model.std))
        notes.append(
            f"{path.name} has no normalisation of pixels: the network has --model.mean {mean} --model.std {std}"
        )
    if loaded.renamed and layout is not None:
        settings = model_named(config.model.name).checked(config.model.settings).model_dump()
        notes += [
            f"published networks of this layout have --model.{name.replace('_', '-')} {value:g}, this one has "
            f"{settings[name]:g}"
            for name, value in layout.usual_settings
            if settings[name] != value
        ]
    return FileNetwork(model, tuple(notes))


def chance_note(clean: Accuracy, labels: Tensor) -> str | None:
    """Return a note if a constant answer could be as accurate as the network on the original images, else None.

    Args:
        clean: accuracy on these images.
        labels: `(n,)` integers of the images.
    """
    largest = int(torch.bincount(labels.cpu()).max()) / len(labels)
    if clean.low > largest:
        return None
    return (
        f"accuracy on original images is {shown(clean)}, no better than a constant answer ({100 * largest:.1f} %): "
        "the weights may be of another network or task, or the images may need another normalisation (--model.mean, "
        "--model.std)"
    )


def shown(one: Accuracy) -> str:
    """Return an accuracy with its interval, in percent."""
    return f"{100 * one.accuracy:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"


class WeightsOfRun:
    """The network that a run measures instead of one with random weights, if its settings name a file.

    Args:
        config: settings of the run.
        test: all its test images.
        run: its folder, or None.
        say: shows a line to the user.
    """

    def __init__(self, config: FlowConfig, test: ImageSet, run: RunFolder | None, say: Callable[[str], None]) -> None:
        self._config, self._test, self._run, self._say = config, test, run, say

    def read(self) -> tuple[dict[str, Tensor] | None, str | None]:
        """Read the file, check the accuracy of its network on test images, and record both in the run.

        Returns:
            All weights and buffers of the network, and why it is at chance, if it is; None without a file.

        Raises:
            UserError: the file cannot be read, does not fit the network, or is not the one that the run began with.
        """
        if self._config.model.weights is None:
            return None, None
        path = Path(self._config.model.weights)
        file = read_weights(path)
        network = network_of_file(self._config, self._test, path, file)
        clean, at_chance = self._accuracy(network.model)
        self._record(path, file, clean, at_chance)
        for note in network.notes:
            self._say(f"note: {note}")
        self._say(f"{path.name}: accuracy {shown(clean)} on {min(CHECKED, len(self._test))} test images")
        if at_chance:
            self._say(f"WARNING: {at_chance}")
        return network.model.state_dict(), at_chance

    def _accuracy(self, model: nn.Module) -> tuple[Accuracy, str | None]:
        generator = seeded_generator(self._config.data.seed, "checked examples")
        chosen = stratified_indices(self._test.labels, CHECKED, generator=generator).to(self._test.images.device)
        labels = self._test.labels[chosen]
        with evaluation_mode(model):
            predicted = evaluate(model, as_pixels(self._test.images[chosen]), labels).predicted
        clean = accuracy_of((predicted.to(labels.device) == labels).cpu())
        return clean, chance_note(clean, labels)

    def _record(self, path: Path, file: WeightsFile, clean: Accuracy, at_chance: str | None) -> None:
        if self._run is None or not self._run.exists():
            return
        kept: Any = self._run.read_config()["environment"].get(KEY)
        if isinstance(kept, dict) and kept.get("sha256") != file.sha256:
            raise UserError(
                f"--weights {path} is not the file that {self._run.path} began with; put the old one back, or choose "
                "another folder with --run"
            )
        record = {"file": path.name, "sha256": file.sha256, **clean.model_dump(), "at_chance": at_chance is not None}
        self._run.keep(**{KEY: record})


def check_weights_settings(config: FlowConfig) -> None:
    """Refuse settings under which weights of a file cannot be measured.

    Raises:
        UserError: the settings train, have several seeds, or name several trainings.
    """
    if config.model.weights is None:
        return
    if config.training.epochs:
        raise UserError("--weights measures a network that was trained elsewhere: add --epochs 0")
    if config.seeds > 1:
        raise UserError(f"--weights is one network: leave out --seeds {config.seeds}")
    if len(config.methods) > 1:
        raise UserError(
            "--weights is one network: say how it was trained with --methods normal, or --methods adversarial, which "
            "names it in tables and figures"
        )
