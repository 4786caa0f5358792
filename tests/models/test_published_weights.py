"""Weights of published networks load by the names that they have there."""

import pytest
import torch
from tests.models.published import NAMES, SETTINGS, published, with_normalisation
from tests.models.small_networks import images, narrow

from infoplane.errors import UserError
from infoplane.models import model_named
from infoplane.models.load_weights import load_weights
from infoplane.models.weights_file import read_weights


def networks(name):
    """Two networks of a family with other weights: one that was published, and one to load its weights into."""
    first, second = (narrow(name, **SETTINGS[name]) for _ in range(2))
    with torch.no_grad():
        for weights in second.parameters():
            weights.zero_()
    return first, second


def loaded(name, model, weights):
    return load_weights(model, weights, of="--weights w.pt", named=name, layout=model_named(name).key_layout)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_a_network_with_published_weights_gives_its_logits(name, prefix):
    first, second = networks(name)
    found = loaded(name, second, {f"{prefix}{key}": value for key, value in published(name, first).items()})
    assert found == (True, False)
    assert torch.equal(second(images()), first(images()))


@pytest.mark.parametrize(
    ("prefix", "names"),
    [("", ("mu", "sigma")), ("module.", ("mu", "sigma")), ("model.", ("normalize.mean", "normalize.std"))],
)
def test_the_normalisation_of_the_pixels_is_read_if_it_is_there(prefix, names):
    first, second = networks("resnet18")
    found = loaded("resnet18", second, with_normalisation(published("resnet18", first), prefix, names))
    assert found == (True, True)
    assert second.normalise.mean.shape == (3, 1, 1)
    changed = (images() - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(second(images()), first(0.4 + 0.3 * changed), rtol=1e-5, atol=1e-6)


def test_without_one_the_network_keeps_its_own():
    first, second = networks("preactresnet18")
    loaded("preactresnet18", second, published("preactresnet18", first))
    assert second.normalise.mean.flatten().tolist() == pytest.approx([0.4] * 3)


def test_the_unused_block_of_some_wideresnets_is_left_out():
    first, second = networks("wideresnet")
    weights = published("wideresnet", first)
    twin = {f"sub_{name}": value + 1 for name, value in weights.items() if name.startswith("block1.")}
    loaded("wideresnet", second, {f"module.{name}": value for name, value in (weights | twin).items()})
    assert torch.equal(second(images()), first(images()))


def test_weights_by_our_own_names_still_load():
    first, second = networks("resnet18")
    assert loaded("resnet18", second, first.state_dict()) == (False, True)
    assert torch.equal(second(images()), first(images()))


def test_a_weight_that_is_missing_is_called_by_our_name():
    first, second = networks("resnet18")
    weights = published("resnet18", first)
    del weights["layer2.0.shortcut.0.weight"]
    with pytest.raises(UserError, match=r"does not fit the model resnet18: missing stage2\.0\.shortcut\.0\.weight"):
        loaded("resnet18", second, weights)


def test_a_network_of_another_family_is_refused():
    first, second = networks("resnet18")[0], narrow("preactresnet18", width=2)
    with pytest.raises(UserError, match=r"does not fit the model preactresnet18"):
        loaded("preactresnet18", second, published("resnet18", first))


def test_the_last_weights_of_a_training_are_found(tmp_path):
    first, _ = networks("preactresnet18")
    weights = published("preactresnet18", first)
    torch.save({"best": {"conv1.weight": torch.zeros(1)}, "last": weights}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").weights.keys() == weights.keys()
