import pytest
from torch import nn

from infoplane.networks.evaluation_mode import evaluation_mode


def modes(model):
    return [module.training for module in model.modules()]


def test_every_module_is_in_evaluation_mode_inside_the_block():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Sequential(nn.Dropout()))
    with evaluation_mode(model):
        assert modes(model) == [False] * 4


def test_a_frozen_batch_norm_stays_frozen_and_the_rest_goes_back_to_training():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Sequential(nn.Dropout()))
    model[0].eval()
    with evaluation_mode(model):
        pass
    assert modes(model) == [True, False, True, True]


def test_a_training_part_of_a_network_in_evaluation_mode_goes_back_to_training():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout()).eval()
    model[1].train()
    with evaluation_mode(model):
        assert modes(model) == [False] * 3
    assert modes(model) == [False, False, True]


def test_modes_come_back_after_an_error():
    model = nn.Sequential(nn.Dropout())
    with pytest.raises(KeyError, match="mine"), evaluation_mode(model):
        raise KeyError("mine")
    assert modes(model) == [True, True]


def test_blocks_nest():
    model = nn.Sequential(nn.Dropout())
    with evaluation_mode(model):
        with evaluation_mode(model):
            pass
        assert modes(model) == [False, False]
    assert modes(model) == [True, True]
