import pytest
import scipy.linalg  # the library that it loads is to be limited
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from infoplane.estimators import decoded_information, decoding
from infoplane.estimators.threads import one_thread


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2, user_api="blas"):
        yield
    torch.set_num_threads(before)


def blas_threads():
    scipy.linalg.norm([1.0])
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.usefixtures("_two_threads")
def test_one_thread_inside_and_the_callers_number_after_even_after_an_error():
    with one_thread():
        assert torch.get_num_threads() == 1
        assert blas_threads() == {1}
    assert torch.get_num_threads() == 2
    assert blas_threads() == {2}
    with pytest.raises(RuntimeError, match="inside"), one_thread():
        raise RuntimeError("inside")
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("_two_threads")
def test_decoders_are_fitted_on_one_thread(monkeypatch, generator):
    seen, fit = [], decoding._fit
    monkeypatch.setattr(decoding, "_fit", lambda *args: (seen.append(torch.get_num_threads()), fit(*args))[1])
    decoded_information(torch.randn(40, 3, generator=generator), torch.arange(40) % 2, generator=generator)
    assert seen == [1] * 7  # five folds, and two halves
    assert torch.get_num_threads() == 2
