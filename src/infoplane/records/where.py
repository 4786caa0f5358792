"""Tables of `infoplane where`: pointwise information about the label of each example along the layers."""

from dataclasses import dataclass

from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import table_schema


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class PointwiseRecord:
    """Pointwise information about the label of one example in one layer of one network."""

    seed: int  # of the training
    training: str  # "normal" or the name of another training method
    epoch: int  # completed epochs of the network
    examples: str  # "original", "adversarial" or an attack's name
    example: int  # index among the examples that the run measured
    copy_of: int  # index of the first example with the same image; its own where it is no copy
    label: int  # true class
    predicted: int  # class that the network predicts for this version of the example
    layer_index: int  # place of the layer, from 0 at the input
    layer: str  # name of the layer
    information_nats: float  # ln q(y|t) - ln p(y), by the decoder that was fitted without this example
    encoded: bool  # whether that is above 0, and the decoder is not the class prior alone


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class PointwiseLayerRecord:
    """What the same decoders give on average, for the labels and for permuted labels, in one layer of one network."""

    seed: int  # of the training
    training: str  # "normal" or the name of another training method
    epoch: int  # completed epochs of the network
    examples: str  # "original", "adversarial" or an attack's name
    attack: str | None = None  # name of the attack; null for originals
    layer_index: int  # place of the layer, from 0 at the input
    layer: str  # name of the layer
    n: int  # number of examples
    information_nats: float  # mean over examples: the decoded I(T;Y)
    undersampled: bool | None = None  # whether decoders of half as many examples find clearly less
    permutations: int  # number of permutations of the labels
    permuted_nats: float | None = None  # mean pointwise information about permuted labels; null without permutations
    permuted_encoded_share: float | None = None  # share of examples whose permuted label counts as encoded
    permuted_lost_share: float | None = None  # share of examples that lose their permuted label at this layer


POINTWISE_SCHEMA = table_schema(PointwiseRecord)  # columns of the table, with their types
POINTWISE_LAYER_SCHEMA = table_schema(PointwiseLayerRecord)  # columns of the table, with their types
