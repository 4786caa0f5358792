"""On a linear classifier attacks find the images that can be attacked in the ball, and no others."""

import pytest
import torch
from torch import Tensor, nn

from infoplane.attacks import APGD, BIM, L2PGD, MIFGSM, LinfPGD, Square

PIXELS = 16
BEYOND = {"square": 1.02}  # of the threshold: a random search comes near, the others go to the corner of the ball


def linear() -> tuple[nn.Sequential, Tensor]:
    """Logits (wx + b, 0, -10, -11), and w. The last two classes are there for the DLR loss and never the largest."""
    weight = torch.randn(PIXELS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 4)).double()
    with torch.no_grad():
        model[1].weight.zero_()[0] = weight
        model[1].bias.copy_(torch.tensor([-weight.sum() / 2, 0.0, -10.0, -11.0]))
    return model, weight


ATTACKS = {
    "fgsm": (1, lambda epsilon: LinfPGD(epsilon=epsilon, steps=1, step_size=epsilon)),
    "pgd": (1, lambda epsilon: LinfPGD(epsilon=epsilon, steps=10)),
    "pgd-restarts": (1, lambda epsilon: LinfPGD(epsilon=epsilon, steps=20, random_start=True, restarts=2)),
    "pgd-stop": (1, lambda epsilon: LinfPGD(epsilon=epsilon, steps=20, random_start=True, stop_early=True)),
    "bim": (1, lambda epsilon: BIM(epsilon=epsilon, steps=10)),
    "mi-fgsm": (1, lambda epsilon: MIFGSM(epsilon=epsilon)),
    "apgd-ce": (1, lambda epsilon: APGD(epsilon=epsilon, steps=30)),
    "apgd-dlr": (1, lambda epsilon: APGD(epsilon=epsilon, loss="dlr", steps=30)),
    "apgd-stop": (1, lambda epsilon: APGD(epsilon=epsilon, steps=30, stop_early=True)),
    "square": (1, lambda epsilon: Square(epsilon=epsilon, queries=300)),
    "pgd-l2": (2, lambda epsilon: L2PGD(epsilon=epsilon, steps=10)),
    "apgd-ce-l2": (2, lambda epsilon: APGD(epsilon=epsilon, norm="l2", steps=30)),
    "apgd-dlr-l2": (2, lambda epsilon: APGD(epsilon=epsilon, norm="l2", loss="dlr", steps=30)),
}


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_image_is_flipped_just_above_its_threshold_and_not_just_below(name, targeted):
    # The distance to the boundary is |wx + b| / |w| in the dual norm: 1 for L-infinity, 2 for L2.
    (order, attack), (model, weight) = ATTACKS[name], linear()
    source = torch.Generator().manual_seed(1)
    images = 0.45 + 0.1 * torch.rand(2, 1, 4, 4, generator=source, dtype=torch.float64)
    with torch.no_grad():
        margins = model(images)[:, 0]
    assert margins.min() < 0 < margins.max()
    for image, margin in zip(images, margins, strict=True):
        distance, label = margin.abs().item() / weight.norm(p=order).item(), (margin < 0).long().view(1)
        for factor, flips in ((BEYOND.get(name, 1.0001), True), (0.9999, False)):
            found = attack(factor * distance)(
                model,
                image[None],
                label,
                generator=torch.Generator().manual_seed(0),
                target=1 - label if targeted else None,
            )
            with torch.no_grad():
                assert (model(found).argmax(dim=1) != label).item() is flips
