"""Tables of `infoplane shape`: answers to cue conflicts, and decoded information about both cues along the layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import table_schema

UNTRAINED = "untrained"  # in place of a training: the network with the initial weights of its seed
FOLDER_KIND = "folder"  # kind of conflicts that were read from a folder of the user's
ORIGINALS_KIND = "original"  # in place of a kind: the images without a conflict
SHAPE, TEXTURE = "shape", "texture"  # the two cues
LABEL = "label"  # in place of a cue: of images without a conflict, where both agree


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class CueAnswer:
    """What one network answers to one image with the shape of one class and the texture of another."""

    seed: int  # of the training
    training: str  # name of the training; "untrained" of the initial weights
    epoch: int  # completed epochs of the network
    kind: str  # how the conflicts were made: "high-pass", "patches", or "folder" of images that were read
    width: float | None = None  # blur of the shape, in pixels; missing of images that were read
    fingerprint: str  # hash of all conflicts of this kind; for images of a folder also of the measured images
    conflict: int  # number of the image among the conflicts of its kind
    image: str | None = None  # name of the file, of images that were read
    shape_example: int | None = None  # index of the image that lends the shape, among those that the run measured
    texture_example: int | None = None  # likewise of the texture
    shape: int  # class of the shape
    texture: int  # class of the texture
    group: int  # one of 20 fixed groups of conflicts, which have no image in common
    predicted: int  # class that the network answers


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class CueLayer:
    """Decoded information about the class of one cue in one layer of one network. Information is in nats."""

    seed: int  # of the training
    training: str  # name of the training
    epoch: int  # completed epochs of the network
    kind: str  # as in the answers; "original" of the images without a conflict
    width: float | None = None  # as in the answers
    fingerprint: str  # as in the answers; of the images without a conflict their own
    layer_index: int  # place of the layer, from 0 at the input
    layer: str  # name of the layer
    cue: str  # "shape" or "texture": whose class; "label" of images without a conflict
    estimator: str  # "decoded": refitted on these images; "decoded-transfer": trained on images without a conflict
    n: int  # number of images
    value_nats: float  # raw; negative where the decoders are misled
    standard_error: float  # of the value
    interval_low: float  # lower end of the 95 % interval
    interval_high: float  # upper end, likewise
    ceiling_nats: float  # entropy of these classes
    null_mean_nats: float | None = None  # mean of the values for permuted classes
    null_quantile95_nats: float | None = None  # 95 % quantile of the values for permuted classes
    permutations: int  # number of permuted sets of classes
    undersampled: bool | None = None  # whether decoders of half as many images find clearly less
    group_means: Sequence[float | None]  # influence terms averaged over the fixed groups of conflicts


CUE_ANSWER_SCHEMA = table_schema(CueAnswer)  # columns of the table, with their types
CUE_LAYER_SCHEMA = table_schema(CueLayer)  # columns of the table, with their types
