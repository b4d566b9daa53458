"""Operations on (N, H, Q) quantiles give the same however their memory is laid out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.forecasting.decide.quantiles import ascending, highest_so_far, windows_first

VALUES = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.floats(-99, 99, width=32)
)


@given(VALUES)
def test_rows_are_sorted_as_numpy_sorts_them(values):
    np.testing.assert_array_equal(ascending(windows_first(values).copy(order="K")), np.sort(windows_first(values)))
    np.testing.assert_array_equal(ascending(values.copy()), np.sort(values))


@given(VALUES)
def test_the_highest_so_far_is_an_accumulated_maximum(values):
    for laid in (values, windows_first(values)):
        np.testing.assert_array_equal(highest_so_far(laid), np.maximum.accumulate(laid, axis=1))


def test_a_nan_makes_its_whole_row_unknown_and_no_other():
    found = ascending(np.array([[[3, np.nan, 1, 2, 0], [5, 4, 3, 2, 1]]], np.float32))
    assert np.isnan(found[0, 0]).all()
    assert found[0, 1].tolist() == [1, 2, 3, 4, 5]
