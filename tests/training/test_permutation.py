"""The stateless permutation: a bijection, the same in both forms, the same for ever."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xelm.training.permutation import permute, permute_one


@given(size=st.integers(1, 3000), key=st.text(max_size=8))
def test_it_is_a_bijection(size: int, key: str) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


@given(size=st.integers(1, 10**12), part=st.floats(0, 1), key=st.text(max_size=8))
def test_one_by_one_equals_all_at_once(size: int, part: float, key: str) -> None:
    position = min(size - 1, int(part * size))
    assert permute_one(position, size, key) == permute(np.array([position]), size, key)[0]


def test_it_never_changes() -> None:
    assert permute(np.arange(10), 10, "key").tolist() == [2, 5, 4, 8, 1, 7, 6, 9, 0, 3]


def test_other_keys_give_other_orders_that_look_shuffled() -> None:
    first, second = (permute(np.arange(10_000), 10_000, key) for key in ("a", "b"))
    assert (first == second).mean() < 0.01
    for images in (first, second):
        assert abs(np.corrcoef(np.arange(10_000), images)[0, 1]) < 0.05
        assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.05
