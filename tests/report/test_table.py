import io

import pytest
from rich.console import Console

from infoplane.records import measurement_table, performance_table
from infoplane.report.table import summary_table


def printed(run, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_table(run.measurements(), run.performance()))
    return console.file.getvalue()


def test_the_summary_fits_eighty_columns_without_cutting_a_number(full_run):
    text = printed(full_run)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_the_summary_shows_value_error_ceiling_and_null_in_bits(full_run):
    text = printed(full_run)
    assert "I(X;T), ceiling 9.97; I(T;Y), ceiling 3.32" in text  # log2 1000, log2 10
    # fc3 after ten epochs of normal training, from the formulas of the run: 0.90 - 0.7 exp(-5) of log2 1000 ...
    assert "8.92±.03" in text
    assert "3.14±.03 >0.17" in text


def test_saturated_values_say_so_and_show_no_error(full_run):
    assert "9.97 sat" in printed(full_run)
    assert "9.97 sat±" not in printed(full_run)


def test_null_like_values_are_marked(full_run):
    assert "1.75±.03 ≤2.99" in printed(full_run)


def test_accuracies_stand_beside_their_training(full_run):
    line = next(line for line in printed(full_run).splitlines() if line.startswith("adversarial "))
    assert line.split() == ["adversarial", "10", "95.83", "%", "93.90", "%", "87.15", "%"]


def test_long_layer_names_fold_and_stay_whole(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), layers=("blocks.0.first_activation",))
    text = printed(run)
    pieces = [line.split(f" {examples} ")[0].strip() for line in text.splitlines() for examples in ("orig", "adv")
              if f" {examples} " in line]  # fmt: skip
    assert "".join(pieces) == "blocks.0.first_activation"
    assert max(map(len, text.splitlines())) <= 80


def test_names_in_brackets_are_no_markup(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), layers=("[red]x",))
    assert "[red]x" in printed(run)


@pytest.mark.parametrize("kept", ["measurements", "performance", "neither"])
def test_unfinished_tables_still_print(full_run, kept):
    measurements = full_run.measurements() if kept == "measurements" else measurement_table([])
    performance = full_run.performance() if kept == "performance" else performance_table([])
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(measurements, performance))
    text = console.file.getvalue()
    assert ("No information has been measured yet." in text) == (kept != "measurements")
    assert ("Accuracy" in text) == (kept == "performance")
