"""The ways in which a network with random parts is used: on its mean path, and through the mean of several draws.

A network that draws random numbers gives another gradient at every pass. An attack along a single one is weak, and the
accuracy that it leaves overstates robustness. So attacks see the mean over `DRAWS` draws, and the mean path, which has
no random part. Sources: Athalye, Carlini & Wagner (2018), arXiv:1802.00420, Section 4.1 (expectation over
transformation); Korshunova et al. (2021), arXiv:2107.05712 (stochastic bottlenecks).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoplane.networks.averaged_draws import AveragedDraws
from infoplane.networks.gaussian_layer import gaussian_layers
from infoplane.networks.logits import logits_of
from infoplane.networks.memory_format import copied_pixels, memory_format
from infoplane.networks.random_passes import AveragedPasses, SameDraws, SingleDraw
from infoplane.randomness import isolated_global_generator, stable_seed
from infoplane.records.evaluation import AVERAGED_DRAWS, DRAWS, MEAN_PATH, ONE_PATH
from infoplane.robustness.suites import SuiteAttack, against_random, with_all_steps

_LOOKED_AT = 8  # images on which two passes are compared
_WORK_OF_DRAWS = 4.0  # passes that a pass of averaged draws costs, where only a decoder runs once per draw


@dataclass(frozen=True, kw_only=True, eq=False)
class Use:
    """One way to use a network, and how it is attacked.

    Args:
        path: name in tables and files; `ONE_PATH` of a network without random parts.
        attacked: the network that attacks see.
        verified: the network that classifies the attacked images. It draws the same random numbers for the attacked
            images as for the originals, and others than the attack.
        single: the network with a single draw per pass, for attacks that do not average. Without random parts it is the
            network itself; None on the mean path, where such attacks are not run.
        draws: passes of `attacked` over which attacks average gradients.
        random: whether `attacked` draws random numbers at every pass.
        work: cost of a pass, in passes of the network itself.
    """

    path: str
    attacked: nn.Module
    verified: nn.Module
    single: nn.Module | None = None
    draws: int = 1
    random: bool = False
    work: float = 1.0

    @property
    def all_steps(self) -> bool:
        """Whether attacks stop at no image early: they meet random numbers, or their examples are tried on draws."""
        return self.path != ONE_PATH

    def attacks(self, suite: Sequence[SuiteAttack]) -> tuple[list[SuiteAttack], list[str]]:
        """Return the attacks as they are run on this use, and a sentence about each that cannot be.

        Attacks along a single draw are not run on the mean path.
        """
        suite = [one for one in suite if self.single is not None or not one.one_draw]
        if not self.random:
            return [with_all_steps(one) for one in suite] if self.all_steps else suite, []
        found = {one: against_random(one, self.draws) for one in suite}
        left_out = [
            f"{one.name}: the network draws random numbers, and this attack cannot average over draws"
            for one, changed in found.items()
            if changed is None
        ]
        return [one for one in found.values() if one is not None], left_out


def uses_of(model: nn.Module, images: Tensor, seed: int) -> list[Use]:
    """Return the ways in which a network is used: one without random parts, else those at the head of this file.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)`; a few of them are passed twice.
        seed: decides the draws that classify images.
    """
    fixed = stable_seed(seed, "draws that classify images")
    random = draws_in_evaluation(model, images)
    if not gaussian_layers(model):
        return [_averaged(model, fixed) if random else Use(path=ONE_PATH, attacked=model, verified=model, single=model)]
    if random:  # another part draws on the mean path too
        return [_averaged(SingleDraw(model), fixed)]
    return [Use(path=MEAN_PATH, attacked=model, verified=model), _averaged_draws(model, images, fixed)]


def _averaged_draws(model: nn.Module, images: Tensor, seed: int) -> Use:
    """Return the use through the mean of several draws, in one pass where the network can repeat rows."""
    averaged = AveragedDraws(model, DRAWS)
    try:
        with torch.no_grad(), isolated_global_generator(seed, images.device):
            averaged(copied_pixels(images[:2], memory_format(model)))
    except (ValueError, RuntimeError):  # e.g. a connection around the stochastic layer
        return _averaged(SingleDraw(model), seed)
    return Use(
        path=AVERAGED_DRAWS,
        attacked=averaged,
        verified=SameDraws(averaged, seed),
        single=SingleDraw(model),
        random=True,
        work=_WORK_OF_DRAWS,
    )


def _averaged(model: nn.Module, seed: int) -> Use:
    """Return the use of a network that draws in every pass: attacks average over passes themselves."""
    verified = SameDraws(AveragedPasses(model, DRAWS), seed)
    return Use(path=AVERAGED_DRAWS, attacked=model, verified=verified, single=model, draws=DRAWS, random=True)


def draws_in_evaluation(model: nn.Module, images: Tensor) -> bool:
    """Return whether two passes over the same images differ; Gaussian layers return their mean.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)`; the first few are used.
    """
    layout = memory_format(model)
    with torch.no_grad():
        first, second = (logits_of(model(copied_pixels(images[:_LOOKED_AT], layout))) for _ in range(2))
    return not torch.equal(first, second)


def note_on(uses: Sequence[Use]) -> str | None:
    """Return a sentence on how a network with random parts was attacked; None for others."""
    paths = [use.path for use in uses]
    if paths == [MEAN_PATH, AVERAGED_DRAWS]:
        return (
            f"the network adds noise of its own: it is attacked on its mean path, and through the mean of {DRAWS} "
            "draws; examples made on the mean path are also tried on the draws, and the worst case is over both"
        )
    if paths == [AVERAGED_DRAWS]:
        return f"the network draws random numbers when it is used: attacks and predictions average {DRAWS} passes"
    return None
