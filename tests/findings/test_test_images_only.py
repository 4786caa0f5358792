"""Claims, sentences and comparisons use test images only: records of other splits change nothing."""

import json

import polars as pl
import pytest
from tests.findings.constructed import accuracies, flow, swept

from infoplane.findings import find
from infoplane.findings.compared_runs import RunRecords, compare_runs
from infoplane.findings.sentences import sentences
from infoplane.records.tables import Performance, performance_table
from infoplane.report.findings_table import findings_json


def rule(*, training, examples, layer, epoch, **_):
    late = 0.5 if training == "adversarial" else 1.0
    return 1 + 0.05 * late * epoch * (1 + layer) - 0.2 * (examples != "original")


def with_shadows(table: pl.DataFrame) -> pl.DataFrame:
    """Add training images whose values say the opposite, before and after the test images."""
    own = table.with_columns(split=pl.lit("train"))
    if "value_nats" in table.columns:
        own = own.with_columns(
            value_nats=3 - pl.col("value_nats"),
            group_means=pl.col("group_means").list.eval(3 - pl.element()),
            ceiling_nats=pl.lit(9.0),
            undersampled=pl.lit(True),
        )
    else:
        own = own.filter(pl.col("examples") != "original").with_columns(accuracy=1 - pl.col("accuracy"))
    return pl.concat([own, table, own])


@pytest.fixture(scope="module")
def tables():
    measurements = swept(flow(rule, seeds=(0, 1)))
    performance = performance_table(
        Performance(
            study="information-flow", seed=seed, training=training, epoch=10, split="test", examples=examples,
            accuracy=0.9 - 0.3 * (examples != "original"), loss=1.0, n=1000, gradient_evaluations=0, seconds=0.0,
        )
        for seed in (0, 1)
        for training in ("normal", "adversarial")
        for examples in ("original", "adversarial")
    )  # fmt: skip
    saturated = accuracies(
        lambda *, level, training, **_: 0.9 - 0.3 * (level > 2) * (training == "normal"),
        distortion="saturation",
        levels=(2, 8, 64, 1024),
        seeds=(0, 1),
    )
    return measurements, pl.concat([performance, saturated])


def test_claims_do_not_see_training_images(tables):
    expected = find(*tables)
    judged = {claim.claim for claim in expected.claims if claim.verdict in ("supported", "contradicted")}
    assert judged >= {"3a", "3b", "5"}
    assert json.loads(findings_json(find(*map(with_shadows, tables)))) == json.loads(findings_json(expected))


def test_sentences_do_not_see_training_images(tables):
    assert sentences(*map(with_shadows, tables)) == sentences(*tables)


def test_comparisons_do_not_see_training_images(tables):
    measurements, performance = tables
    other = measurements.with_columns(value_nats=pl.col("value_nats") + 0.3)

    def compared(change):
        own = [
            RunRecords(name=name, measurements=change(table), performance=change(performance), examples="same")
            for name, table in (("A", measurements), ("B", other))
        ]
        return compare_runs(own)

    expected = compared(lambda table: table)
    assert len(expected.differences) > 5
    assert compared(with_shadows).differences == expected.differences
