import shutil

import pytest

from infoplane.commands.cli import main
from infoplane.commands.distortion import DistortionOptions, distortion
from infoplane.config import DistortionConfig
from infoplane.errors import UserError

CONFIG = DistortionConfig(distortions=("saturation",), levels={"saturation": (8,)})


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory):
    from infoplane.config import AttackConfig, DataConfig, FlowConfig, MeasurementConfig, TrainingConfig
    from infoplane.runs.environment import describe_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.studies import STUDY
    from infoplane.studies.flow.information_flow import information_flow

    run = RunFolder(tmp_path_factory.mktemp("flow") / "run")
    config = FlowConfig(
        data=DataConfig(name="digits", train_examples=50, test_examples=40),
        training=TrainingConfig(epochs=1, batch_size=25, learning_rate=0.01),
        attack=AttackConfig(epsilon=0.1, step_size=0.1, steps=1),
        measurement=MeasurementConfig(examples=30, layers=("fc3",), permutations=2, thorough_epochs=0, noise_sweep=()),
        methods=("normal",),
    )
    run.begin(STUDY, config.model_dump(mode="json"), describe_environment("cpu"))
    information_flow(config, run=run)
    return run.path


def test_records_report_and_a_table(flow_run, tmp_path, capsys, monkeypatch):
    import infoplane.report.html as html

    written = []
    monkeypatch.setattr(
        html, "write_report", lambda run, found, **_: written.append(run.path) or run.path / "report.html"
    )
    shutil.copytree(flow_run, tmp_path / "run")
    assert distortion(DistortionOptions(run=tmp_path / "run", config=CONFIG)) == 0
    printed = capsys.readouterr().out
    assert "normal training, seed 0  saturation  original" in printed
    assert "Accuracy under distortions, seed 0" in printed
    assert "The study's claims, tested" in printed
    assert str(tmp_path / "run" / "report.html") in printed
    assert len(list((tmp_path / "run" / "performance").glob("distortion-*"))) == 1
    assert distortion(DistortionOptions(run=tmp_path / "run", config=CONFIG, quiet=True)) == 0
    assert capsys.readouterr().out == ""
    assert written == [tmp_path / "run"] * 2


def test_a_folder_without_a_run_is_refused_and_not_made(tmp_path):
    with pytest.raises(UserError, match="is no run folder"):
        distortion(DistortionOptions(run=tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_an_interrupted_study_says_how_to_continue(flow_run, monkeypatch, capsys):
    import infoplane.studies.distortion as study

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "distortion_study", stop)
    assert main(["distortion", str(flow_run), "--saturation", "8"]) == 130
    assert f"To continue: infoplane distortion {flow_run} --saturation 8\n" in capsys.readouterr().err


def test_help_says_what_each_destroys_at_which_levels(capsys):
    from infoplane.distortions import DISTORTIONS

    with pytest.raises(SystemExit):
        main(["distortion", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for one in DISTORTIONS:
        assert f"{one.name}: destroys {one.destroys}" in text
        levels = " ".join(f"{level:g}" for level in one.levels)
        words = f"{one.identity:g} changes nothing and is always measured. (default: {levels}"
        assert f"--{one.name} [FLOAT [FLOAT ...]] {one.level[0].upper()}{one.level[1:]}; {words}" in text
    assert "(default: 1 2 4 8, or the nearest that fit the image size)" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--distortions", "saturation", "--saturation", "1.5"), "saturation: level must be finite and at least 2"),
        (("--distortions", "saturation", "--saturation", "nan"), "saturation: level must be finite and at least 2"),
        (("--distortions", "shuffling", "--shuffling", "0"), "shuffling: pieces must be at least 1, got 0"),
        (("--distortions", "shuffling", "--shuffling", "2.5"), "shuffling: pieces must be a whole number, got 2.5"),
        (("--distortions", "high-pass", "--high-pass", "nan"), "high-pass: width must be positive, or infinite"),
        (("--low-pass", "1"), "levels of low-pass were given, but it is not asked for; add it to --distortions"),
        (("--distortions", "swirl"), "unknown distortion 'swirl'; distortions are saturation, shuffling, low-pass"),
    ],
)
def test_distortions_and_levels_that_do_not_fit_are_one_line(flow_run, options, message, capsys):
    assert main(["distortion", str(flow_run), *options, "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distortions": ("saturation", "saturation")}, "name each distortion once"),
        ({"distortions": ()}, "name each distortion once"),
        ({"levels": {"saturation": ("eight",)}}, "valid number"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        DistortionConfig(**settings)
