"""What both callbacks share: measuring leaves the random generators alone, and keeps to the budget."""

import random

import numpy as np
import pytest
import torch
from tests.loops.tiny import CLASSES, SETTINGS, examples
from torch import nn

from infoplane.errors import UserError
from infoplane.loops.callback_plane import CallbackPlane


class Noisy(nn.Module):
    """It draws from every global generator, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, images):
        noise = torch.rand(()) + random.random() + np.random.rand()  # noqa: NPY002
        return self.fc(images.flatten(1)) + 0 * noise


def made(**options):
    shared = {"every": 1, "thorough_every": None, "run": None, "training": "normal", "name": "own", "class_names": ()}
    other = {"layers": ["fc"], "attack": None, "settings": SETTINGS, "seed": 0, "budget": None}
    return CallbackPlane(*examples(40, seed=1), **(shared | other | options))


def states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


def test_measuring_leaves_all_global_generators_as_they_were():
    network = Noisy()
    before = states()
    made().measure(network, 1)
    assert states() == before


def test_an_epoch_that_the_budget_leaves_out_has_no_scalars(tmp_path):
    plane = made(budget=1e-9, run=tmp_path / "run")
    with pytest.warns(UserWarning, match="budget=1e-09 allows no more now"):
        found = [plane.measure(Noisy(), epoch) for epoch in (0, 1)]
    assert "original/accuracy" in found[0]
    assert found[1] == {}


def test_a_run_that_cannot_be_saved_says_why(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="run"):
        made(run=tmp_path / "run").measure(Noisy(), 1)


def test_decoders_are_fitted_where_asked_and_at_the_first_and_last_epoch():
    plane = made(thorough_every=2)
    fitted = {
        epoch: "original/fc/I(T;Y)_decoded_nats" in plane.measure(Noisy(), epoch, final=epoch == 3)
        for epoch in range(4)
    }
    assert fitted == {0: True, 1: False, 2: True, 3: True}
