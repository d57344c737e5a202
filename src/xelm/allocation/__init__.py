"""Who gets which document: TF-IDF embedding, balanced k-means, typology.

`BalancedKMeans` stands on its own, with scikit-learn's contract; it is imported when asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xelm.allocation.balanced_kmeans import BalancedKMeans

__all__ = ["BalancedKMeans"]


def __getattr__(name: str) -> Any:
    if name == "BalancedKMeans":
        from xelm.allocation.balanced_kmeans import BalancedKMeans

        return BalancedKMeans
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
