"""Matrix-based Renyi entropy of kernel matrices. It is not an estimate of Shannon information."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_labels, check_positive
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.features import feature_pieces
from infoplane.estimators.precision import exact_products
from infoplane.estimators.propagation import centred_gram
from infoplane.estimators.row_products import BLOCK
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ESTIMATE, MIXTURE

QUANTITY = "S(X)+S(Y)-S(X,Y)"  # of matrix entropies; not comparable with Shannon information
Width = float | Literal["median"]


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class MatrixEntropy(Estimate):
    """Matrix-based entropies of two variables, in nats, and the kernel widths that they depend on.

    `value` is entropy_x + entropy_y - joint_entropy, and its ceiling is the smaller of the two entropies. It is not
    Shannon mutual information, and not 0 for independent variables: compare it with its value for permuted samples.
    Wide kernels bring every entropy towards 0, narrow ones towards log N, where any labels reach the ceiling. The
    width is NaN for labels, whose kernel is 1 within a class and 0 between classes. The rule "given" means a width
    that the caller chose.
    """

    entropy_x: float
    entropy_y: float
    joint_entropy: float
    order: float
    x_width: float
    y_width: float
    x_rule: str  # "given" or "median"
    y_rule: str  # "given", "median" or "labels"


def matrix_entropy_information(
    x: Tensor, y: Tensor, *, order: float = 1.01, x_width: Width = "median", y_width: Width = "median"
) -> MatrixEntropy:
    """Compare two layers, or a layer with labels, by the matrix-based entropies of their Gaussian kernels.

    With A_ij = exp(-|x_i - x_j|^2 / (2 width^2)) / N, S(A) = ln(tr A^order) / (1 - order), from eigenvalues in
    float64. For order 1 it is the limit, the Shannon entropy of the eigenvalues. The joint entropy is that of
    A o B / tr(A o B), with o the elementwise product. The value is S(A) + S(B) - S(A, B).

    Args:
        x: `(samples, features)`, finite, float16 to float64, on CPU or CUDA. About five `(samples, samples)` float64
            matrices are in memory, and time grows with the cube of the samples: minutes beyond 5,000.
        y: another layer's outputs for the same samples, or `(samples,)` integer labels.
        order: positive; the literature on information planes uses 1.01.
        x_width: positive, in activation units; or "median", the median of the distances that are not zero.
        y_width: as `x_width`; leave it out for labels.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Giraldo, Rao & Principe (2015), IEEE Trans. Inf. Theory 61(1), 535, arXiv:1211.2459 (entropy, joint
    entropy); order and use in information planes: Wickstrom et al. (2023), Entropy 25(6), 899, Section 3.1, which
    aligns widths with the labels instead; median width: Gretton et al. (2012), JMLR 13, 723, Section 8.
    """
    check_activations(x, name="x")
    labelled = not y.is_floating_point()
    if labelled:
        check_labels(y, len(x), name="y")
        if y_width != "median":
            raise ValueError(f"y_width must be left out for labels, whose kernel has none, got {y_width}")
    else:
        check_activations(y, name="y")
        if len(y) != len(x):
            raise ValueError(f"y must have the {len(x)} samples of x, got {len(y)}")
    check_positive(order, name="order")
    for name, width in (("x_width", x_width), ("y_width", y_width)):
        if width != "median":
            check_positive(width, name=name)

    with exact_products(x.device):
        kernel_x, width_of_x = _gaussian_kernel(x, x_width)
        if labelled:
            return _with_labels(kernel_x, y.to(kernel_x.device), order, width_of_x, _rule(x_width))
        kernel_y, width_of_y = _gaussian_kernel(y, y_width)
        entropy_x, entropy_y = _entropy(_spectrum(kernel_x), order), _entropy(_spectrum(kernel_y), order)
        joint = _entropy(_spectrum(kernel_x.mul_(kernel_y.to(kernel_x.device))), order)
    return _result(entropy_x, entropy_y, joint, order, (width_of_x, width_of_y), (_rule(x_width), _rule(y_width)))


def _with_labels(kernel: Tensor, labels: Tensor, order: float, width: float, rule: str) -> MatrixEntropy:
    """Compare a layer with labels, whose kernel is block diagonal.

    Its eigenvalues are the class frequencies, and the joint spectrum is the union of one spectrum per class.
    """
    members = [(labels == label).nonzero().squeeze(1) for label in torch.unique(labels)]
    frequencies = torch.tensor([len(part) for part in members], dtype=torch.double) / len(labels)
    joint = torch.cat([_spectrum(kernel[part][:, part]) * len(part) / len(labels) for part in members])
    return _result(
        _entropy(_spectrum(kernel), order),
        _entropy(frequencies, order),
        _entropy(joint, order),
        order,
        (width, math.nan),
        (rule, "labels"),
    )


def _result(
    entropy_x: float, entropy_y: float, joint: float, order: float, widths: tuple[float, float], rules: tuple[str, str]
) -> MatrixEntropy:
    return MatrixEntropy(
        quantity=QUANTITY,
        kind=ESTIMATE,
        distribution=MIXTURE,
        estimator="matrix-entropy",
        value=entropy_x + entropy_y - joint,
        entropy_x=entropy_x,
        entropy_y=entropy_y,
        joint_entropy=joint,
        ceiling=min(entropy_x, entropy_y),
        order=order,
        x_width=widths[0],
        y_width=widths[1],
        x_rule=rules[0],
        y_rule=rules[1],
    )


def _rule(width: Width) -> str:
    return "median" if width == "median" else "given"


def _gaussian_kernel(activations: Tensor, width: Width) -> tuple[Tensor, float]:
    """Return the kernel of all pairs, `(samples, samples)` float64 with ones on its diagonal, and its width."""
    squared = centred_gram(feature_pieces(activations))
    norms = squared.diagonal().clone()
    for start in range(0, len(squared), BLOCK):  # in place: each of these matrices is large
        rows = slice(start, start + BLOCK)
        squared[rows].mul_(-2).add_(norms[rows, None]).add_(norms)
    # The rounding error in the distance of equal rows must not count as a distance: it could become the median.
    squared[squared <= 2.0**-44 * norms.max()] = 0
    if width == "median":
        width = _median_distance(squared)
    return squared.div_(-2 * width**2).exp_(), width


def _median_distance(squared: Tensor) -> float:
    """Return the median of the distances that are not zero; 1, which has no effect, if all samples are equal."""
    apart = squared[squared > 0]
    return math.sqrt(apart.median().item()) if len(apart) else 1.0


def _spectrum(kernel: Tensor) -> Tensor:
    """Return the eigenvalues of a kernel with ones on its diagonal, divided by its trace so that they sum to 1."""
    values: Tensor = torch.linalg.eigvalsh(kernel / len(kernel)).cpu()
    # Rounding errors of eigenvalues that are 0, some of them negative, would add up in orders below 1.
    return values.where(values > len(kernel) * 2.0**-52 * values.max(), 0.0)


def _entropy(spectrum: Tensor, order: float) -> float:
    """Return the Renyi entropy of a spectrum, in nats."""
    value = torch.special.entr(spectrum).sum() if order == 1 else spectrum.pow(order).sum().log() / (1 - order)
    return float(value)
