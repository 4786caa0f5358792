import pytest
import torch
from torch import Tensor

from infoplane.estimators import kde_information
from infoplane.estimators.precision import exact_products


@pytest.fixture
def _lowered():
    """The caller's own choice of coarse products, taken back after the test."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def backend_precisions() -> list[str]:
    """What each backend is told; few machines have the units on which a coarse choice would show in a product."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    return [getattr(backend, "fp32_precision", torch.get_float32_matmul_precision()) for backend in backends]


def deviation(left: Tensor, right: Tensor) -> float:
    """Largest deviation of a product from float64: 2^-9 of the norms in bfloat16, 2^-24 in float32."""
    exact = left.double() @ right.double()
    return ((left @ right) - exact).abs().max().item() / exact.abs().max().item()


@pytest.mark.usefixtures("_lowered")
def test_products_inside_the_block_are_exact_and_the_choice_of_the_caller_returns(generator):
    left, right = torch.randn(300, 700, generator=generator), torch.randn(700, 300, generator=generator)
    outside, chosen = left @ right, backend_precisions()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with exact_products(torch.device("cpu")):
            assert deviation(left, right) < 1e-5
            assert set(backend_precisions()) <= {"ieee", "highest"}
        assert torch.is_autocast_enabled("cpu")
    assert torch.get_float32_matmul_precision() == "medium"
    assert backend_precisions() == chosen
    assert torch.equal(left @ right, outside)


@pytest.mark.usefixtures("_lowered")
def test_the_choice_returns_after_an_error():
    with pytest.raises(RuntimeError, match="inside"), exact_products(torch.device("cpu")):
        raise RuntimeError("inside")
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.usefixtures("_lowered")
def test_coarse_products_around_the_estimator_change_no_value(generator):
    points, labels = 4 + torch.randn(300, 700, generator=generator), torch.arange(300) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = kde_information(points, labels, noise_variance=100.0)
    torch.set_float32_matmul_precision("highest")
    plain = kde_information(points, labels, noise_variance=100.0)
    for one, other in zip(plain.estimates(), coarse.estimates(), strict=True):
        assert torch.equal(one.influences, other.influences)
