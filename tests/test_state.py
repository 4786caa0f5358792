"""Nested training state goes to tensors and JSON and comes back the same."""

import json

import pytest
import torch
from torch import nn

from infoplane.runs.state_tensors import join_state, split_state


def test_an_optimisers_state_comes_back_with_its_integer_keys():
    model = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    tensors, skeleton = split_state({"optimiser": optimiser.state_dict(), "epoch": 3, "rate": 0.1, "none": None})
    found = join_state(tensors, json.loads(json.dumps(skeleton)))
    expected = optimiser.state_dict()
    assert (found["epoch"], found["rate"], found["none"]) == (3, 0.1, None)
    assert found["optimiser"]["param_groups"][0]["lr"] == expected["param_groups"][0]["lr"]
    assert found["optimiser"]["state"].keys() == expected["state"].keys()
    for index, kept in expected["state"].items():
        assert all(torch.equal(found["optimiser"]["state"][index][name], value) for name, value in kept.items())
    torch.optim.Adam(model.parameters()).load_state_dict(found["optimiser"])


def test_dicts_that_look_like_the_skeleton_survive():
    state = {"tensor": "a name", "pairs": [1, 2], "list": {"list": []}}
    assert join_state(*split_state(state)) == state


def test_what_json_cannot_hold_is_refused_and_named():
    with pytest.raises(TypeError, match=r"state\.method\.0 is a object"):
        split_state({"method": [object()]})


def test_tensors_whose_paths_collide_are_both_kept():
    state = {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}}
    found = join_state(*split_state(state))
    assert (found["a.b"].item(), found["a"]["b"].item()) == (1, 0)
