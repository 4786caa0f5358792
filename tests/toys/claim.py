"""A toy claim, added as docs/add-a-claim.md says: this file, and one line in the list of claims."""

import polars as pl

from infoplane.findings.claim import AtHand, Claim
from infoplane.findings.finding import Statement, against
from infoplane.findings.layers import paired
from infoplane.records.tables import NORMAL_TRAINING


def _statements(at_hand: AtHand) -> list[Statement]:
    first = at_hand.measurements.filter(pl.col("quantity") == "I(X;T)").head(1)
    if first.is_empty():
        return []
    evidence = paired([(first["value_nats"][0], first["group_means"].list.to_array(20).to_numpy()[0])]).evidence()
    return [
        Statement(
            statement="the first value is positive",
            statistic="first value",
            part="first value",
            quantity="I(X;T)",
            value=evidence.value,
            unit="nats",
            seeds=1,
            judge=against(evidence, above=True),
        )
    ]


TOY = Claim(
    number="7",
    name="toy claim",
    text="A toy claim: something is learnt.",
    trainings=(NORMAL_TRAINING,),
    statements=_statements,
)
