"""An independent implementation of the pair bounds: dense, in float64, from differences, with scipy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from torch import Tensor

DenseKDE = Callable[[Tensor, Tensor, float], dict[str, float]]


def _dense_kde(activations: Tensor, labels: Tensor, noise_variance: float) -> dict[str, float]:
    points, classes = activations.double().numpy(), labels.numpy()
    squared = cdist(points, points, "sqeuclidean")

    def information(members: np.ndarray, kind: int) -> float:
        exponents = -squared[np.ix_(members, members)] / (2 * kind * noise_variance)
        return float(math.log(members.sum()) - logsumexp(exponents, axis=1).mean())

    values = {
        "input_lower": information(np.ones(len(points), dtype=bool), 4),
        "input_upper": information(np.ones(len(points), dtype=bool), 1),
    }
    within = {"lower": 0.0, "upper": 0.0}
    for label in np.unique(classes):
        for name, kind in (("lower", 4), ("upper", 1)):
            values[f"class_{name}_{label}"] = information(classes == label, kind)
            within[name] += (classes == label).mean() * values[f"class_{name}_{label}"]
    return values | {
        "label_lower": values["input_lower"] - within["lower"],
        "label_upper": values["input_upper"] - within["upper"],
        "label_lower_bound": values["input_lower"] - within["upper"],
        "label_upper_bound": values["input_upper"] - within["lower"],
    }


@pytest.fixture(scope="session")
def dense_kde() -> DenseKDE:
    """From activations, labels and noise variance to values by name; of class c as `class_lower_c`, `class_upper_c`."""
    return _dense_kde


@pytest.fixture(scope="session")
def kde_values() -> Callable[..., dict[str, float]]:
    """The same dictionary from `kde_information`, float by float."""
    from infoplane.estimators import kde_information

    def values(activations: Tensor, labels: Tensor, noise_variance: float) -> dict[str, float]:
        result = kde_information(activations, labels, noise_variance=noise_variance)
        names = ("input_lower", "input_upper", "label_lower", "label_upper", "label_lower_bound", "label_upper_bound")
        return {name: getattr(result, name).value for name in names} | {
            f"class_{kind}_{label}": getattr(entropy, kind).value
            for label, entropy in result.class_entropies.items()
            for kind in ("lower", "upper")
        }

    return values
