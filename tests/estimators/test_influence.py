import math

import pytest
import torch

from infoplane.estimators import group_means, standard_error


def test_the_standard_error_is_the_spread_of_the_mean():
    assert standard_error(torch.tensor([1.0, 2.0, 3.0, 4.0])) == pytest.approx(math.sqrt(5 / 3) / 2)


def test_a_single_sample_shows_no_spread():
    assert standard_error(torch.tensor([3.0])) == 0.0


def test_group_means_average_each_group_in_its_place():
    means = group_means(torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor([2, 0, 2, 0]), 3)
    assert means.dtype == torch.double
    assert means[[0, 2]].tolist() == [6.0, 2.0]
    assert math.isnan(means[1])


@pytest.mark.parametrize(
    ("groups", "message"),
    [([0, 3], r"groups must lie in \[0, 3\), found 0 to 3"), ([-1, 0], "found -1 to 0"), ([0], "both have shape")],
)
def test_groups_outside_the_range_are_an_error(groups, message):
    with pytest.raises(ValueError, match=message):
        group_means(torch.ones(2), torch.tensor(groups), 3)
