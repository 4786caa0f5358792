"""Transfer, ensembles of sources and universal perturbations."""

import pytest
import torch
import torch.nn.functional as F
from tests.attacks.test_pgd import batch, network, state

from infoplane.attacks import (
    AddedPerturbation,
    EnsembleOfSources,
    LinfPGD,
    Transfer,
    UniversalPerturbation,
    apply_attack,
    universal_perturbation,
)
from infoplane.attacks.contract import stated_ball
from infoplane.attacks.oracle import counted_evaluations

PGD = LinfPGD(epsilon=0.1, step_size=0.05, steps=3)


@pytest.fixture(autouse=True)
def _global_generator_restored():
    with torch.random.fork_rng():
        yield


def made(attack, model, images, labels, **more) -> torch.Tensor:
    return apply_attack(attack, model, images, labels, generator=torch.Generator().manual_seed(3), **more)


def test_transfer_of_a_network_to_itself_is_the_white_box_attack():
    model, (images, labels) = network().eval(), batch()
    white_box = made(PGD, model, images, labels)
    assert torch.equal(made(Transfer(source=model, attack=PGD), model, images, labels), white_box)
    assert not torch.equal(white_box, images)


def test_random_starts_of_a_transfer_are_those_of_the_attack():
    model, (images, labels) = network().eval(), batch()
    attack = LinfPGD(epsilon=0.1, step_size=0.05, steps=3, random_start=True)
    white_box = attack(model, images, labels, generator=torch.Generator().manual_seed(3))
    through_transfer = Transfer(source=model, attack=attack)(
        model, images, labels, generator=torch.Generator().manual_seed(3)
    )
    assert torch.equal(through_transfer, white_box)


def test_the_attacked_network_is_not_looked_at_and_the_source_left_as_found():
    source, images_and_labels = network(1).train(), batch()
    before = state(source)
    attack = Transfer(source=source, attack=PGD)
    first, second = (made(attack, network(seed).eval(), *images_and_labels) for seed in (2, 3))
    assert torch.equal(first, second)
    assert torch.equal(first, made(PGD, network(1).eval(), *images_and_labels))
    assert source.training
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


def test_a_transfer_states_the_ball_of_its_attack_and_counts_the_passes_of_the_source():
    attack = Transfer(source=network().eval(), attack=PGD)
    assert stated_ball(attack) == ("linf", 0.1)
    with counted_evaluations() as counted:
        made(attack, network(1).eval(), *batch())
    assert (counted.gradient, counted.forward) == (18, 18)


def test_targets_reach_the_attack_of_the_source():
    images, labels = batch()
    source, target = network(1).eval(), (labels + 1) % 3
    found = made(Transfer(source=source, attack=PGD), network().eval(), images, labels, target=target)
    assert torch.equal(found, made(PGD, source, images, labels, target=target))


def test_the_loss_of_an_ensemble_is_minus_the_logarithm_of_the_mean_softmax():
    networks, (images, labels) = [network(seed).eval() for seed in range(3)], batch()
    logits = EnsembleOfSources(networks)(images)
    mean = sum(one(images).softmax(dim=1) for one in networks) / 3
    torch.testing.assert_close(logits, mean.log())
    expected = -mean.gather(1, labels[:, None]).log().mean()
    torch.testing.assert_close(F.cross_entropy(logits, labels), expected)


def test_an_ensemble_of_one_has_the_softmax_of_that_network_and_of_none_is_refused():
    model, (images, _) = network().eval(), batch()
    torch.testing.assert_close(EnsembleOfSources([model])(images).softmax(1), model(images).softmax(1))
    with pytest.raises(ValueError, match="at least one network"):
        EnsembleOfSources([])


def test_an_ensemble_of_other_classes_is_refused():
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    with pytest.raises(ValueError, match=r"one shape, got \(6, 3\), \(6, 2\)"):
        EnsembleOfSources([network().eval(), other])(batch()[0])


def test_several_sources_are_an_ensemble():
    networks, (images, labels) = [network(seed) for seed in range(2)], batch()
    found = made(Transfer(source=networks, attack=PGD), network(5).eval(), images, labels)
    assert torch.equal(found, made(PGD, EnsembleOfSources(networks).eval(), images, labels))


def test_one_perturbation_is_added_to_all_images_of_any_network_and_stays_in_the_ball():
    images, labels = batch(20)
    images = 0.2 + 0.6 * images  # so that no pixel is clamped
    change = 0.1 * torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0)).sign()
    attack = AddedPerturbation(perturbation=change, epsilon=0.1)
    first, second = (made(attack, network(seed).eval(), images, labels) for seed in (0, 1))
    torch.testing.assert_close(first - images, change.expand(20, -1, -1, -1))
    assert torch.equal(first, second)
    with pytest.raises(ValueError, match="farther than its own epsilon"):
        made(AddedPerturbation(perturbation=2 * change, epsilon=0.1), network().eval(), images, labels)


def test_a_universal_perturbation_made_on_some_images_is_one_for_others():
    pytest.importorskip("art")
    model, (images, labels) = network().eval(), batch(16)
    images = 0.2 + 0.6 * images
    attack = UniversalPerturbation(norm="linf", epsilon=0.1, passes=1)
    change = universal_perturbation(attack, model, images[:8], labels[:8], generator=torch.Generator().manual_seed(5))
    assert 0 < change.abs().max() <= 0.1 + 1e-6
    others = made(AddedPerturbation(perturbation=change, epsilon=0.1), network(1).eval(), images[8:], labels[8:])
    torch.testing.assert_close(others - images[8:], change.expand(8, -1, -1, -1))
