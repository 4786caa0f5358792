"""The engine `ray` on a real cluster of two nodes, each a group of processes of this machine."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest
from tests.sweeping.small_sweeps import (
    LONG,
    all_records,
    epochs_measured,
    quick_epochs,
    quick_jobs,
    reference,
    small_jobs,
    wait_for,
)

from infoplane.distributed import ray_workers
from infoplane.errors import UserError
from infoplane.runs.whole_files import is_in_use
from infoplane.sweeping.engines import ray as engine_file
from infoplane.sweeping.engines.engine import EngineSettings
from infoplane.sweeping.engines.local import LocalEngine
from infoplane.sweeping.engines.ray import RAY, RayEngine
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.packed import Packed
from infoplane.sweeping.state import is_alive

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def cluster():
    """A cluster with one core on its head and none elsewhere; tests add nodes."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - so Ray spells it
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what it runs in the background
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    signal.signal(signal.SIGINT, before)
    ray.init(address=found.address, logging_level="ERROR", log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


def run_watched(jobs, watch, **settings):
    """Run jobs with the engine, and call `watch` again and again until it returns True."""
    outcomes, left = [], [watch]
    wait = ray.wait

    def watched(refs, **options):
        if left and left[0]():
            left.clear()
        options["timeout"] = 0.05 if options.get("timeout") == 1 else options.get("timeout")
        return wait(refs, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ray, "wait", watched)
        RayEngine(EngineSettings(**settings)).run(jobs, outcomes.append)
    assert not left, "the test never came to its point"
    return {outcome.name: outcome.status for outcome in outcomes}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def unseen(monkeypatch):
    """Let workers find no file of the sweep, as on a machine without the sweep's folder."""
    monkeypatch.setattr(engine_file, "write_whole", lambda path, content: None)


def unbroken(tmp_path, *, epochs, seeds=1):
    jobs = quick_jobs(tmp_path / "unbroken", epochs=epochs, seeds=seeds, seconds=0)
    LocalEngine(2).run(jobs, lambda outcome: None)
    return quick_epochs(tmp_path / "unbroken")


def test_a_killed_worker_is_replaced_and_its_run_continues(cluster, tmp_path):
    jobs = quick_jobs(tmp_path / "sweep", epochs=8)
    killed = []

    def kill_worker():
        if epochs_measured(tmp_path / "sweep", "quick-s0") < 2:
            return False
        killed.append(SweepFolder(tmp_path / "sweep").state("quick-s0").pid)
        os.kill(parent_of(killed[0]), signal.SIGKILL)
        return True

    assert run_watched(jobs, kill_worker) == {"quick-s0": "done"}
    assert not is_alive(killed[0])
    log = SweepFolder(tmp_path / "sweep").log_path("quick-s0").read_text()
    assert "epoch 1 is here" in log
    assert log.startswith("GPUs: ''\n")  # nobody reserved one
    assert quick_epochs(tmp_path / "sweep") == unbroken(tmp_path, epochs=8)


@pytest.mark.parametrize("shared", [True, False])
def test_a_lost_node_loses_at_most_an_epoch(cluster, tmp_path, shared, request):
    if not shared:
        request.getfixturevalue("unseen")
    lost = cluster.add_node(num_cpus=1)
    jobs, folder = quick_jobs(tmp_path / "sweep", epochs=30, seeds=2), SweepFolder(tmp_path / "sweep")
    seen = {}

    def lose_node():
        names = ["quick-s0", "quick-s1"]
        if any(epochs_measured(folder.path, name) < 3 for name in names):
            return False
        seen.update({name: epochs_measured(folder.path, name) for name in names})
        cluster.remove_node(lost, allow_graceful=False)
        return True

    try:
        assert run_watched(jobs, lose_node) == {"quick-s0": "done", "quick-s1": "done"}
    finally:
        with contextlib.suppress(Exception):
            cluster.remove_node(lost, allow_graceful=False)
    assert quick_epochs(folder.path) == unbroken(tmp_path, epochs=30, seeds=2)
    kept = {name: folder.log_path(name).read_text().count("is here") for name in seen}
    of_lost = max(kept, key=lambda name: kept[name])
    assert kept[of_lost] >= seen[of_lost] - 1, (kept, seen)
    assert min(kept.values()) == 0  # the run of the other node was not disturbed


def test_a_sweep_that_is_interrupted_stops_its_tasks(cluster, tmp_path):
    jobs, folder = quick_jobs(tmp_path, epochs=LONG), SweepFolder(tmp_path)
    pids = []

    def interrupt():
        state = folder.state("quick-s0")
        if pids or epochs_measured(tmp_path, "quick-s0") < 2 or state.status != "running":
            return False
        pids.append(state.pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_watched(jobs, interrupt)
    wait_for(lambda: not is_alive(pids[0]), seconds=30)
    # the worker, another process, has the last word, after its child has ended
    wait_for(lambda: folder.state("quick-s0").status == "stopped", seconds=30)
    assert folder.state("quick-s0").pid == pids[0]


def test_a_real_run_has_the_same_records_on_ray_without_shared_storage(cluster, tmp_path, unseen):
    (job,) = small_jobs(tmp_path / "ray")
    assert run_watched([job], lambda: True) == {job.name: "done"}
    reference(tmp_path / "alone")
    assert all_records(tmp_path / "ray") == all_records(tmp_path / "alone")


def test_workers_wait_for_room_for_all_of_them_and_say_so(cluster, monkeypatch, capsys):
    monkeypatch.setattr(ray_workers, "_PATIENCE", 0.3)
    other = ray.remote(num_cpus=1)(ray_workers._Worker).remote()
    ray.get(other.place.remote())  # it has the only core now
    release = threading.Timer(1.5, ray.kill, [other])
    release.start()
    assert ray_workers.on_ray_workers(lambda: "found", 1, address=None, gpus=False) == "found"
    release.join()
    assert "waiting until Ray has room for 1 worker;" in capsys.readouterr().err


def test_a_gpu_that_no_machine_has_is_one_line(cluster, tmp_path):
    with pytest.raises(UserError, match="--gpus-per-run 1: Ray counts 0 GPUs on 1 machines"):
        RayEngine(EngineSettings(gpus_per_run=1)).run(quick_jobs(tmp_path), print)


def test_a_run_that_another_process_works_on_is_neither_handed_out_nor_taken_back(tmp_path):
    (job,) = quick_jobs(tmp_path)
    one, other = engine_file._Keeper(tmp_path), engine_file._Keeper(tmp_path)
    assert one.lock(job.name)
    assert one.lock(job.name)  # for a task that is started again
    assert is_in_use(SweepFolder(tmp_path).run_path(job.name))
    assert not other.lock(job.name)
    with pytest.raises(UserError, match="is in use by another infoplane process"):
        other.keep(Packed(job.name, {}, []))
    one.free(job.name)
    assert other.lock(job.name)


def test_an_address_of_nothing_and_a_missing_extra_are_one_line(monkeypatch, tmp_path, capsys):
    from infoplane.commands.cli import main

    line = ["sweep", str(tmp_path / "sweep"), "--recipes", "digits-lenet5", "--engine", "ray"]
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert main(line) == 2
    assert capsys.readouterr().err == "infoplane: --engine ray needs the extra: pip install 'infoplane[ray]'\n"
    assert not (tmp_path / "sweep").exists()
    assert main([*line[:-1], "local", "--address", "auto"]) == 2
    assert "--engine ray" in capsys.readouterr().err


def test_a_client_connection_is_refused():
    with pytest.raises(Exception, match="on a node of the cluster"):
        RAY.build(EngineSettings(address="ray://head:10001"))
