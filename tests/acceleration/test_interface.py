"""Code outside `acceleration/` uses its interface only, and inner parts are loaded when a network needs them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import infoplane
from infoplane import acceleration

SOURCE = Path(infoplane.__file__).parent
ROOM = SOURCE / "acceleration"
REPOSITORY = SOURCE.parents[1]
BENCHMARK = REPOSITORY / "benchmarks/acceleration_parts.py"  # times inner parts
OUTSIDE = [
    path
    for folder in (SOURCE, REPOSITORY / "benchmarks", REPOSITORY / "examples")
    for path in sorted(folder.rglob("*.py"))
    if ROOM not in path.parents and path != BENCHMARK
]


def names_from(room: str, source: str) -> set[str]:
    """Return all names under `infoplane.ROOM` that Python source imports or reaches as an attribute."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
    prefix = f"infoplane.{room}."
    return {name.removeprefix(prefix) for name in found if name.startswith(prefix)}


def test_the_interface_is_the_ways_of_computing_with_their_types():
    assert set(acceleration.__all__) == {
        "PLAIN",
        "AcceleratedNetwork",
        "Choices",
        "candidates",
        "computed_as_chosen",
        "for_attack",
        "wrap",
    }
    assert all(getattr(acceleration, name) is not None for name in acceleration.__all__)


def test_nobody_outside_imports_inner_parts():
    used = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in OUTSIDE
        for name in names_from("acceleration", path.read_text())
        if name not in acceleration.__all__
    }
    assert not used
    assert any(names_from("acceleration", path.read_text()) for path in OUTSIDE)


@pytest.mark.parametrize(
    "statement",
    [
        "import infoplane.acceleration.inner.tracing",
        "from infoplane.acceleration.network import AcceleratedNetwork",
        "from infoplane.acceleration import inner",
        "import infoplane\ninfoplane.acceleration.inner.tracing.trace",
    ],
)
def test_each_form_of_import_is_seen(statement):
    assert names_from("acceleration", statement) - set(acceleration.__all__)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("from infoplane.acceleration import PLAIN, Choices", "torch"),
        (
            "import infoplane.attacks, infoplane.training.loop, infoplane.studies.flow.fastest",
            "infoplane.acceleration.inner",
        ),
        (
            "from infoplane.acceleration import Choices, wrap\nfrom torch import nn\n"
            "wrap(nn.Flatten(), Choices(precision='bf16'))",
            "infoplane.acceleration.inner",
        ),
    ],
)
def test_parts_are_loaded_when_they_are_needed(statement, absent):
    code = f"{statement}\nimport sys\nassert not [name for name in sys.modules if name.startswith({absent!r})]"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
