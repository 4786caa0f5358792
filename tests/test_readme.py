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


def test_the_ten_lines_of_code_and_the_own_loop_work_as_pasted(tmp_path):
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(examples) == 2
    command = [sys.executable, "-c", "\n".join(examples)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine" / "config.json").is_file()
    label, layer = done.stdout.splitlines()
    assert re.fullmatch(r"I\(T;Y\): at least [\d.]+ \[[\d.]+, [\d.]+\] nats, at most 2\.30", label)
    low, high = map(float, re.fullmatch(r"I\(X;T\) under this noise: ([\d.]+) to ([\d.]+) nats", layer).groups())
    assert 0 < low < high


def test_the_guides_example_works_on_a_layer():
    (example,) = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "docs" / "estimators.md").read_text(), flags=re.DOTALL
    )
    layer = "torch.manual_seed(0)\nlabels = torch.arange(300) % 3\n"
    layer += "activations = torch.randn(300, 2) + 3 * labels[:, None]\n"
    code = example.replace("seed =", f"{layer}seed =", 1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    decoded, *listed, last = done.stdout.splitlines()
    assert float(decoded.split()[0]) > 0.5
    assert [line.split()[:2] for line in listed[:3]] == [
        ["I(X;T)", "lower"],
        ["I(X;T)", "upper"],
        ["I(T;Y)", "estimate"],
    ]
    value, null = float(last.split()[0]), float(last.split()[-1])
    assert null < value


def test_the_attacks_of_the_guide_are_measured_in_one_plane(tmp_path):
    examples = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "attacks.md").read_text(), flags=re.DOTALL)
    attacks = next(example for example in examples if "def uniform_noise" in example)
    loop = next(example for example in examples if "from my_attacks import" in example)
    (tmp_path / "my_attacks.py").write_text(attacks)
    done = subprocess.run(
        [sys.executable, "-c", loop], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^│ ([\w-]+) +┆ \d", done.stdout, re.MULTILINE) == [
        "original",
        "adversarial",
        "one-step",
        "noise",
    ]


def test_the_guide_lists_every_attack_as_its_spec_does():
    text = (REPOSITORY / "docs" / "attacks.md").read_text()
    flowing = " ".join(text.split())
    for spec in ATTACKS:
        settings, norms = (", ".join(f"`{name}`" for name in names) for names in (spec.settings, spec.norms))
        assert f"| `{spec.name}` | {spec.threat} | {settings} | {norms} |" in text
        if spec.in_ball and not spec.extra and spec.threat != "transfer":  # others have a table of their own
            assert f"- `{spec.name}`: {spec.description}" in flowing


def test_the_example_of_ones_own_loop_runs(tmp_path):
    example = REPOSITORY / "examples" / "own_training_loop.py"
    done = subprocess.run(
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
