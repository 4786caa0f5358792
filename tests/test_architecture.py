"""The shape that docs/architecture.md describes, held against the code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import infoplane

SOURCE = Path(infoplane.__file__).parent
REPOSITORY = SOURCE.parents[1]

# From the ground up: a room imports itself and rooms of the rows above it (docs/architecture.md).
ROWS = (
    {"acceleration", "checks", "config", "randomness", "records", "terminal", "text"},
    {"errors", "networks"},
    {"distortions", "distributed", "runs", "user_code"},
    {"attacks", "data", "estimators", "models"},
    {"calibration", "measuring", "recipes", "training"},
    {"robustness", "sweeping"},
    {"studies"},
    {"findings"},
    {"report"},
    {"loops"},
    {"commands"},
)
# And some imports that the rows would allow are mistakes.
NEVER = {
    **{room: {"runs"} for room in ("estimators", "attacks", "models", "data", "measuring", "robustness", "training")},
    "findings": {"attacks", "data", "models", "training", "runs"},  # from records alone
    "report": {"attacks", "data", "models", "robustness", "training"},  # of anybody's run, without their code
    "recipes": {"attacks", "estimators"},
}


def allowed_for(room: str) -> set[str]:
    (row,) = (number for number, rooms in enumerate(ROWS) if room in rooms)
    return {room}.union(*ROWS[:row]) - NEVER.get(room, set())


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports_of(path: Path) -> set[str]:
    """Modules of infoplane that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("infoplane.")}


FACE = {SOURCE / "__init__.py", SOURCE / "__main__.py"}  # they hand names on


@pytest.mark.parametrize(
    "path", sorted(set(SOURCE.rglob("*.py")) - FACE), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_imports_run_one_way(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    wrong = {name for name in imports_of(path) if room_of(name) not in allowed_for(room)}
    assert not wrong, f"{room} must not import {sorted(wrong)}"


def test_every_room_is_on_the_page_of_the_architecture():
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    rooms = {path.stem for path in SOURCE.iterdir() if path.suffix in ("", ".py")} - {
        "__init__",
        "__main__",
        "__pycache__",
    }
    assert rooms == set().union(*ROWS)
    assert [room for room in sorted(rooms) if f"`{room}`" not in page and f"`{room}/`" not in page] == []


def test_no_file_outgrows_one_sitting():
    files = [path for room in ("src", "tests", "benchmarks", "examples") for path in (REPOSITORY / room).rglob("*.py")]
    assert {path.name: lines for path in files if (lines := len(path.read_text().splitlines())) > 450} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "import infoplane.commands.cli as cli; cli.main(['--help'])",
        "import infoplane.commands.cli as cli; cli.main(['flow', 'digits-lenet5', '--help'])",
        "import infoplane.commands.cli as cli; cli.main(['recipes'])",
        "import infoplane.training.catalogue, infoplane.training.named",
        "import infoplane.config, infoplane.recipes",
        "from infoplane.attacks import ATTACKS, LinfPGD",
        "import infoplane",
    ],
)
def test_torch_waits_until_it_is_needed(statement):
    code = f"{statement}\nimport sys\nassert 'torch' not in sys.modules\nassert 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_findings_are_reached_by_their_room():
    code = "import sys, infoplane; infoplane.findings.find; assert 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_public_name_loads():
    assert all(getattr(infoplane, name) is not None for name in infoplane.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        infoplane.nonsense  # noqa: B018
