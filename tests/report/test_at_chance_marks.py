"""Everything that a person sees of a training at chance says so, and nothing says it of the other training."""

import io

import polars as pl
import pytest
from rich.console import Console

import infoplane.report.figure as figure_module
from infoplane.records.tables import PERFORMANCE_SCHEMA
from infoplane.report.figure_files import write_figures
from infoplane.report.html import report_html
from infoplane.report.table import summary_table


@pytest.fixture(scope="module")
def performance(full_run) -> pl.DataFrame:
    """As recorded, but adversarial training was at chance at its last epoch."""
    dead = (pl.col("training") == "adversarial") & (pl.col("epoch") == 10)
    return full_run.performance().with_columns(at_chance=dead).select(list(PERFORMANCE_SCHEMA))


def printed(run, performance) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(run.measurements(), performance))
    return " ".join(console.file.getvalue().split())


SAID = (
    "Adversarial training (seed 3) is at chance: its network answers no better than a constant does, and no claim "
    "rests on it."
)


def test_the_terminal_says_it_in_both_tables_and_in_a_sentence(full_run, performance):
    text = printed(full_run, performance)
    assert "adversarial, at chance 10" in text
    assert "Information in bits, adversarial training, at chance, seed 3, epoch 10" in text
    assert SAID in text
    assert "normal, at chance" not in text
    assert "normal training, at chance" not in text


def test_the_page_says_it_above_everything_and_in_its_table(full_run, performance):
    config, rows = full_run.read_config(), full_run.measurements()
    text = report_html(config, rows, full_run.geometry(), performance, [])
    assert f'<p class="missing" id="at-chance">A training is at chance. {SAID}</p>' in text
    assert '<th scope="row">adversarial <span class="mark">at chance</span></th>' in text
    assert text.index(SAID) < text.index('<section id="findings"')
    assert '<th scope="row">adversarial training, at chance</th>' in text
    assert '<th scope="row">normal training</th>' in text
    assert "at chance: adversarial training of seed 3" in text  # the claims


def test_a_run_without_one_does_not_speak_of_chance(full_run):
    text = report_html(full_run.read_config(), full_run.measurements(), full_run.geometry(), full_run.performance(), [])
    assert "at-chance-title" not in text
    assert "at chance" not in printed(full_run, full_run.performance())


def test_titles_of_figures_say_it(full_run, performance, monkeypatch):
    class Marked:
        path = full_run.path

        def __getattr__(self, name):
            return getattr(full_run, name)

        def performance(self):
            return performance

    titles = {}

    def note(figure, stem, pdfs):
        titles[stem.name] = figure.get_suptitle()

    monkeypatch.setattr(figure_module, "save_figure", note)
    write_figures(Marked())
    assert "at chance" not in titles["information-flow-normal-s3"]
    assert titles["information-flow-adversarial-s3"] == (
        "Information flow, adversarial training, at chance, seed 3 (synthetic)"
    )
    assert titles["comparison-s3"].endswith("seed 3 (synthetic); at chance: adversarial training, seed 3")
    assert titles["geometry-s3"].endswith("; at chance: adversarial training, seed 3")
