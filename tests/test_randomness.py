import random

import numpy as np
import pytest
import torch

from infoplane.randomness import PartGenerator, draw_per_image, isolated_global_generator, seeded_generator, stable_seed

PARTS = (0, "purpose", 12)


def test_a_seed_is_the_first_63_bits_of_a_sha256_hence_the_same_in_every_process():
    # printf 'int:0\037str:purpose\037int:12' | sha256sum | cut -c1-16
    assert stable_seed(*PARTS) == 0x532BF954D8F76CA7 >> 1


def test_each_part_and_its_place_and_type_matter():
    seeds = [
        stable_seed(*parts)
        for parts in [(), (1,), ("1",), (1, 2), (2, 1), (12,), ("1", "2"), ("12",), ("1", 2), (1, ""), (0, 12), (-1,)]
    ]
    assert len(set(seeds)) == len(seeds)


def test_seeds_of_consecutive_numbers_are_spread_over_63_bits():
    seeds = [stable_seed(number) for number in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    # Uniform on [0, 1): the mean of 1000 spreads by 1 / sqrt(12 * 1000) = 0.009; four spreads.
    assert sum(seeds) / 1000 / 2**63 == pytest.approx(0.5, abs=0.036)


def test_equal_parts_give_equal_draws_and_other_parts_others():
    draws = [torch.rand(4, generator=seeded_generator(*parts)).tolist() for parts in [(0, "a"), (0, "a"), (0, "b")]]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def global_states():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global state is what this is about
    return torch.get_rng_state().tolist(), (name, keys.tolist(), *rest), random.getstate()


def test_a_seeded_generator_leaves_the_global_ones_alone():
    before = global_states()
    torch.rand(4, generator=seeded_generator(0, "purpose"))
    assert global_states() == before


def test_draws_inside_the_block_are_decided_by_its_seed():
    draws = []
    for outside, seed in [(1, 7), (2, 7), (1, 8)]:
        torch.manual_seed(outside)
        with isolated_global_generator(seed):
            draws.append(torch.rand(4).tolist())
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_the_global_generators_are_back_after_the_block():
    before = global_states()
    with isolated_global_generator(0):
        torch.rand(4)
    assert global_states() == before


def test_the_global_generators_are_back_after_an_error():
    before = global_states()
    with pytest.raises(RuntimeError, match="shape"), isolated_global_generator(0):
        torch.rand(4).view(5)
    assert global_states() == before


def test_a_block_on_the_cpu_does_not_seed_other_devices(monkeypatch):
    # Their generators would not be put back after the block.
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    with isolated_global_generator(0):
        torch.rand(4)
    assert seeded == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_block_on_a_gpu_seeds_and_restores_the_gpu_and_the_cpu(device):
    before = torch.get_rng_state().tolist(), torch.cuda.get_rng_state().tolist()
    draws = []
    for _ in range(2):
        with isolated_global_generator(0, device):
            draws.append((torch.rand(4, device="cuda").tolist(), torch.rand(4).tolist()))
    assert draws[0] == draws[1]
    assert (torch.get_rng_state().tolist(), torch.cuda.get_rng_state().tolist()) == before


def test_draws_per_image_are_those_of_the_whole_batch():
    whole = draw_per_image(torch.rand, (7, 2), torch.Generator().manual_seed(1), dtype=torch.float64)
    for rank in range(3):
        generator = PartGenerator()
        generator.manual_seed(1)
        generator.of_batch(slice(rank, None, 3), 7)
        own = draw_per_image(torch.rand, (generator.own, 2), generator, dtype=torch.float64)
        assert torch.equal(own, whole[rank::3])


def test_draws_for_some_of_the_images_are_as_many():
    generator = PartGenerator()
    generator.manual_seed(1)
    generator.of_batch(slice(None), 8)
    some = draw_per_image(torch.rand, (3, 2), generator, dtype=torch.float32)
    assert torch.equal(some, torch.rand(3, 2, generator=torch.Generator().manual_seed(1)))
