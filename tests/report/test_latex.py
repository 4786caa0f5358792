"""LaTeX: names survive as text, tables have the recorded numbers, and all compiles."""

import re
import shutil
import subprocess

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.findings import find
from infoplane.report.bits import in_bits, last_epoch
from infoplane.report.latex import Row, latex_table, latex_text
from infoplane.report.latex_tables import About, _parts, latex_tables

ABOUT = About("50% of my_data & \\more", "ab12cd34", "0.1.0")
NASTY = 'a_{%&$#~^\\}[x]*<|"\u6f22'
# What LaTeX prints for each command that `latex_text` writes; other characters print themselves.
PRINTED = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", "{''}": '"', "{[}": "[", "{*}": "*",
    **{"\\" + one: one for one in "&%#$_{}"},
}  # fmt: skip
TOKEN = re.compile("|".join(map(re.escape, sorted(PRINTED, key=len, reverse=True))) + r"|[^\\&%#$_{}~^\[*]")


def printed(latex: str) -> str:
    """Read LaTeX as it prints; a special character that is not part of a known command is an error."""
    tokens = TOKEN.findall(latex)
    assert "".join(tokens) == latex
    return "".join(PRINTED.get(token, token) for token in tokens)


def cells(table: str) -> list[list[str]]:
    """Return the cells of each line between the first rule and the last."""
    body = table[table.index(r"\toprule") : table.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r" \\")]
    return [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in lines]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_every_ascii_text_is_printed_as_it_is(text):
    assert printed(latex_text(text)) == text


@pytest.mark.parametrize(
    ("text", "latex"),
    [("é", "é"), ("\u6f22", "U+6F22"), ("e\u0301", "é"), ("a\nb\tc", "a b c"), ("1 ± \u221e", r"1 $\pm$ $\infty$")],
)
def test_other_letters_are_printed_or_named(text, latex):
    assert latex_text(text) == latex


def test_a_table_has_its_rules_and_its_rows():
    table = latex_table(
        ["A", "B"], [Row(["1", "2"], True), Row(["3", "4"], True)], columns="lr", caption="C", label="l", comment="x\ny"
    )
    assert cells(table) == [["A", "B"], ["1", "2"], ["3", "4"]]
    assert table.startswith("% x\n% y\n\\begin{table}")
    assert [table.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 2, 1]


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("latex") / "run", epochs=(0, 4), layers=(NASTY, "fc"))


@pytest.fixture(scope="module")
def tables(run):
    found = find(run.measurements(), run.performance())
    return dict(latex_tables(run.measurements(), run.performance(), found, ABOUT))


def test_every_row_of_every_table_ends_with_the_hash_of_the_run(tables):
    assert list(tables) == ["accuracy", "information", "claims"]
    for table in tables.values():
        head, *rows = cells(table)
        assert rows
        assert {len(row) for row in rows} == {len(head)}
        assert {row[-1] for row in rows} == {r"\texttt{ab12cd34}"}


def test_the_accuracy_has_its_wilson_interval(tables):
    head, first, _ = cells(tables["accuracy"])
    assert head[3:6] == ["train", "test", "test, adversarial"]
    share, squared = 0.755, 1.959964**2 / 1000  # of 1,000 images; the closed form of Wilson (1927)
    half = (squared * share * (1 - share) + squared**2 / 4) ** 0.5
    low, high = ((share + squared / 2 + sign * half) / (1 + squared) for sign in (-1, 1))
    assert first[:4] == ["normal", "3", "4", f"75.5 [{100 * low:.1f}, {100 * high:.1f}]"]


def test_each_number_is_the_recorded_one_with_its_interval(tables, run):
    _, *rows = cells(tables["information"])
    assert len(rows) == 2 * 2 * 2  # trainings, layers, kinds of examples
    assert printed(rows[0][2]).replace("U+6F22", "\u6f22") == NASTY
    recorded = last_epoch(in_bits(run.measurements())).filter(
        training="adversarial", layer="fc", examples="adversarial", estimator="decoded-transfer", quantity="I(T;Y)"
    )
    (one,) = recorded.select("value_bits", "low_bits", "high_bits").rows()
    cell = next(row for row in rows if row[:4] == ["adversarial", "3", "fc", "adversarial"])[-2]
    assert re.sub(r"\\textsuperscript{.*}|\$", "", cell) == "{:.2f} [{:.2f}, {:.2f}]".format(*one)


def test_marks_are_explained_where_they_are_used(tables):
    table = tables["information"]
    used = set("".join(re.findall(r"\\textsuperscript{([sun,]+)}", "".join(map("".join, cells(table)))))) - {","}
    explained = set(re.findall(r"\\textsuperscript{(.)}: ", table))
    assert used == explained != set()


def test_a_run_without_decoders_has_the_numbers_of_the_study(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(1,), layers=("fc",), trainings=("normal",), trusted=False)
    found = find(run.measurements(), run.performance())
    head, *rows = cells(dict(latex_tables(run.measurements(), run.performance(), found, ABOUT))["information"])
    assert [name.count("KDE") for name in head[4:6]] == [1, 1]
    assert len(rows) == 2


def test_a_run_without_records_has_its_claims_alone(make_run, tmp_path):
    run = make_run(tmp_path / "run", trainings=())
    found = find(run.measurements(), run.performance())
    ((name, table),) = latex_tables(run.measurements(), run.performance(), found, ABOUT)
    assert name == "claims"
    assert "undecided" in table


def test_values_that_are_not_finite_are_left_out(run):
    rows = run.measurements().with_columns(
        value_nats=pl.when(pl.col("layer") == "fc").then(float("nan")).otherwise(pl.col("value_nats"))
    )
    found = find(run.measurements(), run.performance())
    table = dict(latex_tables(rows, run.performance(), found, ABOUT))["information"]
    assert "nan" not in table
    assert len(cells(table)) == 1 + 2 * 2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_tables_compile(tables, tmp_path):
    preamble = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
    (tmp_path / "all.tex").write_text(preamble + "\n".join(tables.values()) + "\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    assert b"Overfull" not in done.stdout


def test_a_long_table_is_divided_between_networks_into_tables_that_fit_on_a_page():
    rows = [Row([str(network)], number == 0) for network in range(5) for number in range(16)]
    parts = _parts(rows)
    assert [len(part) for part in parts] == [32, 32, 16]
    assert [row for part in parts for row in part] == rows
    assert [len(part) for part in _parts([Row(["x"], number == 0) for number in range(90)])] == [40, 40, 10]
