"""Images of four classes whose shape and texture are known, and networks that see only one of the two."""

import math

import torch
from torch import Tensor, nn

from infoplane.distortions import low_pass

SIZE, CLASSES = 32, 4


def patterns(each: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return `each` images of every class, `(n, 1, 32, 32)`, and their labels.

    The shape is one wave over the image: along x or y, upwards or downwards. The texture is stripes of two pixels along
    x or y, a chessboard of single pixels, or one of squares of 2 x 2. Noise makes the images of a class differ.
    """
    labels = torch.arange(CLASSES).repeat(each)
    noise = 0.02 * torch.randn(len(labels), 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return (0.5 + 0.25 * shapes()[labels] + 0.15 * textures()[labels] + noise).clamp(0, 1), labels


def shapes() -> Tensor:
    wave = torch.sin(2 * math.pi * (torch.arange(SIZE) + 0.5) / SIZE)
    along_x, along_y = wave.expand(SIZE, SIZE), wave[:, None].expand(SIZE, SIZE)
    return torch.stack([along_x, -along_x, along_y, -along_y])[:, None]


def textures() -> Tensor:
    sign = 1 - 2 * (torch.arange(SIZE) % 2)
    wide = 1 - 2 * (torch.arange(SIZE) // 2 % 2)
    stripes = sign.expand(SIZE, SIZE)
    return torch.stack([stripes, stripes.T, sign * sign[:, None], wide * wide[:, None]])[:, None].float()


class SeesShape(nn.Module):
    """Answers the class whose wave fits the blurred image best."""

    probed_layers = ("seen", "answer")

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.answer = nn.Identity(), nn.Identity()
        self.unused = nn.Parameter(torch.zeros(1))  # a network has weights

    def forward(self, images: Tensor) -> Tensor:
        fits = torch.einsum("nchw,kchw->nk", low_pass(images, 2) - 0.5, shapes()) / SIZE
        return self.answer(self.seen(fits) + 0 * self.unused)


class SeesTexture(nn.Module):
    """Answers the class whose texture differs from pixel to pixel as the image does, wherever its patches lie."""

    probed_layers = ("seen", "answer")

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.answer = nn.Identity(), nn.Identity()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        found, known = self.seen(steps(images)), steps(0.5 + 0.15 * textures())
        return self.answer(-100 * (found[:, None] - known[None]).square().sum(dim=2) + 0 * self.unused)


def steps(images: Tensor) -> Tensor:
    """Mean step to the neighbour on the right, below and diagonally, within patches of 8 x 8, of norm 1."""
    cut = images.reshape(len(images), SIZE // 8, 8, SIZE // 8, 8).permute(0, 1, 3, 2, 4)
    right, below = cut[..., 1:] - cut[..., :-1], cut[..., 1:, :] - cut[..., :-1, :]
    diagonal = cut[..., 1:, 1:] - cut[..., :-1, :-1]
    found = torch.stack([one.abs().flatten(1).mean(dim=1) for one in (right, below, diagonal)], dim=1)
    return found / found.norm(dim=1, keepdim=True)


def see_shape() -> nn.Module:
    return SeesShape()


def see_texture() -> nn.Module:
    return SeesTexture()
