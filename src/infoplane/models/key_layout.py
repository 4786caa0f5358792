"""Names of weights in files from elsewhere, and their names in the networks here. Imports no torch."""

import re
from dataclasses import dataclass

MEAN, STD = "normalise.mean", "normalise.std"
# What published files call the normalisation of the pixels.
_NORMALISATION = ((r"^(normali[sz]e\.)?(mean|mu)$", MEAN), (r"^(normali[sz]e\.)?(std|sigma)$", STD))


@dataclass(frozen=True, kw_only=True)
class KeyLayout:
    """How the weights of one kind of network are named in the files of another library.

    Args:
        renamed: pairs of a pattern in a name there, and what takes its place here; the first that matches counts.
        unused: pattern of names of weights that the network there has and does not use.
        usual_settings: settings of the networks that are published with such names, where they are not the defaults
            here; a user whose network has others is told.
    """

    renamed: tuple[tuple[str, str], ...]
    unused: str | None = None
    usual_settings: tuple[tuple[str, float], ...] = ()

    def name_here(self, name: str) -> str:
        """Return the name that a weight has here; names that no pattern matches are returned as they are."""
        for pattern, replacement in (*_NORMALISATION, *self.renamed):
            found, matches = re.subn(pattern, replacement, name)
            if matches:
                return found
        return name

    def is_unused(self, name: str) -> bool:
        """Return whether the network there has a weight of this name and does not use it."""
        return self.unused is not None and re.search(self.unused, name) is not None
