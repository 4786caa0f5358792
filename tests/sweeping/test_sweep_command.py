"""The command `infoplane sweep`: grids as they are typed, mistakes, and sweeps that grow."""

import errno
import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from tests.command import DRAWING_LITTLE
from tests.sweeping.small_sweeps import FEW, all_records, records, reference, small_options

from infoplane.commands.cli import main
from infoplane.commands.sweep_points import SweepPoints
from infoplane.runs.folder import RunFolder
from infoplane.sweeping.engines.local import LocalEngine
from infoplane.sweeping.execution import Outcome
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.grid import Grid, points_of


@pytest.fixture
def undrawn(monkeypatch):
    """Let the runs draw no figures."""
    monkeypatch.setattr("infoplane.commands.sweep.PROGRAM", str(DRAWING_LITTLE))
    monkeypatch.setenv("DRAWN_FIGURES", "")


@pytest.fixture(scope="module")
def of_one_run(tmp_path_factory):
    """The folder of a sweep of one run, and what it printed: copy it, do not write."""
    folder = tmp_path_factory.mktemp("one") / "sweep"
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(io.StringIO()) as printed:
        patched.setattr("infoplane.commands.sweep.PROGRAM", str(DRAWING_LITTLE))
        patched.setenv("DRAWN_FIGURES", "")
        line = ["sweep", str(folder), *small_options(), "--methods", "normal", "--set", "training.learning_rate=.05"]
        assert main(line) == 0
    return folder, printed.getvalue()


def test_a_sweep_makes_ordinary_runs_and_grows(of_one_run, tmp_path, undrawn, capsys):
    folder = tmp_path / "sweep"
    shutil.copytree(of_one_run[0], folder)
    line = ["sweep", str(folder), *small_options(), "--methods", "normal", "--jobs", "2"]
    assert "digits-lenet5-s0: done (1 of 1)" in of_one_run[1]
    first = all_records(folder)
    reference(tmp_path / "alone", "--training.learning-rate=0.05")  # Ray and Slurm are compared with it, too
    assert first == all_records(tmp_path / "alone")
    settings = RunFolder(folder / "runs" / "digits-lenet5-s0").read_config()["settings"]
    assert (settings["training"]["learning_rate"], settings["methods"]) == (0.05, ["normal"])
    assert main([*line, "--set", "training.learning_rate=.05,0.1"]) == 0
    printed = capsys.readouterr().out
    assert "2 runs, 1 of them done before" in printed
    again = all_records(folder)
    assert list(again) == ["digits-lenet5-learning_rate=0.1-s0", "digits-lenet5-s0"]
    assert again["digits-lenet5-s0"] == first["digits-lenet5-s0"]
    assert main(["sweep", str(folder)]) == 0  # its own grid, all done
    assert "2 of 2 runs done" in capsys.readouterr().out
    assert main(["status", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("1 of 1") == 2
    assert "2 done" in shown


def test_a_run_whose_records_were_deleted_is_made_again_with_the_same_records(of_one_run, tmp_path, undrawn):
    folder = tmp_path / "sweep"
    shutil.copytree(of_one_run[0], folder)
    before = all_records(folder)
    lost = next((folder / "runs" / "digits-lenet5-s0" / "measurements").glob("*e0001*"))
    lost.unlink()
    assert main(["sweep", str(folder), "--quiet"]) == 0
    assert lost.is_file()
    assert all_records(folder) == before


def test_a_method_alone_has_the_records_of_a_run_of_several(tmp_path, undrawn):
    """So a sweep over methods compares trainings from the same weights, as one run does."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in FEW.items()]
    words = [word for word in words if "layers" not in word and "noise-sweep" not in word]
    words += ["--measurement.layers", "fc3", "--measurement.noise-sweep", "1", "--training.epochs=1"]
    sweep = ["sweep", str(tmp_path / "sweep"), *small_options(), "--methods", "normal", "fgsm", "--quiet"]
    assert main(sweep) == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])
        flow = ["flow", "digits-lenet5", *words, "--methods", "normal", "fgsm", "--run", str(tmp_path / "run")]
        assert main([*flow, "--deterministic", "--quiet"]) == 0
    whole = RunFolder(tmp_path / "run").measurements()
    for method in ("normal", "fgsm"):
        own = RunFolder(tmp_path / "sweep" / "runs" / f"digits-lenet5-{method}-s0").measurements()
        assert own.equals(whole.filter(training=method))


def test_a_run_that_fails_is_one_line_and_stops_no_other(tmp_path, undrawn, capsys):
    options = [*small_options(**{"measurement.layers": "fc3,nonsense"}), "--methods", "normal", "--jobs", "1"]
    assert main(["sweep", str(tmp_path), *options]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("infoplane: digits-lenet5-layers=nonsense-s0 failed: infoplane: ")
    assert "nonsense" in said.partition("failed")[2]
    assert SweepFolder(tmp_path).is_done("digits-lenet5-layers=fc3-s0")
    assert records(tmp_path / "runs" / "digits-lenet5-layers=fc3-s0")
    assert main(["status", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "1 done, 1 failed" in shown
    assert "digits-lenet5-layers=nonsense-s0: infoplane: " in shown
    log = tmp_path / "logs" / "digits-lenet5-layers=nonsense-s0.txt"
    assert f"(log: {log}); the same sweep tries it again" in shown


@pytest.fixture
def given(monkeypatch):
    """The jobs that a sweep gives to the local engine, which does nothing with them."""
    jobs = []
    monkeypatch.setattr(LocalEngine, "run", lambda self, own, report: jobs.extend(own))
    return jobs


def test_a_sweep_that_began_without_deterministic_continues_so(tmp_path, given, capsys):
    line = ["sweep", str(tmp_path), "--recipes", "digits-lenet5", "--no-deterministic"]
    assert main(line) == main(["sweep", str(tmp_path)]) == main(line) == 0
    assert len(given) == 3
    assert not any("--deterministic" in job.words for job in given)
    assert main(["sweep", str(tmp_path / "other"), "--recipes", "digits-lenet5"]) == 0
    assert "--deterministic" in given[-1].words
    assert main(["sweep", str(tmp_path / "other"), "--no-deterministic"]) == 2
    assert "began with --deterministic; leave out --no-deterministic" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path), "--deterministic"]) == 2
    assert "began with --no-deterministic; leave out --deterministic" in capsys.readouterr().err


def test_relative_paths_begin_where_the_sweep_began(tmp_path, given, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["sweep", str(tmp_path / "sweep"), "--recipes", "digits-lenet5"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(tmp_path / "sweep")]) == 0
    assert [job.directory for job in given] == [tmp_path / "here"] * 2
    assert Path.cwd() == tmp_path


def test_functions_that_only_the_folder_names_are_not_imported(tmp_path, given, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    SweepFolder(tmp_path / "s").begin(Grid(recipes=("digits-lenet5",), methods=("mine:train",)))
    assert main(["sweep", "s"]) == 2
    assert "names the function 'mine:train'" in capsys.readouterr().err
    assert given == []
    for trusted in (["--methods", "mine:train"], ["--trust-run-code"]):
        assert main(["sweep", "s", *trusted]) == 0
        assert "mine:train" in given.pop().words


def test_a_recipe_that_this_version_does_not_know_is_one_line(tmp_path, capsys):
    SweepFolder(tmp_path).begin(Grid(recipes=("of-later",)))
    for command in ("sweep", "status"):
        assert main([command, str(tmp_path)]) == 2
        assert "of-later is no recipe of this version" in capsys.readouterr().err


def test_a_run_of_another_process_is_no_success(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        LocalEngine, "run", lambda self, jobs, report: [report(Outcome(job.name, "elsewhere")) for job in jobs]
    )
    assert main(["sweep", str(tmp_path), "--recipes", "digits-lenet5"]) == 1
    assert "another process works on 1 run; give the same command again" in capsys.readouterr().err


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch, capsys):
    def no_locks(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    assert main(["sweep", str(tmp_path), "--recipes", "digits-lenet5"]) == 2
    assert "has no locks: choose another one" in capsys.readouterr().err


def test_claims_of_one_run_and_the_folder_of_a_sweep_do_not_mix(tmp_path, given, capsys):
    claims, sweep = tmp_path / "claims.toml", tmp_path / "sweep"
    claims.write_text('title = "t"\nseeds = [0]\n[[study]]\nclaim = "2"\nexpect = "supported"\n')
    assert main(["sweep", str(sweep), "--recipes", "digits-lenet5"]) == 0
    for folder in (sweep, sweep / "together" / "digits-lenet5"):
        assert main(["register", str(claims), str(folder)]) == 2
        assert "is of a sweep, and claims are about one run" in capsys.readouterr().err
        assert not (folder / "registered.json").exists()
    assert main(["register", str(claims), str(tmp_path / "run")]) == 0
    assert main(["sweep", str(tmp_path / "run"), "--recipes", "digits-lenet5"]) == 2
    assert "holds registered claims, which are of one run" in capsys.readouterr().err


MISTAKES = [
    (["--set", "training.learning_rate"], "--set takes SETTING=VALUE"),
    (["--set", "training.learning_rate="], "must be a value"),
    (["--set", "training.learning_rate=.1,"], "must be a value"),
    (["--set", "training.learning_rate=a"], "training.learning_rate must be a valid number"),
    (["--set", "learning_rate=1"], "unknown setting 'learning_rate', did you mean training.learning_rate?"),
    (["--set", "training.epoch=1"], "did you mean training.epochs?"),
    (["--set", "seed=1"], "--seeds"),
    (["--set", "methods=normal"], "--methods"),
    (["--set", "run=x"], "unknown setting 'run'"),
    (["--set", "epochs=1", "--set", "training.epochs=2"], "names training.epochs twice"),
    (["--set", "training.learning_rate=.1,0.10"], "names 0.1 twice"),
    (["--set", "training.learning_rate=.1,-1"], "learning_rate=-1-s0: training.learning_rate must be greater than 0"),
    (["--set", "attack.steps=1"], "cannot reach epsilon"),
    (["--methods", "normal", "normal"], "--methods names normal twice"),
    (["--methods", "nomral"], "unknown training method 'nomral'"),
    (["--seeds", "0"], "--seeds must be greater than or equal to 1"),
    (["--recipes", "mnist"], "unknown recipe 'mnist'"),
    (["--engine", "lokal"], "unknown engine 'lokal', did you mean 'local'?"),
    (["--gpus-per-run", "1"], "--gpus-per-run is not for --engine local; add --engine ray or --engine slurm"),
    (["--engine", "ray", "--slurm", "time=1"], "--slurm is not for --engine ray; add --engine slurm"),
    (["--engine", "slurm", "--slurm", "time"], "--slurm takes OPTION=VALUE"),
    (["--set", "attacks=nonsense"], "unknown attack 'nonsense'"),
    (["--set", "model=mlp", "--set", "model.depth=3"], "has no setting 'depth'"),
    (["--set", "measurement.budget=.2"], "measurement.budget chooses the measured epochs by a timing"),
]


@pytest.mark.parametrize(("options", "words"), MISTAKES, ids=lambda part: " ".join(part)[:40])
def test_a_mistake_is_one_line_and_nothing_begins(options, words, tmp_path, capsys):
    recipes = [] if "--recipes" in options else ["--recipes", "digits-lenet5"]
    assert main(["sweep", str(tmp_path / "sweep"), *recipes, *options]) == 2
    printed = capsys.readouterr()
    (said,) = printed.err.splitlines()
    assert words in said
    assert printed.out == ""
    assert not (tmp_path / "sweep").exists()


def test_another_grid_no_recipe_and_a_folder_that_is_no_sweep_are_refused(tmp_path, capsys):
    folder = SweepFolder(tmp_path / "sweep")
    folder.begin(Grid(recipes=("digits-lenet5",), seeds=2, settings={"training.epochs": (("1",), ("2",))}))
    for line, words in [
        (["sweep", str(folder.path), "--set", "training.epochs=1"], "holds a sweep with --set training.epochs 1, 2"),
        (["sweep", str(folder.path), "--seeds", "1"], "--seeds 2, but this one asks for 1"),
        (["sweep", str(tmp_path / "new")], "name recipes"),
        (["status", str(tmp_path / "new")], "is no sweep"),
    ]:
        assert main(line) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert words in said


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema_version": 2}', '{"schema_version": 1, "grid": 3}'])
def test_a_damaged_sweep_is_one_line(damage, tmp_path, capsys):
    (tmp_path / "sweep.json").write_text(damage)
    assert main(["status", str(tmp_path)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "sweep.json" in said


@pytest.mark.parametrize(
    "typed",
    [
        ["training.learning_rate=.05,1e-3", "training.augment=true,false", "training.milestones=3 4"],
        ["attack.epsilon=8/255,.1", "training.gradient_clip=none,1.5", "measurement.noise_sweep="],
        ["model=resnet18", "model.width=8,16", "attacks=pgd fgsm", "method.trades_beta=2"],
        ["attacks=", "training.stop=accuracy", "examples=30"],
    ],
)
def test_a_command_line_gives_the_settings_that_were_checked(typed, monkeypatch):
    """What the process of a run reads is what the sweep checked before."""
    from infoplane.commands import cli, flow

    points, given = SweepPoints(), []
    monkeypatch.setattr(flow, "_run_flow", lambda config, path, **options: given.append(config) or 0)
    all_of_them = points_of(points.grid(["digits-lenet5"], ["trades"], 2, typed, None))
    for point in (all_of_them[0], all_of_them[-1]):  # they hold the first and the last value of every setting
        assert cli.main(["flow", *points.words(point), "--run", "nowhere"]) == 0
        assert json.loads(given[-1].model_dump_json()) == json.loads(points.config(point).model_dump_json())
        assert given[-1].methods == ("trades",)
