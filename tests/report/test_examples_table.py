"""The page shows per layer what decoders find from fewer examples, and how many would be enough."""

import re

import pytest
from tests.test_standing import measured

from infoplane.records.tables import DECODED, FEWER_INFORMATION, LABEL_INFORMATION, measurement_table
from infoplane.report.page_examples import examples_html


def rows(layer, index, values, whole, features):
    facts = {"layer": layer, "layer_index": index, "features": features, "kind": "lower", "distribution": "population"}
    curve = [
        measured(DECODED, FEWER_INFORMATION, value, None, samples=125 * 2**place, **facts)
        for place, value in enumerate(values)
    ]
    return [*curve, measured(DECODED, LABEL_INFORMATION, whole, None, samples=1000, **facts)]


def test_a_narrow_layer_has_enough_examples_and_a_wide_one_does_not_tell():
    table = measurement_table(
        rows("conv1", 0, [0.0, 0.02, 0.08], 0.16, 3456)
        # 1.4 nats less 25 / examples, as is known for 80 % of 1,000 examples too: 25 / 0.05 = 500 are enough
        + rows("fc3", 1, [1.4 - 25 / 125, 1.4 - 25 / 250, 1.4 - 25 / 500], 1.4 - 25 / 800, 10)
    )
    page = examples_html(table)
    cells = {
        re.search(r">(\w+)</th>", line)[1]: re.findall(r"<td>(.*?)</td>", line)
        for line in re.findall(r"<tr><th scope=.row.*?</tr>", page)
    }
    assert cells["conv1"] == ["3,456", "0.00", "0.03", "0.12", "0.23", "-"]
    assert cells["fc3"][:-1] == ["10", "1.73", "1.88", "1.95", "1.97"]
    assert int(cells["fc3"][-1]) == pytest.approx(500, abs=5)
    assert all(f"from {size}" in page for size in (125, 250, 500))


def test_a_run_without_learning_curves_has_no_such_table():
    assert examples_html(measurement_table([measured(DECODED, LABEL_INFORMATION, 1.0, None)])) == ""
