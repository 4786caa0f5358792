"""The code that a run's folder names is imported only when the user says so."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import infoplane.report.html as html
from infoplane.commands.cli import main

OPTIONS = [
    "--data.train-examples=50", "--data.test-examples=40", "--training.epochs=0", "--measurement.layers=1",
    "--measurement.permutations=2", "--measurement.thorough-epochs=0", "--measurement.noise-sweep=1",
    "--methods=normal", "--device=cpu",
]  # fmt: skip
CODE = """
from pathlib import Path
from torch import nn
import torch
Path("imported").touch()
def images(split):
    return torch.arange(80).remainder(2).mul(255).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 16, 16), (
        torch.arange(80) % 2
    )
def network(classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))
def training(attack):
    from infoplane.training import adversarial_training
    return adversarial_training(attack)
"""


@contextmanager
def sending(folder: Path) -> Iterator[None]:
    """Work in the folder of somebody who sends runs; what is imported there is forgotten."""
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(html, "write_report", lambda run, found, **_: run.path / "report.html")
        patching.setattr(sys, "path", sys.path.copy())
        patching.delitem(sys.modules, "sent", raising=False)  # of another file of tests
        patching.chdir(folder)
        yield
        del sys.modules["sent"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A folder with a finished run of a model function, and the function's code."""
    folder = tmp_path_factory.mktemp("sender")
    (folder / "sent.py").write_text(CODE)
    with sending(folder):
        assert main(["flow", "digits-lenet5", "--run", "run", "--model", "sent:network", *OPTIONS, "--quiet"]) == 0
    return folder


@pytest.fixture(autouse=True)
def received(begun, tmp_path, monkeypatch) -> Path:
    """The same in the current folder, nothing imported yet."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    (tmp_path / "imported").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "write_report", lambda run, found=None, *_, **__: run.path / "report.html")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "sent", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


FLOW = ["flow", "digits-lenet5", "--run", "run", "--device", "cpu", "--quiet"]
DISTORTION = ["distortion", "run", "--distortions", "saturation", "--saturation", "8", "--quiet"]
EVALUATE = ["evaluate", "run", "--examples", "10", "--quiet"]


@pytest.mark.parametrize("command", [FLOW, DISTORTION, EVALUATE, [*FLOW, "--seeds", "2"]])
def test_code_that_only_the_folder_names_is_not_imported(command, capsys):
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "infoplane: run names the function 'sent:network' as its model, and this command would import that code; if "
        "you trust it, add --model sent:network (or --trust-run-code)\n"
    )
    assert not Path("imported").exists()


@pytest.mark.parametrize("command", [FLOW, DISTORTION, EVALUATE])
@pytest.mark.parametrize("trust", [["--model", "sent:network"], ["--trust-run-code"]])
def test_code_that_the_user_trusts_is_imported(command, trust):
    assert main([*command, *trust]) == 0
    assert Path("imported").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (FLOW, "run holds a run with"),
        (DISTORTION, "run was made with the model 'sent:network', not with 'sent:other'; type --model sent:network"),
        (EVALUATE, "run was made with the model 'sent:network', not with 'sent:other'; type --model sent:network"),
    ],
)
def test_another_function_is_another_model(command, words, capsys):
    assert main([*command, "--model", "sent:other"]) == 2
    assert words in capsys.readouterr().err
    assert not Path("imported").exists()


def test_a_report_imports_no_code():
    assert main(["report", "run"]) == 0
    assert not Path("imported").exists()


def test_all_settings_typed_again_continue_a_run(capsys):
    assert main([*FLOW, "--model.name", "sent:network", *OPTIONS]) == 0
    assert Path("imported").exists()


def test_the_code_must_be_the_same_when_the_run_continues(received, capsys):
    (received / "sent.py").write_text(
        "from torch import nn\n"
        "class Doubled(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return 2 * super().forward(x)\n"
        "def network(classes):\n"
        "    return nn.Sequential(nn.Flatten(), Doubled(784, classes))\n"
    )
    for command in (FLOW, DISTORTION, EVALUATE, [*FLOW, "--seeds", "2"]):
        assert main([*command, "--trust-run-code"]) == 2
        assert "computes other outputs than when this run wrote its checkpoint" in capsys.readouterr().err


def run_of_own(folder: Path, words: list[str]) -> Path:
    """Return the folder of a run of further functions, which is made in `folder` beside their code."""
    (folder / "sent.py").write_text(CODE)
    with sending(folder):
        assert main([*CONTINUED, *words]) == 0
    return folder / "own"


CONTINUED = ["flow", "digits-lenet5", "--run", "own", "--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def begun_with_own_data(tmp_path_factory) -> Path:
    """The folder of a run of a data function."""
    options = [option for option in OPTIONS if "layers" not in option]
    return run_of_own(tmp_path_factory.mktemp("data"), ["--data", "sent:images", *options])


@pytest.fixture
def of_own_data(begun_with_own_data, received) -> list[str]:
    """The command that continues a copy of this run in the current folder, nothing imported yet."""
    shutil.copytree(begun_with_own_data, "own")
    return CONTINUED


def test_a_data_function_that_only_the_folder_names_is_not_imported_either(of_own_data, capsys):
    for command in (of_own_data, ["distortion", "own", *DISTORTION[2:]], ["evaluate", "own", *EVALUATE[2:]]):
        assert main(command) == 2
        assert "own names the function 'sent:images' as its data" in capsys.readouterr().err
        assert not Path("imported").exists()
        assert main([*command, "--data", "sent:other"]) == 2
        assert not Path("imported").exists()


@pytest.mark.parametrize("trust", [["--data", "sent:images"], ["--trust-run-code"]])
def test_a_data_function_that_the_user_trusts_is_imported(of_own_data, trust):
    assert main([*of_own_data, *trust]) == 0
    assert Path("imported").exists()


OWN_METHODS = ["--methods", "normal", "sent:training+awp"]


@pytest.fixture(scope="module")
def begun_with_own_method(tmp_path_factory) -> Path:
    """The folder of a run of a training method of one's own."""
    options = [option for option in OPTIONS if "layers" not in option and "epochs=0" not in option]
    options += ["--training.epochs=1", "--measurement.layers=fc3", *OWN_METHODS]
    return run_of_own(tmp_path_factory.mktemp("method"), options)


@pytest.fixture
def of_own_method(begun_with_own_method, received) -> list[str]:
    """The command that continues a copy of this run in the current folder, nothing imported yet."""
    shutil.copytree(begun_with_own_method, "own")
    return CONTINUED


def test_a_method_that_only_the_folder_names_is_not_imported_either(of_own_method, capsys):
    assert main(of_own_method) == 2
    assert capsys.readouterr().err == (
        "infoplane: own names the function 'sent:training' as its training method, and this command would import that "
        "code; if you trust it, add --methods normal sent:training+awp (or --trust-run-code)\n"
    )
    assert main([*of_own_method, "--methods", "normal", "sent:other"]) == 2
    assert "own holds a run with" in capsys.readouterr().err
    assert not Path("imported").exists()
    distortion = ["distortion", "own", *DISTORTION[2:]]  # it trains nothing
    assert main(distortion) == 0
    assert not Path("imported").exists()


@pytest.mark.parametrize("trust", [OWN_METHODS, ["--trust-run-code"]])
def test_a_method_that_the_user_trusts_is_imported(of_own_method, trust):
    assert main([*of_own_method, *trust]) == 0
    assert Path("imported").exists()
