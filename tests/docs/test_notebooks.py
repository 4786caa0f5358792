"""The notebooks in examples run from their first cell to their last, and are kept without outputs."""

import json
import re

import matplotlib.pyplot as plt
import pytest
from tests.docs.notebooks import EXAMPLES, NOTEBOOKS, cells_of, run_notebook

from infoplane.report import html
from infoplane.runs.folder import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which all notebooks run; figures of reports, which take longest, are not drawn."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(html, "write_figures", lambda *_, **__: [])
        yield folder
    plt.close("all")


@pytest.fixture(scope="module")
def run_of_attacks(folder):
    """What the notebook on attacks has defined, and saved as a run."""
    return run_notebook("comparing_attacks.ipynb", folder, TRAINED=200, MEASURED=100, EPOCHS=1)


def test_a_resnet_of_ones_own_becomes_a_run_with_a_report(folder):
    run_notebook("own_resnet.ipynb", folder, IMAGE_SIZE=16, TRAINED=160, MEASURED=40, EPOCHS=1)
    assert (folder / "runs/own-resnet/report.html").is_file()
    layers = RunFolder(folder / "runs/own-resnet").measurements()["layer"].unique()
    assert {"stem", "group2", "group4", "last"} <= set(layers)


def test_attacks_are_compared_by_layer(run_of_attacks):
    assert set(run_of_attacks["by_layer"]["examples"]) == {"original", *run_of_attacks["attacks"]}
    assert {"conv1", "fc3"} <= set(run_of_attacks["by_layer"].columns)


def test_a_run_is_read(folder, run_of_attacks):
    names = run_notebook("reading_a_run.ipynb", folder, RUN=run_of_attacks["RUN"])
    assert len(names["decoded"]) > 0
    assert (folder / "measurements.csv").is_file()


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated", "ignore:The '.*dataloader' does not have many")
def test_a_lightning_module_is_measured_by_a_callback(folder):
    pytest.importorskip("lightning")
    names = run_notebook("lightning.ipynb", folder, TRAINED=160, MEASURED=40, EPOCHS=1)
    assert names["callback"].plane.performance["epoch"].unique().to_list() == [0, 1]
    assert (folder / "runs/lightning/report.html").is_file()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(name):
    code = [cell for cell in cells_of(name) if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_of_a_notebook_lead_to_files(name):
    text = "".join(line for cell in cells_of(name) if cell["cell_type"] == "markdown" for line in cell["source"])
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    assert [link for link in links if not (EXAMPLES / link).exists()] == []


def test_a_notebook_gets_other_parameters_only_where_it_has_them(tmp_path):
    with pytest.raises(AssertionError):
        run_notebook("reading_a_run.ipynb", tmp_path, INVENTED=1)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_a_document_of_version_4_5(name):
    notebook = json.loads((EXAMPLES / name).read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    identifiers = [cell["id"] for cell in notebook["cells"]]
    assert len(set(identifiers)) == len(identifiers)
