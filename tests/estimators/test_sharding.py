import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.estimators import sharded
from torch import distributed

from infoplane.distributed.team import RankedTeam

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="this build of torch has no process groups")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    """What two processes found together."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "tests.estimators.sharded"]
    files = [str(folder / "rendezvous"), str(folder / "found")]  # a file to meet by: no port that another may hold
    root = Path(__file__).parents[2]
    started = [subprocess.Popen([*command, str(rank), *files], cwd=root) for rank in (0, 1)]
    try:
        assert [process.wait(timeout=120) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    return [torch.load(f"{files[1]}{rank}", weights_only=False) for rank in (0, 1)]


def test_every_rank_gets_the_result_of_a_single_process(ranks, monkeypatch):
    monkeypatch.setattr("infoplane.estimators.row_products.BLOCK", 60)
    alone = sharded.estimates()
    assert 0.5 < alone[0].class_entropies[0].upper.value < alone[1].class_entropies[0].upper.value < 5
    for rank in ranks:
        for together, expected in zip(rank["estimates"], alone, strict=True):
            for one, other in zip(together.estimates(), expected.estimates(), strict=True):
                torch.testing.assert_close(one.influences, other.influences, atol=1e-6, rtol=0)
                assert (one.value, one.error) == pytest.approx((other.value, other.error), abs=1e-6)
                assert (one.null is None) == (other.null is None)
                if other.null:
                    assert one.null.values == pytest.approx(other.null.values, abs=1e-6)
                assert one.ceiling == other.ceiling
    for one, other in zip(*(rank["estimates"] for rank in ranks), strict=True):  # to the bit
        for mine, its in zip(one.estimates(), other.estimates(), strict=True):
            assert torch.equal(mine.influences, its.influences)
            assert mine.null == its.null


def test_every_rank_computes_its_share_only(ranks):
    computed = [rank["computed"] for rank in ranks]
    assert [len(pairs) for pairs in computed] == [28, 27]
    assert len({*computed[0], *computed[1]}) == 55  # once each: the second pass finds them kept


@pytest.mark.parametrize("differing", ["activations", "samples", "labels", "generators"])
def test_ranks_called_with_different_arguments_are_told(ranks, differing):
    for rank in ranks:
        assert rank[differing] == "the arguments must be the same on every rank of the group, got different ones"


def test_shares_of_any_number_of_ranks_are_balanced_and_whole(monkeypatch):
    items = list(range(55))
    monkeypatch.setattr(distributed, "get_world_size", lambda group: 4)
    shares = []
    for rank in range(4):
        monkeypatch.setattr(distributed, "get_rank", lambda group, rank=rank: rank)
        shares.append(RankedTeam(object()).deal(items))
    assert sorted(itertools.chain.from_iterable(shares)) == items
    assert {len(share) for share in shares} <= {13, 14}


def test_a_process_outside_the_group_is_told(monkeypatch):
    monkeypatch.setattr(distributed, "get_rank", lambda group: -1)
    monkeypatch.setattr(distributed, "get_world_size", lambda group: -1)
    with pytest.raises(ValueError, match="group must have this process as a member"):
        RankedTeam(object())
