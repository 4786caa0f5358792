"""The shape that docs/architecture.md describes, held against the code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import infoplane

SOURCE = Path(infoplane.__file__).parent
REPOSITORY = SOURCE.parents[1]

# Each room may import the rooms in its set, and itself; leaves of the whole house may be imported by all.
LEAVES = {
    "acceleration",
    "checks",
    "config",
    "errors",
    "layout",
    "logits",
    "memory",
    "modes",
    "output",
    "randomness",
    "records",
    "short_repr",
    "standing",
    "state",
    "sweeps",
    "team",
    "terminal",
    "text",
    "user_code",
    "whole_files",
    "wrappers",
}
ESTIMATING = {"estimators"}
PROBING = ESTIMATING | {"probes"}
ATTACKING = PROBING
TRAINING = PROBING | {"attacks"}
STUDYING = TRAINING | {"distortions", "training", "data", "models", "runs"}
SHOWING = {"runs", "tables", "estimators", "distortions"}
MAY_IMPORT = {
    **{leaf: set() for leaf in LEAVES},
    "estimators": set(),
    "probes": ESTIMATING,
    "data": set(),
    "models": set(),
    "runs": {"kept_config", "manifest", "packing", "tables"},
    "kept_config": set(),
    "manifest": set(),
    "tables": set(),
    "packing": set(),
    "environment": set(),
    "ranks": set(),
    "recipes": {"data", "models"},
    "attacks": ATTACKING,
    "distortions": set(),
    "training": TRAINING,
    "studies": STUDYING,
    "findings": {"estimators", "studies", "distortions"},
    "report": SHOWING | {"studies", "findings", "recipes"},
    "console": set(),
    "commands": STUDYING
    | {"studies", "findings", "report", "recipes", "console", "environment", "kept_config", "ranks", "option_names"},
    "option_names": set(),
    "complaints": {"option_names"},
    "cli": {"commands", "recipes", "complaints"},
}


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
    allowed = MAY_IMPORT[room] | LEAVES | {room}
    wrong = {name for name in imports_of(path) if room_of(name) not in allowed}
    assert not wrong, f"{room} must not import {sorted(wrong)}"


def test_no_file_outgrows_one_sitting():
    files = [path for room in ("src", "tests", "benchmarks", "examples") for path in (REPOSITORY / room).rglob("*.py")]
    assert {path.name: lines for path in files if (lines := len(path.read_text().splitlines())) > 450} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "import infoplane.cli as cli; cli.main(['--help'])",
        "import infoplane.cli as cli; cli.main(['flow', 'digits-lenet5', '--help'])",
        "import infoplane.cli as cli; cli.main(['recipes'])",
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
