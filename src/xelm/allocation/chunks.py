"""Work over documents in fixed chunks, so that a result never depends on the number of threads.

A chunk has the same rows whatever the number of threads, BLAS runs on one thread inside it, and
results come back in chunk order. Sums over chunks are then the same to the last bit with one
thread or sixteen.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

ROWS = 8192
"""Documents per chunk: 100 float32 dimensions of it are 3.3 MB, near the size of a second-level
cache, and a sum of so many float32 terms still has five digits more than we need."""

Result = TypeVar("Result")


def slices(n: int, rows: int = ROWS) -> list[slice]:
    """The chunks of n documents, in order; the last one may be short."""
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]


def run(function: Callable[[slice], Result], n: int, threads: int = 1) -> list[Result]:
    """function(chunk) for every chunk of n documents, results in chunk order."""
    pieces = slices(n)
    if threads == 1 or len(pieces) == 1:
        return [function(piece) for piece in pieces]
    with ThreadPoolExecutor(min(threads, len(pieces))) as pool:
        return list(pool.map(function, pieces))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS on one thread: how it splits a product among threads changes the last digits."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1, user_api="blas"):
        yield
