"""The interactive plane: names cover neither each other nor other points, error bars do not pass the ceiling."""

import json
import re
import shutil
import subprocess
from itertools import combinations

import pytest

from infoplane.report.page_resources import resource

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node on this machine")


def placed(points):
    """Where `placeNames` of page.js puts the names of points in a plane from 0 to 10."""
    (function,) = re.findall(r"  function placeNames.*?\n  }\n", resource("page.js"), flags=re.DOTALL)
    heads = [{"x": x, "y": y, "name": name} for x, y, name in points]
    script = f"{function}console.log(JSON.stringify(placeNames({json.dumps(heads)}, [0, 10], [0, 10])))"
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def box(point, place):
    """Left, right, bottom and top of a name in pixels: 64 and 38 pixels are one unit of the plane."""
    x, y, half = 64 * point[0], 38 * point[1], 3.6 * len(point[2])
    return {
        "top center": (x - half, x + half, y + 7, y + 21),
        "bottom center": (x - half, x + half, y - 21, y - 7),
        "middle right": (x + 8, x + 8 + 2 * half, y - 7, y + 7),
        "middle left": (x - 8 - 2 * half, x - 8, y - 7, y + 7),
        "top left": (x - 2 * half, x, y + 7, y + 21),
        "top right": (x, x + 2 * half, y + 7, y + 21),
        "bottom left": (x - 2 * half, x, y - 21, y - 7),
        "bottom right": (x, x + 2 * half, y - 21, y - 7),
    }[place]


def test_a_name_alone_stands_above_its_point():
    assert placed([(5, 5, "conv1")]) == ["top center"]


def test_six_layers_close_together_do_not_overprint():
    points = [(5 + 0.3 * number, 5 + 0.1 * number, f"layer{number}") for number in range(6)]
    names = placed(points)
    boxes = [box(point, place) for point, place in zip(points, names, strict=True) if place]
    assert len(boxes) >= 4
    for one, two in combinations(boxes, 2):
        assert one[1] <= two[0] or two[1] <= one[0] or one[3] <= two[2] or two[3] <= one[2]


def test_equal_points_leave_a_name_out_rather_than_cover_one():
    assert placed([(5, 5, "one")] * 6).count("") >= 2


def test_points_without_a_name_get_none():
    assert placed([(5, 5, ""), (6, 6, "two")]) == ["", "top center"]


def test_error_bars_end_at_the_ceiling():
    (function,) = re.findall(r"  const bar = .*?\n  };\n", resource("page.js"), flags=re.DOTALL)
    calls = "[bar(2.9, 0.4, false, 3), bar(2.9, 0.4, false, null), bar(2.9, 0.4, true, 3), bar(2.9, null, false, 3)]"
    script = f"{function}console.log(JSON.stringify({calls}.map((one) => [one.array[0], one.arrayminus[0]])))"
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [[pytest.approx(0.1), 0.4], [0.4, 0.4], [0, 0], [0, 0]]
