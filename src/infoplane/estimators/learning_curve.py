"""Learning curve of decoders: how much they find from fewer examples, and how many examples would be enough."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from infoplane.checks import check_activations, check_at_least, check_labels, check_positive
from infoplane.estimators.decoder_families import DecoderName
from infoplane.estimators.decoders import HeldOutInformation, judged
from infoplane.estimators.decoding import Fit, fit_together, stratified_parts
from infoplane.estimators.distinct_rows import checked_groups, copied
from infoplane.estimators.features import feature_pieces, row_identities
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import DECODED, FEWER_INFORMATION

TOLERANCE = 0.05  # nats that the value from enough examples may lack of its limit
_DOUBLINGS = 6
_FEWEST = 20  # least number of examples that the first decoder is fitted on; also two per class
_POWERS = np.arange(0.3, 1.55, 0.1)  # of the curve's decay
_FITTED = 5  # points, the largest sizes: before them, decoders may find nothing, and the curve is no power law
_REACH = 16  # extrapolation ends at this many times the largest size


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Information that decoders find, in nats, by the number of examples that they are fitted on.

    The codelength is what it takes to send the labels, given the activations, to someone who has only the activations:
    each block of labels is encoded by the decoder that was fitted on all blocks before. A layer whose label is easier
    to decode has a shorter one. Without a layer it is `uniform_codelength`, samples x ln(classes).
    """

    sizes: tuple[int, ...]  # examples that each decoder was fitted on, ascending
    points: tuple[HeldOutInformation, ...]  # what it finds in all later examples
    codelength: float
    uniform_codelength: float

    def enough(self, *, tolerance: float = TOLERANCE) -> int | None:
        """Return `enough_examples` of this curve."""
        values, ceiling = [point.value for point in self.points], self.points[-1].ceiling
        return enough_examples(
            self.sizes, values, ceiling=math.inf if ceiling is None else ceiling, tolerance=tolerance
        )


def learning_curve(
    activations: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    decoder: DecoderName = "linear",
    groups: Tensor | None = None,
) -> LearningCurve:
    """Fit decoders on 1/64, 1/32 ... 1/2 of the examples, and let each decode all examples after its own.

    The smallest decoder has at least 20 examples and two per class. All of them together take about a quarter of the
    time of `decoded_information`.

    Args:
        activations: `(samples, features)`, finite, of any float type.
        labels: `(samples,)` integers.
        generator: source of the order of the examples and of the decoders' draws.
        decoder: as in `decoded_information`.
        groups: as in `decoded_information`.

    Raises:
        ValueError: an argument is outside the description above, or there are fewer than 40 samples.

    Source: Voita & Titov (2020), arXiv:2003.12298, Section 2.2.2 (online code); Xu et al. (2020), arXiv:2002.10689,
    Definition 2 (the quantity that each point bounds from below).
    """
    check_activations(activations)
    check_labels(labels, len(activations))
    check_at_least(len(labels), 2 * _FEWEST, name="the number of samples")
    labels = labels.cpu().long()
    names, classes = torch.unique(labels, return_inverse=True)
    groups = checked_groups(groups, lambda: row_identities(feature_pieces(activations)), labels)
    distinct = len(labels) - copied(groups)
    doublings = min(_DOUBLINGS, int(math.log2(distinct / max(_FEWEST, 2 * len(names)))))
    check_at_least(doublings, 1, name="the number of samples, with four for each class: doublings of the sizes")
    parts = stratified_parts(classes, 2**doublings, generator, groups)
    codelength = int((parts < 1).sum()) * math.log(len(names))
    sizes: list[int] = []
    points: list[HeldOutInformation] = []
    fits = [Fit(classes, parts < 2**doubling, generator) for doubling in range(doublings)]
    decoders = fit_together(activations, fits, names, decoder=decoder, groups=groups)
    for doubling, (fit, fitted) in enumerate(zip(fits, decoders, strict=True)):
        rest = (~fit.rows).nonzero().squeeze(1)
        others = activations[rest.to(activations.device)]
        point = judged([fitted], [torch.arange(len(rest))], others, classes[rest], groups[rest])
        frequencies = torch.bincount(classes[rest], minlength=len(names)).double() / len(rest)
        code = -(point.terms + frequencies[classes[rest]].log())  # -ln q(y|t), as influences are ln q - ln p
        codelength += code[parts[rest] < 2 ** (doubling + 1)].sum().item()
        sizes.append(int(fit.rows.sum()))
        points.append(replace(point, estimator=DECODED, quantity=FEWER_INFORMATION, rows=rest))
    return LearningCurve(
        sizes=tuple(sizes),
        points=tuple(points),
        codelength=codelength,
        uniform_codelength=len(labels) * math.log(len(names)),
    )


def enough_examples(
    sizes: Sequence[int], values: Sequence[float], *, ceiling: float = math.inf, tolerance: float = TOLERANCE
) -> int | None:
    """Return how many examples would bring the value to within `tolerance` of its limit, by extrapolation.

    The last five points are fitted by limit - cost x examples^-power, with a power of 0.3 to 1.5 and a limit of at most
    the ceiling. The answer is a rough guide: few points hardly determine the power.

    Args:
        sizes: examples that decoders were fitted on, ascending.
        values: what they find, in nats.
        ceiling: entropy of the labels, in nats.
        tolerance: in nats.

    Returns:
        A number of examples to fit on; None if the curve does not tell: there are fewer than three points, or the
        answer is above 16 times the largest size, as it is for a curve that does not bend yet.

    Raises:
        ValueError: `tolerance` is not positive.
    """
    check_positive(tolerance, name="tolerance")
    examples, found = (np.asarray(part[-_FITTED:], dtype=float) for part in (sizes, values))
    if len(examples) < 3:
        return None

    def fit(power: float) -> tuple[float, float, float]:
        """Return the squared error, the power and the cost of the best curve with this power."""
        decay = examples**-power
        (limit, cost), *_ = np.linalg.lstsq(np.stack([np.ones_like(decay), -decay], axis=1), found, rcond=None)
        if limit > ceiling:
            limit, cost = ceiling, decay @ (ceiling - found) / (decay @ decay)
        return float(np.square(limit - cost * decay - found).sum()), power, float(cost)

    _, power, cost = min(map(fit, _POWERS))
    enough = (max(cost, 0) / tolerance) ** (1 / power)
    return None if enough > _REACH * examples[-1] else math.ceil(enough)
