"""Restore the model's state after an attack, and warn of gradients that make a model look robust."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from infoplane.randomness import isolated_global_generator, stable_seed


class AttackWarning(UserWarning):
    """Warning that an attack ran, but that its result may overstate robustness.

    Args:
        complaint: what is wrong; the message puts the number of images before it.
        images: number of images concerned.
        total: number of images that were attacked together.
        batches: number of calls of the attack concerned.
    """

    def __init__(self, complaint: str, images: int, total: int, batches: int = 1) -> None:
        self.complaint, self.images, self.total, self.batches = complaint, images, total, batches
        where = f" in {batches} batches" if batches > 1 else ""
        super().__init__(f"{images} of {total} images{where} {complaint}")

    def __reduce__(self) -> tuple[type["AttackWarning"], tuple[str, int, int, int]]:
        return type(self), (self.complaint, self.images, self.total, self.batches)


@contextmanager
def merged_attack_warnings(attack: str = "") -> Iterator[None]:
    """Merge the attack warnings of many batches inside the block into one warning per complaint at its end.

    A merged warning counts only the batches that had the complaint. All other warnings stay unchanged.

    Args:
        attack: name of the attack, shown in the warnings.
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AttackWarning)
            yield
    finally:  # what is wrong with the attack may explain the error that ends the block
        _emit_merged(caught, f" (attack: {attack})" if attack else "")


def _emit_merged(caught: list[warnings.WarningMessage], ending: str) -> None:
    merged: dict[str, AttackWarning] = {}
    for entry in caught:
        one = entry.message
        if not isinstance(one, AttackWarning):
            warnings.warn_explicit(one, entry.category, entry.filename, entry.lineno)
        elif (before := merged.get(one.complaint)) is None:
            merged[one.complaint] = AttackWarning(one.complaint + ending, one.images, one.total, one.batches)
        else:
            merged[one.complaint] = AttackWarning(
                before.complaint,
                before.images + one.images,
                before.total + one.total,
                before.batches + one.batches,
            )
    for one in merged.values():
        warnings.warn(one, stacklevel=4)


@contextmanager
def model_left_as_found(
    model: nn.Module, generator: torch.Generator, device: torch.device, *, random: bool = False
) -> Iterator[None]:
    """Enable gradients inside the block, and restore buffers and the global generators after it.

    Only modules in training mode change buffers (BatchNorm). A model may draw from the global generators in any mode;
    its draws follow `generator`.

    Args:
        model: any network.
        generator: gives the seed of the global generators. It moves on if the model is expected to draw.
        device: of the images.
        random: whether a model in evaluation mode is expected to draw.

    Raises:
        ValueError: the model was made under `torch.inference_mode()`, so that it has no gradients.
    """
    if any(weight.is_inference() for weight in model.parameters()):
        raise ValueError(
            "the model was made under torch.inference_mode(), so it has no gradients for this attack; make it outside, "
            "or attack copy.deepcopy(model)"
        )
    training = [module for module in model.modules() if module.training]
    if training or random:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    else:  # most models draw nothing then: the other draws of an attack must not depend on this seed
        seed = stable_seed(generator.get_state().numpy().tobytes().hex())
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        _buffers_restored(training),
        isolated_global_generator(seed, device),
    ):
        yield


@contextmanager
def _buffers_restored(modules: list[nn.Module]) -> Iterator[None]:
    buffers = [buffer for module in modules for buffer in module.buffers(recurse=False)]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


class GradientHealth:
    """Counts images with zero, NaN or infinite gradients, without synchronising the device before the attack ends."""

    def __init__(self, images: int, device: torch.device) -> None:
        self._broken = torch.zeros(images, dtype=torch.bool, device=device)
        self._moved = torch.zeros(images, dtype=torch.bool, device=device)
        self._observed = torch.zeros(images, dtype=torch.bool, device=device)  # others needed no gradient
        self._looks_like_softmax: Tensor | None = None

    def observe_logits(self, logits: Tensor) -> None:
        """Check whether the model returns probabilities instead of logits; only the first call counts."""
        if self._looks_like_softmax is None and logits.ndim == 2 and logits.shape[1] > 1:
            outputs = logits.detach()
            sums_to_one = (outputs.sum(dim=1) - 1).abs() < 1e-3
            self._looks_like_softmax = (sums_to_one & (outputs >= 0).all(dim=1)).all()

    def observe_gradient(self, gradient: Tensor, rows: Tensor | None = None) -> None:
        """Count the gradient of one step, `(images, ...)`; `rows` are the images' places if these are not all."""
        peak = gradient.abs().amax(dim=tuple(range(1, gradient.ndim)))  # NaN if any element is
        if rows is None:
            self._broken |= ~peak.isfinite()
            self._moved |= peak != 0
            self._observed.fill_(True)
        else:
            self._broken[rows] |= ~peak.isfinite()
            self._moved[rows] |= peak != 0
            self._observed[rows] = True

    def warn(self) -> None:
        """Give a warning for each problem that was counted; call it once, at the end."""
        broken, never_moved = int(self._broken.sum()), int((self._observed & ~self._moved).sum())
        total = len(self._broken)
        if broken:
            # sign(NaN) is 0: such an image stays where it is and would pass for a robust one.
            self._say("had NaN or infinite gradients; their robustness is unknown", broken, total)
        if never_moved:
            self._say("had all-zero gradients at every step; they were not attacked", never_moved, total)
        if self._looks_like_softmax is not None and bool(self._looks_like_softmax):
            self._say(
                "have logits that sum to 1: the model seems to end in softmax; pass logits, or its gradients vanish",
                total,
                total,
            )

    @staticmethod
    def _say(complaint: str, images: int, total: int) -> None:
        warnings.warn(AttackWarning(complaint, images, total), stacklevel=4)
