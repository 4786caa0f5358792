import io
import math

import polars as pl
import pytest
from rich.console import Console

from infoplane.records.tables import measurement_table, performance_table
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
    assert "I(X;T) at relative noise, ceiling 9.97; I(T;Y), ceiling 3.32" in text  # log2 1000, log2 10
    assert "Noise under I(X;T): relative, 0.2 times the layer's mean variance per unit." in text
    # fc3 after ten epochs of normal training, from the formulas of the run: 0.75 (0.93 - 0.55 exp(-5)) of log2 1000,
    # bounds of 1 - exp(-16 / 1.2 / 8) and 1 - exp(-64 / 1.2 / 8) of it ...
    line = next(line for line in text.splitlines() if line.startswith("fc3"))
    assert "6.92 sat 8.08-9.95 3.14±.04 >0.03 3.14±.03 >0.17" in " ".join(line.split())


def test_a_run_without_relative_noise_shows_the_fixed_one_and_says_so(full_run):
    rows = full_run.measurements().remove(noise_mode="relative")
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(rows, full_run.performance()))
    text = console.file.getvalue()
    assert "I(X;T) at fixed noise, ceiling 9.97" in text
    line = next(line for line in text.splitlines() if line.startswith("fc3"))
    assert "9.23 sat 7.85-8.92 3.14±.04" in " ".join(line.split())
    assert "relative" not in text


def test_decoders_trained_on_clean_examples_have_a_line_of_their_own(full_run):
    lines = printed(full_run).split("Information in bits, adversarial")[0].splitlines()
    # 0.2 + 0.75 (1 - exp(-5)) - 0.1 of log2 10, less 2.5 (1 - exp(-5)) 1.3 nats: far below 0, and so within the null
    bits = (0.1 + 0.75 * (1 - math.exp(-5))) * math.log2(10) - 2.5 * (1 - math.exp(-5)) * 1.3 / math.log(2)
    assert [line.split() for line in lines if " (trained " in line][-1] == [
        "adv", "(trained", "on", "clean)", f"{bits:.2f}±.12", "≤0.03",
    ]  # fmt: skip


def test_what_decoders_trained_on_clean_find_stands_below_what_refitted_ones_find(full_run):
    lines = printed(full_run).splitlines()
    place = next(index for index, line in enumerate(lines) if " (trained " in line)
    assert lines[place].index("±.12 >0.03") == lines[place - 1].index("±.04 >0.03")


def test_large_negative_values_still_fit_eighty_columns(full_run):
    wrong = pl.when(pl.col("estimator") == "decoded-transfer")
    rows = full_run.measurements().with_columns(
        value_nats=wrong.then(-9.0).otherwise("value_nats"), standard_error=wrong.then(0.8).otherwise("standard_error")
    )
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(rows, full_run.performance()))
    text = console.file.getvalue()
    assert "-12.98±1.15 ≤0.03" in text
    assert "…" not in text


def test_a_null_just_below_zero_is_no_minus_zero(full_run):
    rows = full_run.measurements().with_columns(null_quantile95_nats=pl.lit(-0.001))
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(rows, full_run.performance()))
    assert "3.14±.04 >0.00" in console.file.getvalue()
    assert "-0.00" not in console.file.getvalue()


def test_monte_carlo_values_near_their_ceiling_are_saturated_as_findings_say(full_run):
    assert "6.92 sat" in printed(full_run)
    assert "sat: above 95 % of the ceiling, or a Monte Carlo I(X;T) within 3 nats of it" in " ".join(
        printed(full_run).split()
    )


def test_undersampled_values_are_marked(full_run):
    binned = pl.col("estimator") == "binning"
    rows = full_run.measurements().with_columns(undersampled=binned, saturated=~binned & pl.col("saturated"))
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(rows, full_run.performance()))
    assert "2.51 †" in console.file.getvalue()
    assert "†: undersampled. The estimate changes when half of the examples are dropped." in console.file.getvalue()


def test_without_thorough_measurements_the_table_stays_whole(make_run, tmp_path):
    text = printed(make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), trusted=False))
    assert "on clean" not in text
    assert "decoders" not in text
    first = next(line for line in text.splitlines() if line.startswith("conv1")).split()
    assert first[:3] == ["conv1", "orig", "-"]


def test_saturated_values_say_so_and_show_no_error(full_run):
    rows = full_run.measurements().filter(
        estimator="kde-bd", quantity="I(X;T)", epoch=10, layer="conv1", noise_mode="relative"
    )
    noisy = full_run.measurements().filter(estimator="noisy", quantity="I(X;T)", epoch=10, layer="conv1")
    rows = pl.concat([rows, noisy]).with_columns(value_nats=pl.col("ceiling_nats"), saturated=True)
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(rows, full_run.performance()))
    assert "9.97 sat" in console.file.getvalue()
    assert "9.97 sat±" not in console.file.getvalue()


def test_null_like_values_are_marked(full_run):
    assert "1.75±.03 ≤2.99" in printed(full_run)


def test_accuracies_stand_beside_their_training(full_run):
    line = next(line for line in printed(full_run).splitlines() if line.startswith("adversarial "))
    assert line.split() == ["adversarial", "10", "95.83", "%", "93.90", "%", "87.15", "%"]


def test_long_layer_names_fold_and_stay_whole(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), layers=("blocks.0.first_activation",))
    text = printed(run)
    pieces = [line.split(f" {examples} ")[0].strip() for line in text.splitlines()
              for examples in ("orig", "adv") if f" {examples} " in line]  # fmt: skip
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
