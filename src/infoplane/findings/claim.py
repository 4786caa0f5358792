"""One claim of the study: all that is known of it stands in its `Claim`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from infoplane.findings.curves import Curves
from infoplane.findings.finding import Statement
from infoplane.findings.noise_range import Profiles
from infoplane.findings.plan import Plan
from infoplane.records.short_repr import with_short_repr


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class AtHand:
    """The records that claims are judged by. Trainings at chance are left out.

    Args:
        curves: both informations over epochs, of undistorted test examples.
        measurements: columns of `records.MEASUREMENT_SCHEMA`, of all studies.
        performance: columns of `records.PERFORMANCE_SCHEMA`, likewise.
        sweeps: columns of `sweeps.SWEEP_SCHEMA`; None where study three was not run.
        adversarial: the training that is judged as adversarial training.
        plan: how long each training was to go on.
        profiles: I(X;T) over the noise, where the sweep was measured.
    """

    curves: Curves
    measurements: pl.DataFrame
    performance: pl.DataFrame
    sweeps: pl.DataFrame | None
    adversarial: str
    plan: Plan
    profiles: Profiles


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the study, and how it is tested.

    To add one, write a file with its `Claim` and add it to `findings.claims.CLAIMS`.

    Args:
        number: in the order of the study, from "1"; "3a" and "3b" are the two halves of its third claim.
        name: at most 18 characters, for tables.
        text: the claim as one sentence.
        trainings: which kinds of training take part, of `NORMAL_TRAINING` and `ADVERSARIAL_TRAINING` in `records`; the
            latter stands for the training that is judged as adversarial training. None for a claim about estimators.
        needs_several_seeds: whether it compares methods of training. One seed does not show how much the trainings of
            one method differ, so the claim stays undecided.
        statements: from the records to what the claim says about them; statements with a `part` decide the claim.
    """

    number: str
    name: str
    text: str
    trainings: tuple[str, ...]
    needs_several_seeds: bool = False
    statements: Callable[[AtHand], Sequence[Statement]]
