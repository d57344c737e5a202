"""A multiset's hash: order does not matter, repeats do, parts add up."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xelm.corpus import windows_hash

_WINDOWS = st.lists(st.lists(st.integers(0, 70_000), min_size=3, max_size=3), max_size=12)


def test_identity_is_blake2b_of_little_endian_int64() -> None:
    data = b"".join(value.to_bytes(8, "little") for value in (1, 65_000, 3))
    expected = int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "little")
    for dtype in (np.int64, np.uint16, np.uint32, ">i4"):
        assert windows_hash.identity(np.array([1, 65_000, 3]).astype(dtype)) == expected


@given(_WINDOWS, st.randoms())
def test_order_is_nothing_and_parts_add_up(windows: list[list[int]], random: object) -> None:
    arrays = [np.array(window) for window in windows]
    shuffled = list(arrays)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    total = windows_hash.to_hex(windows_hash.add(0, arrays))
    assert total == windows_hash.to_hex(windows_hash.add(0, shuffled))
    half = len(arrays) // 2
    parts = [windows_hash.to_hex(windows_hash.add(0, p)) for p in (arrays[:half], arrays[half:])]
    assert windows_hash.union(parts) == total
    assert len(total) == 32


def test_repeats_count() -> None:
    one = np.arange(4)
    assert windows_hash.add(0, [one]) != windows_hash.add(0, [one, one])
