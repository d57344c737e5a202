"""The identity of windows and of multisets of windows: who consumed exactly what?

A window's identity is the BLAKE2b-128 of its ids as little-endian int64; a multiset's is the sum
of its members' modulo 2**128, so it counts repeats, does not depend on order, and parts add up.
"""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_MODULUS = 1 << 128


def identity(window: NDArray[np.integer]) -> int:
    """128-bit identity of one window of token ids."""
    data = np.ascontiguousarray(window, dtype="<i8").tobytes()
    return int.from_bytes(blake2b(data, digest_size=16).digest(), "little")


def add(total: int, windows: Iterable[NDArray[np.integer]]) -> int:
    """The multiset `total` (0 = empty) with `windows` added."""
    return (total + sum(identity(window) for window in windows)) % _MODULUS


def union(hashes: Iterable[str]) -> str:
    """The hash of several multisets taken together (repeats kept)."""
    return to_hex(sum(int(each, 16) for each in hashes))


def to_hex(total: int) -> str:
    """32 hex digits, as ledgers keep it."""
    return f"{total % _MODULUS:032x}"
