"""Pillow images: check their pixel type and cut out squares."""

from typing import TYPE_CHECKING

from infoplane.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

_GREY_MODES = {"1", "L", "LA"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"}


def checked_mode(mode: str, where: str) -> bool:
    """Return whether a Pillow image with this mode is grey.

    Raises:
        UserError: the pixels have more than 8 bits; the message names `where`.
    """
    if mode not in _GREY_MODES | _COLOUR_MODES:
        # Pillow converts 16 bits to 8 by clipping, which gives white images.
        raise UserError(f"{where} has pixels of type {mode!r}, not 8 bits a channel; save it as 8-bit grey or RGB")
    return mode in _GREY_MODES


def square(image: "Image", image_size: int) -> "Image":
    """Scale the shorter side to `image_size`, bilinear and antialiased, and cut out the middle square."""
    from PIL import Image

    shorter = min(image.size)
    if shorter != image_size:
        width, height = (max(image_size, side * image_size // shorter) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)  # Pillow's resize is antialiased
    left, top = ((side - image_size) // 2 for side in image.size)
    return image.crop((left, top, left + image_size, top + image_size))
