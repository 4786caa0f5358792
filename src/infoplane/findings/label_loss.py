"""Between which layers a label is lost under attack, where the records are clear about it."""

from collections.abc import Sequence
from typing import NamedTuple

from infoplane.findings.attack_losses import at_least_nothing, lost_at, part
from infoplane.findings.evidence import Evidence, Paired
from infoplane.findings.label_profiles import LabelProfiles, Layer, difference
from infoplane.records.tables import ORIGINAL

LITTLE = 0.25  # with less than this share of the label left, words call it lost; otherwise more than half of it


class LabelLoss(NamedTuple):
    """The loss of a label between two layers.

    Attributes:
        before: the last layer with the label; None if it is lost before the first one, or `at_latest`.
        after: the layer from which on it is lost.
        fall: how much less decoders of originals read from attacked examples at `after` than at `before`; or, without
            `before`, than from originals. In nats.
        gradual: whether it is lost little by little, from the first layer (`before`) to the last (`after`).
        at_latest: whether it may be lost before `after`, at layers of which there are too few examples to say it.
        whole: whether certainly less than a quarter of what decoders read from originals is left at `after`.
    """

    before: Layer | None
    after: Layer
    fall: Evidence
    gradual: bool = False
    at_latest: bool = False
    whole: bool = True


def label_loss(profiles: LabelProfiles, training: str, attack: str) -> LabelLoss | None:
    """Return where the networks of a training lose the label, None where the records do not say it.

    The layer is that of `attack_losses.lost_at`. Besides, less than half of what decoders read from originals is left
    there, and they read less than at the layer before, both beyond 95 % intervals. If that layer still has half of it
    and the last one has not, the label is lost gradually. A value that is too low because examples are too few
    (undersampled) never shows a loss; then the first layer after it that shows one is where the label is lost at the
    latest.
    """
    found = lost_at(profiles.losses, training, attack)
    points = {one.layer: one for one in profiles.points(training, attack)}
    layers = list(points)
    if found is None or found.layer not in points:
        return None
    gradual = not _less_is_left(profiles, training, attack, found.layer)
    after = layers[-1] if gradual else found.layer
    if points[after].undersampled:
        return _at_latest(profiles, training, attack, layers[layers.index(after) + 1 :])
    if not _less_is_left(profiles, training, attack, after):
        return None
    whole = _less_is_left(profiles, training, attack, after, LITTLE)
    place = 0 if gradual else layers.index(after) - 1
    if place < 0:
        loss = profiles.losses.loss(training, attack, after)
        return LabelLoss(None, after, loss, whole=whole) if loss is not None else None
    before = layers[place]
    pairs = (nothing_below_0(profiles.paired(training, attack, layer)) for layer in (before, after))
    fall = difference(*pairs)
    if before == after or fall is None or fall.interval().low <= 0 or not points[before].found:
        return None
    return LabelLoss(before, after, fall, gradual, whole=whole)


def _at_latest(profiles: LabelProfiles, training: str, attack: str, layers: Sequence[Layer]) -> LabelLoss | None:
    """Return the loss at the first of the layers that clearly shows one, None if none does."""
    points = {one.layer: one for one in profiles.points(training, attack)}
    for layer in layers:
        loss = profiles.losses.loss(training, attack, layer)
        if loss is not None and not points[layer].undersampled and _less_is_left(profiles, training, attack, layer):
            whole = _less_is_left(profiles, training, attack, layer, LITTLE)
            return LabelLoss(None, layer, loss, at_latest=True, whole=whole)
    return None


def nothing_below_0(paired: Paired | None) -> Paired | None:
    """Return the information with negative values replaced by 0: decoders that are misled read nothing."""
    return at_least_nothing(paired) if paired is not None else None


def _less_is_left(profiles: LabelProfiles, training: str, attack: str, layer: Layer, share: float = 0.5) -> bool:
    """Return whether less than this share of what decoders read from originals is left, beyond the interval."""
    original = profiles.paired(training, ORIGINAL, layer)
    if original is None:
        return False
    gone = difference(part(original, share), nothing_below_0(profiles.paired(training, attack, layer)))
    return gone is not None and gone.interval().low > 0
