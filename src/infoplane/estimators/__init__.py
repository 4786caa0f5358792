"""Estimators of mutual information, in nats, from tensors of activations and labels."""

from infoplane.estimators.added_information import AddedInformation, added_information
from infoplane.estimators.binning import BinningInformation, binning_information
from infoplane.estimators.bins import EqualBins, LayerQuantiles, UnitQuantiles
from infoplane.estimators.cca import CCAInformation, cca_information
from infoplane.estimators.copula import CopulaInformation, copula_information
from infoplane.estimators.decoders import DecodedInformation, Decoder, HeldOutInformation
from infoplane.estimators.decoding import decoded_information, fit_decoder
from infoplane.estimators.differentiable_kde import differentiable_input_bound
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.exact import ExactInformation, exact_information
from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.geometry import (
    CentredKernelAlignment,
    activation_norm,
    class_clustering_index,
    linear_cka,
    mean_unit_variance,
)
from infoplane.estimators.hsic import gaussian_kernel, kernel_smoother, linear_kernel, normalised_hsic
from infoplane.estimators.influence import group_means, standard_error
from infoplane.estimators.kde import ClassEntropy, KDEInformation, kde_information, kde_sweep
from infoplane.estimators.learning_curve import LearningCurve, enough_examples, learning_curve
from infoplane.estimators.neighbours import ksg_information, mixed_ksg_information
from infoplane.estimators.neural import NeuralEstimate, NeuralInformation, neural_information
from infoplane.estimators.noisy import NoisyInformation, noisy_information, noisy_sweep
from infoplane.estimators.nulls import Null, label_permutations, null_from, null_like, permutation_null
from infoplane.estimators.own_noise import OwnNoiseInformation, own_noise_information, variational_rate
from infoplane.estimators.relative_noise import relative_noise_variance, resolved_noise_share
from infoplane.estimators.renyi import MatrixEntropy, matrix_entropy_information
from infoplane.estimators.ross import ross_information
from infoplane.estimators.spectrum import CovarianceSpectrum, covariance_spectrum
from infoplane.records.standing import saturated

__all__ = [
    "AddedInformation",
    "BinningInformation",
    "CCAInformation",
    "CentredKernelAlignment",
    "ClassEntropy",
    "CopulaInformation",
    "CovarianceSpectrum",
    "DecodedInformation",
    "Decoder",
    "EqualBins",
    "Estimate",
    "ExactInformation",
    "FeaturePieces",
    "HeldOutInformation",
    "KDEInformation",
    "LayerQuantiles",
    "LearningCurve",
    "MatrixEntropy",
    "NeuralEstimate",
    "NeuralInformation",
    "NoisyInformation",
    "Null",
    "OwnNoiseInformation",
    "UnitQuantiles",
    "activation_norm",
    "added_information",
    "binning_information",
    "cca_information",
    "class_clustering_index",
    "copula_information",
    "covariance_spectrum",
    "decoded_information",
    "differentiable_input_bound",
    "enough_examples",
    "exact_information",
    "fit_decoder",
    "gaussian_kernel",
    "group_means",
    "kde_information",
    "kde_sweep",
    "kernel_smoother",
    "ksg_information",
    "label_permutations",
    "learning_curve",
    "linear_cka",
    "linear_kernel",
    "matrix_entropy_information",
    "mean_unit_variance",
    "mixed_ksg_information",
    "neural_information",
    "noisy_information",
    "noisy_sweep",
    "normalised_hsic",
    "null_from",
    "null_like",
    "own_noise_information",
    "permutation_null",
    "relative_noise_variance",
    "resolved_noise_share",
    "ross_information",
    "saturated",
    "standard_error",
    "variational_rate",
]
