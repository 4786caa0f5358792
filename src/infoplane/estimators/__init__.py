"""Estimators of information: tensors in, nats out."""

from infoplane.estimators.binning import BinningInformation, binning_information
from infoplane.estimators.decoding import DecodedInformation, Decoder, decoded_information, fit_decoder
from infoplane.estimators.influence import group_means, standard_error
from infoplane.estimators.kde import ClassEntropy, KDEInformation, kde_information
from infoplane.estimators.noisy import NoisyInformation, noisy_information
from infoplane.estimators.nulls import Null, label_permutations, null_like, permutation_null, saturated

__all__ = [
    "BinningInformation",
    "ClassEntropy",
    "DecodedInformation",
    "Decoder",
    "KDEInformation",
    "NoisyInformation",
    "Null",
    "binning_information",
    "decoded_information",
    "fit_decoder",
    "group_means",
    "kde_information",
    "label_permutations",
    "noisy_information",
    "null_like",
    "permutation_null",
    "saturated",
    "standard_error",
]
