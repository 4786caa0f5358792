"""Optimisers without the compiler take the steps of torch's own."""

import pytest
import torch
from tests.command import run_script

from infoplane.networks import optimisers

OPTIONS = {"SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}, "Adam": {"lr": 0.01}, "AdamW": {"lr": 0.01}}


def weights_after(kind, options: dict[str, float], steps: int) -> torch.Tensor:
    weights = torch.nn.Parameter(torch.linspace(-1, 1, 6))
    optimiser = kind([weights], **options)
    for step in range(steps):
        if step == 2:  # a state that is kept and loaded changes nothing
            state, optimiser = optimiser.state_dict(), kind([weights], **options)
            optimiser.load_state_dict(state)
        optimiser.zero_grad()
        (weights.square().sum() + weights.sin().sum()).backward()
        optimiser.step()
    assert weights.requires_grad
    return weights.detach()


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_are_those_of_torch(name):
    ours, theirs = (weights_after(getattr(room, name), OPTIONS[name], 5) for room in (optimisers, torch.optim))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, torch.linspace(-1, 1, 6))


@pytest.mark.parametrize("name", OPTIONS)
def test_they_are_optimisers_to_schedulers_too(name):
    optimiser = getattr(optimisers, name)([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    assert isinstance(optimiser, getattr(torch.optim, name))
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=1, gamma=0.5)
    optimiser.step()
    schedule.step()
    assert optimiser.param_groups[0]["lr"] == 0.05


def test_training_does_not_import_the_compiler(tmp_path):
    code = f"""
import sys
import infoplane.commands.cli as cli
import infoplane.report.html as html
html.write_figures = lambda *_, **__: []  # they take longer than all else
words = "--epochs 1 --examples 40 --data.train-examples 40 --data.test-examples 60 --measurement.layers fc3 --quiet "
words += "--deterministic --measurement.permutations 1 --measurement.decoder-permutations 1 --measurement.inputs 0"
assert cli.main(["flow", "digits-lenet5", "--run", {str(tmp_path / "run")!r}, *words.split()]) in (None, 0)
assert "torch" in sys.modules
assert "torch._dynamo" not in sys.modules
"""
    script = tmp_path / "training.py"
    script.write_text(code)
    done = run_script(script)
    assert done.returncode == 0, done.stderr
