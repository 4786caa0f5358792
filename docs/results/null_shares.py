"""Print what a run's records say of ceilings and nulls: python docs/results/null_shares.py RUN"""

import sys

import polars as pl

from infoplane.records import KDE_BD, KDE_MIXED, LABEL_INFORMATION, with_standing
from infoplane.runs import RunFolder

rows = (
    RunFolder(sys.argv[1])
    .measurements()
    .filter(pl.col("epoch") > 0, pl.col("class_index").is_null(), pl.col("split") == "test")
)
measured = with_standing(rows.filter(pl.col("estimator") != KDE_MIXED))
with pl.Config(tbl_rows=100, tbl_hide_dataframe_shape=True, float_precision=3):
    print(
        measured.group_by("quantity", "estimator", "layer", "layer_index")
        .agg(
            values=pl.len(),
            saturated=pl.col("saturated").mean(),
            null_like=pl.col("null_like").mean(),
            lowest_bits=pl.col("value_nats").min() / pl.lit(2).log(),
        )
        .sort("quantity", "estimator", "layer_index")
        .drop("layer_index")
    )
    print(
        measured.filter(pl.col("quantity") == LABEL_INFORMATION)
        .group_by("estimator")
        .agg(values=pl.len(), saturated=pl.col("saturated").mean(), null_like=pl.col("null_like").mean())
        .sort("estimator")
    )
    # paired over examples: the same fixed groups, so the spread of their differences is the error of the difference
    lower = measured.filter(pl.col("estimator") == KDE_BD, pl.col("examples") == "original")
    last = lower.filter(pl.col("layer_index") == pl.col("layer_index").max())
    wide = last.select("quantity", "epoch", "training", "group_means").pivot("training", values="group_means")
    if {"normal", "adversarial"} <= set(wide.columns):
        difference = pl.element() / pl.lit(2).log()
        print(
            wide.with_columns(gap=pl.col("normal") - pl.col("adversarial"))
            .select(
                "quantity",
                "epoch",
                normal_minus_adversarial_bits=pl.col("gap").list.eval(difference).list.mean(),
                error_bits=pl.col("gap").list.eval(difference).list.std() / pl.col("gap").list.len().sqrt(),
            )
            .sort("quantity", "epoch")
        )
