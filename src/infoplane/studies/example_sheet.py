"""Keep a few example images at every level of a distortion, with the predicted classes, for figures."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.runs.folder import RunFolder
from infoplane.studies.finished import FinishedNetwork

SHOWN = 3  # images


def shown_places(labels: Tensor) -> list[int]:
    """Return the index of the first example of each of a few classes, spread over all classes."""
    classes = torch.unique(labels).tolist()
    chosen = dict.fromkeys(round(step * (len(classes) - 1) / (SHOWN - 1)) for step in range(SHOWN))
    return [int((labels == classes[place]).nonzero()[0]) for place in chosen]


def shown_levels(run: RunFolder, study: str, seed: int, training: str, distortion: str) -> set[str]:
    """Return the levels with examples in the run's folder, as written in the keys of a sheet.

    Raises:
        UserError: the sheet is damaged.
    """
    images, _ = run.read_examples(study, seed, training, distortion) or ({}, {})
    return {key.rpartition("/")[2] for key in images}


class ExampleSheet:
    """Collects a few images per level and version; `write` saves them in the run's folder.

    Images are stored as bytes under "version/level", e.g. "adversarial/8", with the facts `class_names`, `labels`, and
    `predicted` (predicted classes under the same keys).
    """

    def __init__(self, network: FinishedNetwork) -> None:
        self._network = network
        self._places = shown_places(network.labels)
        self._images: dict[str, Tensor] = {}
        self._predicted: dict[str, list[int]] = {}

    def add(self, level: float, versions: Mapping[str, Tensor]) -> None:
        """Add the shown examples from all measured ones, `(n, channels, height, width)` by version."""
        model = self._network.model
        with torch.no_grad(), evaluation_mode(model):
            for examples, images in versions.items():
                shown = images[self._places]
                key = f"{examples}/{level:g}"
                self._predicted[key] = model(as_pixels(shown, memory_format(model))).argmax(dim=1).tolist()
                self._images[key] = (shown * 255).round().byte()

    def write(self, run: RunFolder, study: str, distortion: str) -> None:
        """Write the images, together with those of earlier calls."""
        where = (study, self._network.seed, self._network.training, distortion)
        images, facts = run.read_examples(*where) or ({}, {"predicted": {}})
        kept: dict[str, Any] = {
            "class_names": list(self._network.test.class_names),
            "labels": self._network.labels[self._places].tolist(),
            "predicted": facts["predicted"] | self._predicted,
        }
        run.write_examples(*where, images | self._images, kept)
