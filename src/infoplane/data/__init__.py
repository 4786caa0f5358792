"""Data sets as bytes: finding, fetching, reading, choosing examples, augmenting."""

from infoplane.data.augmentation import CropAndFlip
from infoplane.data.downloads import download_bar, fetch
from infoplane.data.images import ImageSet, as_floats, resize_images, stratified_indices
from infoplane.data.load import NAMES, load_split
from infoplane.data.sources import SOURCES, Source
from infoplane.data.transfer import Progress
from infoplane.data.verification import FileCheck, verify

__all__ = [
    "NAMES",
    "SOURCES",
    "CropAndFlip",
    "FileCheck",
    "ImageSet",
    "Progress",
    "Source",
    "as_floats",
    "download_bar",
    "fetch",
    "load_split",
    "resize_images",
    "stratified_indices",
    "verify",
]
