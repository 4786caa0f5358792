"""Scalars reach TensorBoard, W&B, MLflow and trackio: real trackers that write to a folder."""

import importlib.util
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.loops.trackers import log_scalars, mlflow_name

SCALARS = {"original/accuracy": 0.5, "adversarial/fc2/I(T;Y)_decoded_nats": 1.25}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_scalars_under_their_names(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard.SummaryWriter(tmp_path) as writer:
        log_scalars(SCALARS, writer, step=0)
        log_scalars(dict.fromkeys(SCALARS, 0.0), writer, step=7)
    written = EventAccumulator(str(tmp_path)).Reload()
    found = {name: [(event.step, event.value) for event in written.Scalars(name)] for name in SCALARS}
    assert found == {name: [(0, value), (7, 0.0)] for name, value in SCALARS.items()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_stores_scalars_under_names_that_it_allows(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    many = {f"original/layer{number}/loss": float(number) for number in range(1001)}  # MLflow takes 1,000 together
    with mlflow.start_run() as run:
        log_scalars(SCALARS | many, mlflow, step=3)
    client = mlflow.MlflowClient()
    metrics = client.get_run(run.info.run_id).data.metrics
    assert metrics["adversarial/fc2/I_T_Y_decoded_nats"] == 1.25
    assert len(metrics) == 1003
    assert [one.step for one in client.get_metric_history(run.info.run_id, "original/accuracy")] == [3]


def test_wandb_keeps_scalars_in_its_offline_run(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="W&B is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=tmp_path, project="infoplane") as run:
        log_scalars(SCALARS, run, step=4)
    wandb.teardown()  # ends the process that writes
    written = next(tmp_path.rglob("*.wandb")).read_bytes()
    for name, value in (SCALARS | {"_step": 4}).items():  # a name and its value in JSON are a few bytes apart
        assert re.search(re.escape(name).encode() + b".{1,6}" + re.escape(str(value)).encode(), written, re.DOTALL)


def test_trackio_stores_scalars(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read when trackio is imported
    trackio = pytest.importorskip("trackio", reason="trackio, which needs an older Pillow, is not installed")
    from trackio.sqlite_storage import SQLiteStorage

    run = trackio.init(project="infoplane", embed=False)
    log_scalars(SCALARS, run, step=4)
    trackio.finish()
    (logged,) = SQLiteStorage.get_logs("infoplane", run.name)
    assert {name: logged[name] for name in (*SCALARS, "step")} == SCALARS | {"step": 4}


def test_loggers_that_take_metrics_get_names_unchanged():
    given = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: given.append((metrics, step)))
    log_scalars(SCALARS, logger, step=2)
    assert given == [(SCALARS, 2)]


@pytest.mark.parametrize(
    ("tracker", "named"), [(object(), "object"), (sys, "sys"), (SimpleNamespace(log=lambda text: None), "Simple")]
)
def test_other_objects_are_refused_by_name(tracker, named):
    with pytest.raises(ValueError, match=f"tracker must be a SummaryWriter of TensorBoard, .*, got {named}"):
        log_scalars(SCALARS, tracker, step=0)


@given(st.text(min_size=1))
def test_mlflow_names_have_only_signs_that_mlflow_allows(name):
    assert set(mlflow_name(name)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /")


def test_two_layers_in_other_scripts_keep_two_names():
    assert mlflow_name("слой") != mlflow_name("层")


@pytest.mark.parametrize(("module", "library"), [("lightning", "Lightning"), ("transformers", "Transformers")])
def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch, module, library):
    monkeypatch.delitem(sys.modules, f"infoplane.loops.{module}", raising=False)
    monkeypatch.delitem(sys.modules, "pytorch_lightning", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"^infoplane.loops.{module} needs {library}: pip install '[\w\[\]]+'$"):
        importlib.import_module(f"infoplane.loops.{module}")


def test_no_optional_library_is_imported_before_its_callback():
    code = """
import sys
import infoplane
infoplane.InformationPlane, infoplane.load_run
import infoplane.loops.trackers, infoplane.loops.callback_plane, infoplane.commands.cli
optional = {"lightning", "pytorch_lightning", "lightning_fabric", "transformers", "tensorboard", "mlflow", "wandb"}
assert not optional & set(sys.modules), optional & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
