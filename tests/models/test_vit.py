"""Vision transformer: what it computes, and what its probed layers are."""

import math

import pytest
import torch
from tests.models.small_networks import images, narrow
from tests.models.written_out import ByHand

from infoplane.measuring.probes import record_activations
from infoplane.models import VisionTransformer


def norm(x, weights, name):
    scaled = (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True, correction=0) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attended(x, by, name, heads):
    """Attention of Vaswani et al. (2017), Section 3.2, head by head."""
    queries, keys, values = by.linear(x, f"{name}.inputs").chunk(3, dim=2)
    size = x.shape[2] // heads
    found = []
    for head in range(heads):
        q, k, v = (part[:, :, head * size : (head + 1) * size] for part in (queries, keys, values))
        found.append((q @ k.transpose(1, 2) / math.sqrt(size)).softmax(dim=2) @ v)
    return by.linear(torch.cat(found, dim=2), f"{name}.output")


def written_out(model, pixels, tokens, heads=3):
    """Equations 1 to 4 of Dosovitskiy et al. (2021), by hand."""
    by = ByHand(model)
    x = (pixels - 0.4) / 0.3
    patches = x.unflatten(3, (8, 4)).unflatten(2, (8, 4)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    x = patches @ by.weights["patches.weight"].flatten(1).T + by.weights["patches.bias"]
    if tokens == "cls":
        x = torch.cat([by.weights["class_token"].repeat(len(x), 1, 1), x], dim=1)
    x = x + by.weights["positions"]
    for block in (0, 1):
        name = f"blocks.{block}"
        x = x + attended(norm(x, by.weights, f"{name}.norm1"), by, f"{name}.attention", heads)
        y = by.linear(norm(x, by.weights, f"{name}.norm2"), f"{name}.mlp.0")
        x = x + by.linear(y * (1 + torch.erf(y / math.sqrt(2))) / 2, f"{name}.mlp.2")
    x = norm(x, by.weights, "norm")
    return by.linear(x[:, 0] if tokens == "cls" else x.mean(dim=1), "linear")


@pytest.mark.parametrize("tokens", ["cls", "mean"])
def test_it_computes_the_equations_of_the_paper(tokens):
    model, pixels = narrow("vit", tokens=tokens), images()
    torch.testing.assert_close(model(pixels), written_out(model, pixels, tokens), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("tokens", "number"), [("cls", 65), ("mean", 64)])
def test_probed_layers_are_one_vector_per_image(tokens, number):
    model = narrow("vit", tokens=tokens)
    shapes = {}
    layers = ["blocks.0", *model.probed_layers]
    with torch.no_grad(), record_activations(model, layers, shapes=shapes) as recorded:
        model(images())
    assert model.probed_layers == ("blocks.0.readout", "blocks.1.readout", "readout", "linear")
    assert shapes["blocks.0"] == (number, 6)
    assert [shapes[layer] for layer in model.probed_layers] == [(6,), (6,), (6,), (4,)]
    whole = recorded["blocks.0"].unflatten(1, (number, 6))
    expected = whole[:, 0] if tokens == "cls" else whole.mean(dim=1)
    torch.testing.assert_close(recorded["blocks.0.readout"], expected)


def test_positions_tell_patches_apart():
    model, pixels = narrow("vit", tokens="mean"), images()
    exchanged = pixels.roll(4, dims=3)  # the same patches at other places
    assert (model(pixels) - model(exchanged)).abs().max() > 1e-4
    with torch.no_grad():
        model.positions.zero_()
    torch.testing.assert_close(model(pixels), model(exchanged))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 16}, "width must be a multiple of heads, 3, got 16"),
        ({"patch_size": 5}, "image_size must be a multiple of patch_size, 5, got 32"),
        ({"image_size": 2}, "image_size must be a multiple of patch_size, 4, got 2"),
        ({"tokens": "all"}, "tokens must be one of cls, mean, got 'all'"),
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
    ],
)
def test_impossible_networks_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VisionTransformer(**settings)
