"""What the README says works as pasted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infoplane.attacks import ATTACKS
from infoplane.recipes import RECIPES

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()


def test_the_guide_lists_every_attack_as_its_spec_does():
    text = (REPOSITORY / "docs" / "attacks.md").read_text()
    flowing = " ".join(text.split())
    for spec in ATTACKS:
        settings, norms = (", ".join(f"`{name}`" for name in names) for names in (spec.settings, spec.norms))
        assert f"| `{spec.name}` | {spec.threat} | {settings} | {norms} |" in text
        if spec.in_ball and not spec.extra and spec.threat != "transfer":  # others have a table of their own
            assert f"- `{spec.name}`: {spec.description}" in flowing


def test_the_example_of_ones_own_loop_runs(tmp_path):
    text = (REPOSITORY / "examples" / "own_training_loop.py").read_text()
    assert text.count("[:300]") == 2
    example = tmp_path / "own_training_loop.py"
    example.write_text(text.replace("[:300]", "[:60]"))  # measuring fewer images changes neither epochs nor rows
    done = subprocess.run(  # a new process: all that it needs, it imports itself
        [sys.executable, example], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "own-loop" / "report.html").is_file()
    assert "shape: (11, 3)" in done.stdout
    assert "shape: (11, 7)" in done.stdout
    assert "shape: (5, 7)" in done.stdout


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_the_table_with_its_cost(name):
    assert f"| `{name}` | {RECIPES[name].purpose} | {RECIPES[name].cost} |" in README


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []
