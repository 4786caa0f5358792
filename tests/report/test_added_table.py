"""The page shows what attacked examples tell beyond the originals."""

import re

from tests.test_standing import measured

from infoplane.records.tables import (
    ADDED_INFORMATION,
    DECODED,
    LABEL_INFORMATION,
    REMOVED_INFORMATION,
    SHARED_INFORMATION,
    measurement_table,
)
from infoplane.report.page_added import added_html


def test_each_attack_has_a_row_with_what_it_adds_removes_and_shares():
    rows = [
        measured(
            DECODED, quantity, value, None, examples=examples, standard_error=0.01,
            interval_low=value - 0.02, interval_high=value + 0.02,
        )
        for examples, values in (("random-target", (0.0, 0.1, 0.9)), ("adversarial", (0.6931, 0.2, 0.8)))
        for quantity, value in zip(
            (ADDED_INFORMATION, REMOVED_INFORMATION, SHARED_INFORMATION), values, strict=True
        )
    ]  # fmt: skip
    page = added_html(measurement_table(rows))
    lines = re.findall(r"<tr><th scope=.row.*?</tr>", page)
    cells = [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", line)] for line in lines]
    assert [line[:2] for line in cells] == [["fc1", "adversarial"], ["fc1", "random-target"]]
    assert cells[0][2:4] == ["1.00&thinsp;±.01", "0.97 to 1.03"]  # ln 2
    assert "random-target" in page[page.index("note") :]


def test_a_run_without_attacks_has_no_such_table():
    assert added_html(measurement_table([measured(DECODED, LABEL_INFORMATION, 1.0, None)])) == ""
