"""What a page of a large run folds away or leaves out, and says so."""

import re

import polars as pl

from infoplane.records.tables import PERFORMANCE_SCHEMA
from infoplane.report import page_downloads
from infoplane.report.geometry_figure import GEOMETRY
from infoplane.report.html import report_html


def test_figures_of_further_seeds_are_folded_away(full_run, tmp_path):
    drawn = [GEOMETRY.files(tmp_path, [f"s{seed}"]) for seed in (3, 4, 12)]
    for one in drawn:
        one.svg.write_bytes(b"<svg/>")
    tables = (full_run.measurements(), full_run.geometry(), full_run.performance())
    page = report_html({}, *tables, drawn)
    before, fold, after = page.partition("<details><summary>2 figures of further seeds</summary>")
    assert fold
    assert "geometry-s3.svg" in before
    assert "geometry-s3.svg" not in after
    assert re.findall(r"geometry-s\d+\.svg</code>", after) == ["geometry-s4.svg</code>", "geometry-s12.svg</code>"]


def test_a_table_too_long_for_the_page_is_its_last_epoch_without_distortions(full_run, monkeypatch):
    monkeypatch.setattr(page_downloads, "MOST_BYTES", 1)
    measured = full_run.measurements()
    last = measured.filter(pl.col("epoch") == 10)
    both = pl.concat([measured, last.with_columns(distortion=pl.lit("saturation"), level=pl.lit(4.0))])
    page = report_html({}, both, full_run.geometry(), full_run.performance(), [])
    assert f"here the {len(last):,} rows of the last epoch, without distortions" in page
    monkeypatch.undo()
    assert "of the last epoch, without distortions" not in report_html(
        {}, both, full_run.geometry(), full_run.performance(), []
    )


def test_without_a_curve_of_the_label_the_page_says_why(full_run):
    dead = full_run.performance().with_columns(at_chance=pl.lit(True)).select(list(PERFORMANCE_SCHEMA))
    measured = full_run.measurements()
    at_chance = report_html({}, measured, full_run.geometry(), dead, [])
    assert "The trainings are at chance, so there is no curve of the label" in at_chance
    plain = measured.filter(~pl.col("estimator").str.starts_with("decoded"))
    undecoded = report_html({}, plain, full_run.geometry(), full_run.performance(), [])
    assert "No decoders were fitted in this run, so there is no curve of the label" in undecoded
