"""Data for the tests of allocation: blobs on a sphere, like embedded documents."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

Blobs = Callable[..., npt.NDArray[np.float32]]


def draw_blobs(
    n: int, dims: int = 20, blobs: int = 12, noise: float = 0.6, seed: int = 0
) -> npt.NDArray[np.float32]:
    """n unit vectors [n, dims] around blobs of Zipf-weighted sizes."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(blobs, dims))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    share = 1 / np.arange(1, blobs + 1)
    X = centers[generator.choice(blobs, n, p=share / share.sum())]
    X = X + noise / np.sqrt(dims) * generator.normal(size=(n, dims))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def blobs() -> Blobs:
    return draw_blobs
