"""Estimators of information: tensors in, nats out."""

from infoplane.estimators.binning import BinningInformation, binning_information
from infoplane.estimators.influence import group_means, standard_error
from infoplane.estimators.kde import ClassEntropy, KDEInformation, kde_information
from infoplane.estimators.nulls import Null, label_permutations, null_like, permutation_null, saturated

__all__ = [
    "BinningInformation",
    "ClassEntropy",
    "KDEInformation",
    "Null",
    "binning_information",
    "group_means",
    "kde_information",
    "label_permutations",
    "null_like",
    "permutation_null",
    "saturated",
    "standard_error",
]
