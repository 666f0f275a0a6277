"""Arrays are cut and chosen as plain numpy and pandas do it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volcast.arrays import columns_of, joined, parts_of, running_sums, runs_within


@given(count=st.integers(0, 3_000), width=st.integers(1, 10_000_000))
def test_parts_are_all_rows_once_and_no_table_of_one_is_larger_than_32_megabytes(count: int, width: int) -> None:
    parts = list(parts_of(count, width))
    rows = [row for part in parts for row in range(part.start, part.stop)]
    assert rows == list(range(count))
    assert all(8 * width * (part.stop - part.start) <= 2**25 or part.stop - part.start == 1 for part in parts)


@given(sizes=st.lists(st.integers(0, 50)), most=st.integers(0, 100))
def test_runs_are_as_long_as_they_may_be(sizes: list[int], most: int) -> None:
    runs = list(runs_within(sizes, most))
    assert [place for run in runs for place in range(len(sizes))[run]] == list(range(len(sizes)))
    assert all(sum(sizes[run]) <= most or run.stop - run.start == 1 for run in runs)
    assert all(sum(sizes[run]) + sizes[run.stop] > most for run in runs[:-1])


def test_arrays_are_joined_in_their_order_and_one_is_not_copied() -> None:
    one, other = np.arange(3), np.arange(5)
    assert joined([one]) is one
    np.testing.assert_array_equal(joined([one, other]), [0, 1, 2, 0, 1, 2, 3, 4])


def test_columns_are_those_that_pandas_chooses_and_lie_in_memory_as_its() -> None:
    frame = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd"))
    chosen = columns_of(frame, ["d", "a", "b"])
    expected = frame[["d", "a", "b"]].to_numpy(dtype=float)
    np.testing.assert_array_equal(chosen, expected)
    assert chosen.strides == expected.strides
    with pytest.raises(KeyError, match="e"):
        columns_of(frame, ["a", "e"])


@given(
    length=st.integers(1, 300),
    columns=st.integers(0, 5),
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
)
def test_running_sums_add_row_after_row_to_the_last_bit(
    length: int, columns: int, data: st.DataObject, seed: int
) -> None:
    counts = sorted(data.draw(st.lists(st.integers(1, length), min_size=1)))
    rows = np.random.default_rng(seed).standard_cauchy((length, columns))
    total, sums = np.zeros(columns), []
    for count, row in enumerate(rows, start=1):
        total = total + row
        sums += [total] * counts.count(count)
    np.testing.assert_array_equal(running_sums(rows.copy(), np.array(counts)), np.array(sums))
