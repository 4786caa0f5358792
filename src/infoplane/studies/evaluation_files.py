"""Files of an evaluation: the result of each attack, written whole, and used again if nothing has changed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from infoplane.robustness.under_attack import UnderAttack
from infoplane.runs.folder import ATTACKED, RunFolder
from infoplane.runs.tensor_file import packed, unpacked

_AGAIN = "delete it and give the command again"
_MADE_OF = "made_of"
_TENSORS = ("predicted", "fooled", "robust", "linf", "l2")


def weights_sha256(model: nn.Module) -> str:
    """Return a checksum of the names, shapes and values of all weights and buffers."""
    content = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor):
            content.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()


class AttackFiles:
    """Results of the attacks on one network.

    Args:
        folder: of the evaluation.
        network: short name of the network, which begins the names of the files.
    """

    def __init__(self, folder: RunFolder, network: str) -> None:
        self._folder, self._network = folder, network

    def path(self, attack: str) -> Path:
        """Return the path of the file of one attack."""
        return self._folder.path / ATTACKED / f"{self._network}-{attack}.safetensors"

    def write(self, attack: str, result: UnderAttack, made_of: Mapping[str, Any]) -> None:
        """Write the result of an attack.

        Args:
            attack: its name.
            result: what it did.
            made_of: everything that decides the result, besides the settings of the folder.
        """
        tensors = {name: getattr(result, name) for name in _TENSORS}
        facts = {name: getattr(result, name) for name in UnderAttack.__dataclass_fields__ if name not in _TENSORS} | {
            _MADE_OF: dict(made_of)
        }
        self._folder.write_file(self.path(attack), packed(tensors, facts))

    def read(self, attack: str, made_of: Mapping[str, Any]) -> UnderAttack | None:
        """Return the result in the file of an attack; None if there is none, or if it was made of something else.

        Raises:
            UserError: the file was changed.
        """
        found = self._read(attack, made_of)
        if found is None:
            return None
        fields: dict[str, Any] = {**found[0], **found[1]}
        return UnderAttack(**fields)

    def write_curve(self, curve: list[Tensor], made_of: Mapping[str, Any]) -> None:
        """Write which images survive at each epsilon."""
        content = packed({"robust": torch.stack(curve)}, {_MADE_OF: dict(made_of)})
        self._folder.write_file(self.path("curve"), content)

    def read_curve(self, made_of: Mapping[str, Any]) -> list[Tensor] | None:
        """Return what `write_curve` wrote, as `read` does.

        Raises:
            UserError: the file was changed.
        """
        found = self._read("curve", made_of)
        return None if found is None else list(found[0]["robust"])

    def _read(self, attack: str, made_of: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        path = self.path(attack)
        if not path.is_file():
            return None
        tensors, facts = unpacked(self._folder.read_file(path, _AGAIN))
        return (tensors, facts) if facts.pop(_MADE_OF) == made_of else None
