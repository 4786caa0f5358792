"""Repeat the same dropout masks in several passes over one batch."""

import torch


class SameMasks:
    """Stores the state of torch's global generators, from which dropout draws, so that passes can repeat its masks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def rewind(self) -> None:
        """Restore the stored state of the generators."""
        torch.set_rng_state(self._cpu)
        if self._gpu is not None:
            torch.cuda.set_rng_state(self._gpu, self._device)
