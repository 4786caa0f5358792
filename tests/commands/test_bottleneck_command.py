"""The command `infoplane bottleneck` on a few digits: it trains, attacks, measures, continues and adds."""

import json
import math

import polars as pl
import pytest
from tests.command import infoplane

from infoplane.commands.cli import main
from infoplane.config import BottleneckConfig
from infoplane.records.bottleneck import BOTTLENECK_IMAGE_SCHEMA, BOTTLENECK_SCHEMA
from infoplane.studies.bottleneck import method_settings, short
from infoplane.training import loop

FEW = [
    "--data.name", "digits", "--data.train-examples", "500", "--training.epochs", "4", "--training.batch-size", "25",
    "--model.hidden", "32", "--model.code", "8", "--attacked", "20", "--examples", "60", "--queries", "10",
    "--epsilons", "0.1",
]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study of two values, made with the installed command, and what was printed."""
    folder = tmp_path_factory.mktemp("bottleneck") / "study"
    result = infoplane("bottleneck", "--values", "0", "1e-3", "--seeds", "1", "--run", folder, *FEW)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_each_network_has_a_run_folder_and_the_settings_of_its_value(done):
    folder, _ = done
    settings = {
        name: json.loads((folder / name / "config.json").read_text())["settings"]
        for name in ("vib-0-s0", "vib-1e-3-s0")
    }
    assert settings["vib-0-s0"]["methods"] == ["normal"]
    assert settings["vib-1e-3-s0"]["methods"] == ["vib"]
    assert settings["vib-1e-3-s0"]["method"]["vib_beta"] == 1e-3


def test_the_table_has_every_attack_on_every_path(done):
    folder, printed = done
    numbers = pl.read_parquet(folder / "bottleneck.parquet")
    assert dict(numbers.schema) == BOTTLENECK_SCHEMA
    accuracy = numbers.filter(quantity="accuracy", value=1e-3)
    rows = {(row["path"], row["attack"]): row["number"] for row in accuracy.to_dicts()}
    mean = ["clean", "pgd-20", "transfer", "apgd-ce", "apgd-dlr", "square-10"]
    tried = ["pgd-20-on-mean", "apgd-ce-on-mean", "apgd-dlr-on-mean", "square-10-on-mean"]
    assert [name for path, name in rows if path == "mean path"] == [*mean, "worst case"]
    assert [name for path, name in rows if path == "20 draws"] == [
        "clean", "fgsm-one-draw", "pgd-20-one-draw", *mean[1:], *tried, "worst case",
    ]  # fmt: skip
    assert rows["all", "worst case"] <= min(rows.values())
    for words in ("accuracy in %, epsilon 0.1, 20 images", "apgd-ce-on-mean", "raises accuracy in the worst case"):
        assert words in printed
    page = (folder / "bottleneck.md").read_text()
    for words in ("| 20 draws | apgd-ce-on-mean |", "| I(T;Y), decoded |", "Accuracy in %, epsilon 0.1, 20 images"):
        assert words in page
    assert (folder / "figures" / "bottleneck.png").read_bytes()[:4] == b"\x89PNG"


def test_the_images_agree_with_the_table(done):
    folder, _ = done
    numbers, images = (pl.read_parquet(folder / f"{name}.parquet") for name in ("bottleneck", "images"))
    assert dict(images.schema) == BOTTLENECK_IMAGE_SCHEMA
    for value in (0.0, 1e-3):
        own = images.filter(value=value)
        right = own.group_by("index").agg(pl.col("robust").all())["robust"].mean()
        (worst,) = numbers.filter(value=value, path="all", attack="worst case")["number"]
        assert right == worst


def test_the_monte_carlo_value_does_not_exceed_the_rate(done):
    numbers = pl.read_parquet(done[0] / "bottleneck.parquet").filter(value=1e-3)
    (rate,), (known,) = (numbers.filter(quantity=name)["number"] for name in ("rate", "I(X;T)"))
    assert known <= rate
    assert numbers.filter(quantity="I(T;Y)")["number"].item() > 0.5


def test_the_same_command_trains_and_attacks_nothing_and_more_values_are_added(done, capsys):
    folder, _ = done
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    table = pl.read_parquet(folder / "bottleneck.parquet")
    line = ["bottleneck", "--values", "0", "1e-3", "--seeds", "1", "--run", str(folder), *FEW]
    assert main(line) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    assert pl.read_parquet(folder / "bottleneck.parquet").equals(table)
    assert main([*line[:3], "1e-3", "0.5", *line[4:], "--quiet"]) == 0
    capsys.readouterr()
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert {path: after[path] for path in before} == before
    assert (folder / "vib-0.5-s0" / "config.json").is_file()
    assert set(pl.read_parquet(folder / "bottleneck.parquet")["value"]) == {0.0, 1e-3, 0.5}


def test_a_network_at_chance_is_listed_and_the_others_are_attacked(tmp_path, capsys, monkeypatch):
    """Its penalty outweighs the label, so its code is noise alone."""
    monkeypatch.setattr(loop, "ENOUGH_UPDATES", 60)
    folder = tmp_path / "study"
    line = ["bottleneck", "--run", str(folder), "--seeds", "1", *FEW]
    assert main([*line, "--values", "0", "1e4"]) == 0
    printed = capsys.readouterr()
    assert "--continue-at-chance" not in printed.out + printed.err
    numbers = pl.read_parquet(folder / "bottleneck.parquet")
    (dead,) = numbers.filter(value=1e4).to_dicts()
    assert dead["quantity"] == "at chance"
    assert dead["number"] < 0.25  # a constant answer reaches 0.1 of digits
    assert "apgd-ce" in set(numbers.filter(value=0)["attack"])
    for row in ("| 20 draws | apgd-ce |", "| I(X;T), Monte Carlo |"):
        (shown,) = (one for one in (folder / "bottleneck.md").read_text().splitlines() if one.startswith(row))
        assert shown.endswith("| at chance |")
    assert "at chance and left out: vib 10000, seed 0" in printed.out
    assert "no network of value 0 and one of another value have the same seed" in " ".join(printed.out.split())


def test_a_study_of_networks_at_chance_alone_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loop, "ENOUGH_UPDATES", 60)
    line = ["bottleneck", "--run", str(tmp_path / "study"), "--seeds", "1", "--values", "0", "--quiet", *FEW]
    assert main([*line, "--training.learning-rate", "1e-9"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "all 1 networks of the study ended at chance" in said
    assert "--training.learning-rate" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--values", "0.1"], ["--values", "must contain 0"]),
        (["--values", "0", "-1"], ["--values", "greater than or equal to 0"]),
        (["--values", "0", "0"], ["--values", "each number once"]),
        (["--method", "pgd"], ["--method", "vib", "hbar"]),
        (["--network", "mlp-vib2"], ["unknown model 'mlp-vib2'"]),
        (["--network", "lenet5", "--model.hidden", "3"], ["hidden"]),
        (["--epsilons", "2"], ["--epsilons"]),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, options, words):
    assert main(["bottleneck", "--run", str(tmp_path / "study"), *options]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in said, said
    assert not (tmp_path / "study").exists()


def test_other_settings_are_refused(done, capsys):
    line = ["bottleneck", "--run", str(done[0]), "--values", "0", "1e-3", "--seeds", "1", *FEW, "--queries", "11"]
    assert main(line) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "queries = 10, but this one asks for 11" in said
    assert "--run" in said


def test_values_stand_for_the_weight_of_each_penalty():
    assert method_settings("vib", 0.01) == {"vib_beta": 0.01}
    assert method_settings("nib", 0.01) == {"nib_beta": 0.01}
    assert math.exp(-method_settings("ceb", 0.01)["ceb_rho"]) == pytest.approx(0.01)
    assert method_settings("hbar", 0.01) == {"hbar_x": 0.01, "hbar_y": 0.5}
    assert [short(value) for value in (0, 1e-4, 2.5e-3, 0.1, 0.5, 1, 50)] == [
        "0", "1e-4", "2.5e-3", "1e-1", "0.5", "1", "50",
    ]  # fmt: skip
    assert BottleneckConfig(values=(0.1, 0)).values == (0, 0.1)
