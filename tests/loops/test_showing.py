"""What a plane and a loaded run show: scalars for trackers, tables for notebooks, a figure, and the page."""

import math
from html.parser import HTMLParser

import polars as pl
import pytest
import torch
from tests.loops.own_loops import SETTINGS, examples, measured, plane, small

import infoplane
from infoplane.config import MeasurementConfig
from infoplane.errors import UserError
from infoplane.loops.notebook_table import tables_html
from infoplane.loops.plane_figure import plane_figure
from infoplane.records import performance_table
from infoplane.records.tables import MEASUREMENT_SCHEMA

NASTY = "<script>\"&\u2028 'ü" + 50 * "long "


class Reader(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


# scalars


def test_scalars_are_the_numbers_of_the_records(finished):
    found = finished.scalars()
    last = finished.measurements.filter(epoch=1, layer="hidden", examples="adversarial", quantity="I(T;Y)")
    decoded = last.filter(estimator="decoded")["value_nats"].item()
    assert found["adversarial/hidden/I(T;Y)_decoded_nats"] == decoded
    relative = last.filter(estimator="kde-kl", noise_mode="relative")["value_nats"].item()
    assert found["adversarial/hidden/I(T;Y)_kde-kl@relative_nats"] == relative
    original = finished.performance.filter(epoch=1, examples="original")
    assert found["original/accuracy"] == original["accuracy"].item()
    assert found["original/loss"] == original["loss"].item()


def test_two_numbers_never_have_one_name(finished):
    kept = finished.measurements.filter(
        pl.col("quantity").is_in(["I(X;T)", "I(T;Y)"]),
        pl.col("class_index").is_null(),
        pl.col("noise_mode").is_null() | (pl.col("noise_mode") != "sweep"),
        pl.col("epoch") == 1,
    )
    assert len([name for name in finished.scalars() if name.endswith("_nats")]) == len(kept) > 50


def test_scalars_are_finite_floats():
    dead = small()
    with torch.no_grad():
        for parameter in dead.hidden.parameters():
            parameter.zero_()  # all outputs of the layer are equal: its clustering index is NaN
    own = plane(attack=None)
    records = own.measure(dead, epoch=0, thorough=False)
    assert any(math.isnan(row.class_clustering_index) for row in records.geometry)
    assert all(type(value) is float and math.isfinite(value) for value in own.scalars().values())


def test_scalars_of_an_earlier_epoch_and_of_another_training_can_be_asked_for():
    own = plane()
    for epoch, training in ((0, "normal"), (4, "normal"), (2, "other")):
        own.measure(small(epoch), epoch=epoch, training=training, thorough=False)

    def loss(epoch, training):
        return own.performance.filter(epoch=epoch, training=training, examples="original")["loss"].item()

    assert own.scalars()["original/loss"] == loss(2, "other")
    assert own.scalars(training="normal")["original/loss"] == loss(4, "normal")
    assert own.scalars(0, "normal")["original/loss"] == loss(0, "normal")
    with pytest.raises(ValueError, match=r"epoch 1 of training 'normal' was not measured; measured are \[0, 4\]"):
        own.scalars(1, "normal")
    with pytest.raises(ValueError, match="training 'nothing' was not measured; measured are none"):
        own.scalars(training="nothing")


def test_the_settings_may_name_the_layers():
    own = infoplane.InformationPlane(*examples(), settings=SETTINGS.model_copy(update={"layers": ("last",)}))
    own.measure(small(1), epoch=0)
    assert set(own.measurements["layer"]) == {"last"}


def test_a_plane_without_measurements_has_no_scalars():
    assert plane().scalars() == {}


# tables for notebooks


def test_the_table_of_a_plane_has_a_row_for_each_layer(finished):
    found = Reader(finished._repr_html_())
    assert found.tags.count("tr") == 1 + 3  # head, pixels, two layers
    assert "accuracy: test " in found.text
    assert "tensor" not in found.text


def test_names_are_escaped_and_shortened():
    own = plane(name=NASTY, attack=None)
    own.measure(small(), epoch=0, thorough=False)
    text = own._repr_html_()
    assert "script" not in Reader(text).tags
    assert "&lt;script&gt;" in text
    assert len(text) < 3000


def test_a_plane_without_measurements_says_so():
    assert "Nothing has been measured yet." in plane()._repr_html_()


def test_accuracy_alone_makes_no_table(finished):
    empty = pl.DataFrame(schema=MEASUREMENT_SCHEMA)
    assert "table" not in Reader(tables_html("run", empty, finished.performance)).tags
    assert "Nothing" in tables_html("run", empty, performance_table([]))


def test_many_layers_are_counted():
    model = torch.nn.Sequential(
        torch.nn.Flatten(), *(torch.nn.Linear(36, 36) for _ in range(61)), torch.nn.Linear(36, 3)
    )
    own = infoplane.InformationPlane(*examples(), settings=MeasurementConfig(permutations=0))
    own.measure(model, epoch=0, thorough=False)
    text = own._repr_html_()
    assert Reader(text).tags.count("tr") == 61
    assert "and 2 more layers" in text


# figure


def test_the_figure_has_a_plane_for_each_layer_of_each_training(finished):
    figure = finished.plot()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == ["hidden", "last"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_all_points_lie_inside_the_axes(finished):
    figure = finished.plot()
    for axes in figure.axes[:2]:
        for drawn in axes.collections:
            places = drawn.get_offsets()
            if drawn.get_label() in ("original", "adversarial"):
                assert len(places)
                assert (places[:, 0] >= axes.get_xlim()[0]).all()
                assert (places[:, 0] <= axes.get_xlim()[1]).all()
                assert (places[:, 1] >= axes.get_ylim()[0]).all()
                assert (places[:, 1] <= axes.get_ylim()[1]).all()


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_figure_is_written_in_the_form_of_its_suffix(suffix, tmp_path):
    own = plane(name="$x$ <&>")
    own.measure(small(), epoch=0, thorough=False)
    own.plot(tmp_path / f"plane{suffix}")
    begins = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert (tmp_path / f"plane{suffix}").read_bytes().startswith(begins)


def test_another_suffix_is_refused(finished, tmp_path):
    with pytest.raises(UserError, match=r"plane.gif must end in .png, .pdf or .svg"):
        finished.plot(tmp_path / "plane.gif")


def test_a_plane_without_measurements_is_drawn_empty():
    (axes,) = plane_figure(pl.DataFrame(schema=MEASUREMENT_SCHEMA), "nothing").axes
    assert [text.get_text() for text in axes.texts] == ["nothing has been measured yet"]


# page


@pytest.fixture
def _without_drawing(monkeypatch):
    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])


@pytest.mark.usefixtures("_without_drawing")
def test_the_report_goes_into_the_folder_that_was_saved_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = measured(name='a/b "<c>"', epochs=0)
    assert own.report().parts == ("runs", "a-b-c", "report.html")
    for name in ("one", "two", "one"):
        own.save(tmp_path / name)
    page = own.report()
    assert page == tmp_path / "one" / "report.html"
    assert page.read_text("utf-8").count("<c>") == 0
    assert own.report(tmp_path / "three") == tmp_path / "three" / "report.html"


# loaded runs


def test_a_loaded_run_says_what_it_holds(saved):
    run = infoplane.load_run(str(saved))
    assert run.path == saved
    assert run.config["settings"]["loop"] == "own"
    text = repr(run)
    assert f"{str(saved)!r}: mine" in text
    assert "model Small, data own images, trainings normal, seeds 0, epochs 0 to 1 (2 measured)" in text
    assert Reader(run._repr_html_()).tags.count("tr") == 4


def test_tables_of_a_loaded_run_are_flat_where_asked_for(saved):
    flat = infoplane.flat(infoplane.load_run(saved).measurements)
    assert flat.write_csv().count("\n") == len(flat) + 1


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no run folder"):
        infoplane.load_run(tmp_path)


def test_a_damaged_table_is_named_when_it_is_read(own_copy):
    path = next((own_copy / "performance").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    run = infoplane.load_run(own_copy)
    assert len(run.measurements) > 0
    with pytest.raises(UserError, match=rf"{path.name} was changed after infoplane wrote it"):
        run.performance  # noqa: B018


def test_settings_without_permutations_and_attack_are_saved_too(tmp_path):
    own = infoplane.InformationPlane(*examples(), settings=SETTINGS.model_copy(update={"permutations": 0}))
    own.measure(small(), epoch=0)
    assert len(infoplane.load_run(own.save(tmp_path / "run")).measurements) == len(own.measurements)


def test_without_decoders_the_plane_is_that_of_relative_noise():
    # Fixed noise can be so small against a layer that I(X;T) is at its ceiling in every panel.
    own = plane()
    own.measure(small(), epoch=0, thorough=False)
    (head,) = [text.get_text() for text in own.plot().texts if "seed 0" in text.get_text()]
    assert head.endswith(", relative noise")
