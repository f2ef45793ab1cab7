"""exp of printed kernels against a wider float."""

import numpy as np
import pytest
from numba import njit

from snnsim.engine.exponential import EXPONENTIAL
from snnsim.kernel import load_printed

ENDS = {"float32": (-110.0, 95.0), "float64": (-750.0, 715.0)}


def exponential(x):
    exp = load_printed(EXPONENTIAL, x.dtype.name).exp

    @njit(error_model="numpy")
    def each(x, y):
        for i in range(x.size):
            y[i] = exp(x[i])

    y = np.empty_like(x)
    each(x, y)
    return y


@pytest.mark.parametrize("dtype", ENDS)
@pytest.mark.parametrize("ends", ["all", (-1.0, 1.0), (-1e-6, 1e-6)])
def test_within_two_units_in_the_last_place(dtype, ends):
    x = np.random.default_rng(1).uniform(*(ENDS[dtype] if ends == "all" else ends), 300_000).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        wanted = np.exp(x.astype(np.longdouble))
        nearest = wanted.astype(dtype)
    found = exponential(x)
    assert np.array_equal(np.isinf(found), np.isinf(nearest))
    finite = np.isfinite(nearest)
    unit = np.spacing(np.maximum(nearest[finite], np.finfo(dtype).tiny))
    assert np.abs((found[finite] - wanted[finite]) / unit).max() < 2.0


@pytest.mark.parametrize("dtype", ENDS)
def test_ends(dtype):
    found = exponential(np.array([0.0, -0.0, np.inf, -np.inf, 1e30, -1e30, np.nan], dtype))
    np.testing.assert_array_equal(found, np.array([1.0, 1.0, np.inf, 0.0, np.inf, 0.0, np.nan], dtype))
