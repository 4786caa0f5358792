"""Names of layers are cut to fit into figures, and different layers keep different names."""

from hypothesis import given
from hypothesis import strategies as st

from infoplane.report.layer_names import short_layers


def test_long_names_keep_their_end():
    assert short_layers(["conv1", "fc"], 13) == ["conv1", "fc"]
    assert short_layers(["backbone.layer1.0.conv1", "stem"], 13) == ["…yer1.0.conv1", "stem"]


def test_names_with_the_same_end_keep_their_first_parts():
    names = ["stem", *(f"group{number}.0.activation1" for number in (1, 2, 3)), "linear"]
    assert short_layers(names, 10) == ["stem", "group1…", "group2…", "group3…", "linear"]
    names = [f"group{number // 2}.{number % 2}.activation1" for number in range(4)]
    assert short_layers(names, 10) == ["group0.0…", "group0.1…", "group1.0…", "group1.1…"]


def test_names_with_the_same_end_and_without_parts_keep_their_beginning():
    assert short_layers(["firstconvolution", "secondconvolution"], 10) == ["firstconv…", "secondcon…"]


def test_names_with_the_same_end_or_beginning_keep_both():
    names = ["encoder.layers.0.norm", "encoder.layers.0.mlp1", "decoder.layers.0.norm"]
    assert short_layers(names, 11) == ["encod….norm", "encod….mlp1", "decod….norm"]


def test_names_that_differ_in_the_middle_alone_are_counted():
    names = [f"backbone.blocks.{number}.attention" for number in range(11)]
    assert short_layers(names, 11)[:1] == ["1…attention"]
    assert short_layers(names, 11)[10:] == ["11…ttention"]


@given(st.lists(st.text("ab.1", min_size=1, max_size=30), min_size=1, max_size=12), st.integers(5, 20))
def test_names_stay_different_and_fit(names, longest):
    short = short_layers(names, longest)
    assert max(map(len, short)) <= longest
    assert len(set(short)) == len(set(names))
