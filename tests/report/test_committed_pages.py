"""Committed pages of results: their tables are those of the run folder that is committed beside them."""

from pathlib import Path

import polars as pl
import pytest

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import in_bits, last_epoch
from infoplane.runs import RunFolder

with pytest.MonkeyPatch.context() as _with_scripts:
    _with_scripts.syspath_prepend(Path(__file__).parents[2] / "docs")
    import make_results
    from results_page.accuracy import accuracies
    from results_page.information import information


def test_the_numbers_of_a_committed_page_are_those_of_the_folder_beside_it():
    results = Path(make_results.__file__).parent / "results"
    run = RunFolder(results / "folders" / "cifar10-wrn-30-epochs")
    if not run.path.is_dir():
        pytest.skip("folders of runs are no part of a source distribution")
    page = (results / "cifar10-wrn-30-epochs.md").read_text("utf-8")
    rows = last_epoch(in_bits(run.measurements()).filter(pl.col("class_index").is_null()))
    parts = [
        accuracies(run.performance()),
        *information(rows, LABEL_INFORMATION),
        *information(rows, INPUT_INFORMATION),
        *make_results.other_studies(run, run.performance()),
    ]
    assert len(parts) > 20
    assert [part for part in parts if part.rstrip("\n") not in page] == []
