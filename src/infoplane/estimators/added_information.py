"""Added information: what a second version of a layer, e.g. of attacked examples, tells beyond the first one."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from infoplane.estimators.decoder_families import DecoderName
from infoplane.estimators.decoders import DecodedInformation
from infoplane.estimators.decoding import decoded_information
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.influence import standard_error
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ADDED_INFORMATION, ESTIMATE, POPULATION, REMOVED_INFORMATION, SHARED_INFORMATION


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class AddedInformation:
    """Information about the label in two versions of a layer, in nats: estimates, as differences of lower bounds.

    `added` is I(T';Y|T), what the second version T' tells beyond the first one T. `removed` is I(T;Y|T'), what only the
    first one tells. `shared` is I(T;Y) - I(T;Y|T'), which can be negative where both tell more together than apart.
    Each is `undersampled` if the decoders of both versions together are.
    """

    added: Estimate
    removed: Estimate
    shared: Estimate

    def estimates(self) -> tuple[Estimate, ...]:
        """Return all three."""
        return (self.added, self.removed, self.shared)


def added_information(
    first: Tensor,
    second: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    decoder: DecoderName = "linear",
    groups: Tensor | None = None,
) -> AddedInformation:
    """Estimate what the second version of a layer adds to the first one about the label, and what it lacks.

    Decoders are cross-fitted to the first version, the second, and both side by side, on the same folds. Then
    I(T';Y|T) is about the value of both less that of the first. Intervals are paired, from the differences of the
    examples' terms.

    A white-box attack writes the label into the image. What attacked examples add contains this leak, so compare it
    with an attack that does not depend on the label, e.g. `random-target` or a random perturbation. Decoders of twice
    as many features need more examples: where the second version adds nothing, the estimate can be below 0.

    Args:
        first: `(samples, features)`, e.g. of originals.
        second: `(samples, features)`, of the same examples, e.g. attacked.
        labels: `(samples,)` integers.
        generator: source of the folds and of the decoders' draws.
        decoder, groups: as in `decoded_information`; None: rows that are equal in both versions are copies.

    Raises:
        ValueError: as in `decoded_information`.

    Source: Cover & Thomas (2006), Elements of Information Theory, Theorem 2.5.2 (chain rule); Barber & Agakov (2003),
    NeurIPS 16, Eq. 3 (each term).
    """
    both = torch.cat([first, second.to(first)], dim=1)
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device))

    def fitted(activations: Tensor, of: Tensor | None) -> DecodedInformation:
        own = torch.Generator(device=generator.device).manual_seed(seed)
        return decoded_information(activations, labels, generator=own, decoder=decoder, groups=of)

    together = fitted(both, groups)
    return compared(fitted(first, together.groups), fitted(second, together.groups), together)


def compared(first: DecodedInformation, second: DecodedInformation, both: DecodedInformation) -> AddedInformation:
    """Return the differences of three results for the same examples, labels and folds."""
    one, two, together = first.terms, second.terms, both.terms
    # Class frequencies cancel in differences. What remains of the error is the mistake that no example shows.
    unseen = math.sqrt(max(0.0, (both.error or 0.0) ** 2 - standard_error(together, both.groups) ** 2))

    def estimate(quantity: str, influences: Tensor) -> Estimate:
        return Estimate(
            quantity=quantity,
            kind=ESTIMATE,
            distribution=POPULATION,
            estimator=both.estimator,
            value=influences.mean().item(),
            error=math.hypot(standard_error(influences, both.groups), unseen),
            ceiling=both.ceiling,
            undersampled=both.undersampled,
            influences=influences,
        )

    return AddedInformation(
        added=estimate(ADDED_INFORMATION, together - one),
        removed=estimate(REMOVED_INFORMATION, together - two),
        shared=estimate(SHARED_INFORMATION, one + two - together),
    )
