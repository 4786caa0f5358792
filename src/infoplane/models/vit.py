"""Vision transformer for small images, with patches of 4 pixels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.checks import check_at_least, check_one_of
from infoplane.models.normalisation import Normalise

READOUTS = ("cls", "mean")
INITIAL_DEVIATION = 0.02  # of all weights but the patches' convolution


class Readout(nn.Module):
    """One vector per image from its tokens, `(batch, tokens, width)`: the class token, or the mean of all."""

    def __init__(self, tokens: str) -> None:
        super().__init__()
        self.takes_first = tokens == "cls"

    def forward(self, tokens: Tensor) -> Tensor:
        """Return `(batch, width)`."""
        return tokens[:, 0] if self.takes_first else tokens.mean(dim=1)


class SelfAttention(nn.Module):
    """Multi-head self-attention of tokens, `(batch, tokens, width)`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width)  # queries, keys and values
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        parts = self.inputs(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])  # (batch, heads, tokens, width of a head)
        found: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return found


class Block(nn.Module):
    """Attention and a two-layer perceptron, each after LayerNorm and added to its input."""

    def __init__(self, width: int, heads: int, hidden: int, tokens: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.readout = Readout(tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape, `(batch, tokens, width)`."""
        tokens = tokens + self.attention(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        self.readout(tokens)  # for probes: its output is one vector per image, and nothing else reads it
        return tokens


class VisionTransformer(nn.Module):
    """Vision transformer with pre-norm blocks; maps images in [0, 1] to logits, `(batch, classes)`.

    Patches of `patch_size` pixels become tokens by a convolution, learned positions are added, and after the blocks
    and a last LayerNorm a linear layer reads the class token, or the mean of the tokens of all patches (there is no
    class token then). With 32 pixels, three channels, ten classes, patches of 4 and the class token, widths, blocks
    and heads of 192, 12, 3 give 5,362,762 parameters; of 384, 12, 6: 21,342,346; of 192, 6, 3: 2,693,578.

    The probed layers are one vector per image after each block (what `tokens` names), the same after the last
    LayerNorm, and the logits. `blocks.0` and so on are all tokens of a block.

    Args:
        tokens: "cls" for a class token, "mean" for the mean over the patches.
        width: units of a token, a multiple of `heads`.
        blocks: number of blocks, at least 1.
        heads: of attention, at least 1.
        patch_size: height and width of a patch in pixels.
        image_size: height and width in pixels, a multiple of `patch_size`.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.

    Source: Dosovitskiy et al. (2021), arXiv:2010.11929; the mean of tokens as in Beyer et al. (2022),
    arXiv:2205.01580.
    """

    first_layer = "patches"

    def __init__(
        self,
        tokens: str = "cls",
        width: int = 192,
        blocks: int = 6,
        heads: int = 3,
        patch_size: int = 4,
        image_size: int = 32,
        channels: int = 3,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        check_one_of(tokens, READOUTS, name="tokens")
        for name, value, least in (("blocks", blocks, 1), ("heads", heads, 1), ("classes", classes, 2)):
            check_at_least(value, least, name=name)
        check_at_least(patch_size, 1, name="patch_size")
        check_at_least(width, 1, name="width")
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, {heads}, got {width}")
        if image_size < patch_size or image_size % patch_size:
            raise ValueError(f"image_size must be a multiple of patch_size, {patch_size}, got {image_size}")
        self.normalise = Normalise(channels, image_size, mean, std)
        self.patches = nn.Conv2d(channels, width, patch_size, stride=patch_size)
        number = (image_size // patch_size) ** 2
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if tokens == "cls" else None
        self.positions = nn.Parameter(torch.zeros(1, number + (tokens == "cls"), width))
        self.blocks = nn.Sequential(*(Block(width, heads, 4 * width, tokens) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.readout = Readout(tokens)
        self.linear = nn.Linear(width, classes)
        self.probed_layers = (*(f"blocks.{block}.readout" for block in range(blocks)), "readout", "linear")
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INITIAL_DEVIATION)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.positions, std=INITIAL_DEVIATION)
        if self.class_token is not None:
            nn.init.trunc_normal_(self.class_token, std=INITIAL_DEVIATION)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, image_size)` in [0, 1]."""
        tokens = self.patches(self.normalise(images)).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(tokens.size(0), -1, -1), tokens], dim=1)
        tokens = self.norm(self.blocks(tokens + self.positions))
        logits: Tensor = self.linear(self.readout(tokens))
        return logits
