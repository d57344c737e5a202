"""BalancedKMeans: k-means whose clusters all get their capacity, with scikit-learn's contract.

    from xelm.allocation import BalancedKMeans
    model = BalancedKMeans(8, random_state=0).fit(X)
    model.labels_            # every cluster has n / 8 documents, to within one
    model.predict(more)      # one pass by prices: nearly balanced, each document on its own
    model.assign(more)       # balanced exactly

Each Lloyd step solves the balanced assignment to its optimum (prices.py, exchange.py), so inertia
falls at every step as in plain k-means. Results depend on random_state alone, not on threads.
"""

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from xelm.allocation import chunks, lloyd, starts
from xelm.allocation.assignment import Assignment, assign
from xelm.allocation.prices import Float64, Floats, Labels, nearest


class BalancedKMeans(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """K-means with a capacity for every cluster.

    Parameters
    ----------
    n_clusters: number of clusters, at most the number of documents.
    capacities: shares of the documents (or of the weight) for each cluster, in any unit; None:
        equal. Centres given by `init` keep their order, so the j-th share is the j-th centre's.
    init: "k-means++", or centres [n_clusters, n_features] to start from.
    n_init: k-means++ starts that compete, on a sample of 20,000 documents (50,000 with search).
    search: lead every start out of its local optimum by splitting pairs of clusters anew: slower,
        lower inertia, and the result hardly depends on the start.
    max_iter: Lloyd steps at most.
    tol: stop when the centres' squared shift falls below tol times the mean variance of features.
    exact: sizes exact at every step; False: by prices alone, a few documents off, a little faster.
    random_state: seed of starts and samples.
    n_jobs: threads (None: 1, -1: all); the result is the same to the last bit for any number.

    Attributes
    ----------
    cluster_centers_ [n_clusters, n_features], labels_ int32 [n], sizes_ [n_clusters] (documents, or
    weight when sample_weight was given), inertia_ (weighted sum of squared distances), prices_
    [n_clusters] (what `predict` adds to squared distances), n_iter_, n_features_in_.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "capacities": ["array-like", None],
        "init": [StrOptions({"k-means++"}), "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "search": ["boolean"],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "exact": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        capacities: Sequence[float] | Float64 | None = None,
        init: Literal["k-means++"] | npt.ArrayLike = "k-means++",
        n_init: int = 5,
        search: bool = False,
        max_iter: int = 100,
        tol: float = 1e-4,
        exact: bool = True,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ):
        self.n_clusters = n_clusters
        self.capacities = capacities
        self.init = init
        self.n_init = n_init
        self.search = search
        self.max_iter = max_iter
        self.tol = tol
        self.exact = exact
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None
    ) -> "BalancedKMeans":
        """Cluster X [n, d]; with sample_weight [n] (tokens, say) capacities count weight."""
        data = self._data(X, sample_weight, reset=True)
        generator = check_random_state(self.random_state)
        with chunks.one_blas_thread():
            clusters = lloyd.run(
                data.X,
                data.weights,
                data.capacities,
                self._start(data, generator),
                steps=self.max_iter,
                tolerance=self.tol,
                exact=self.exact,
                threads=self._threads(),
            )
        self._keep(clusters, data.weights)
        return self

    def predict(self, X: npt.ArrayLike) -> Labels:
        """argmin of squared distance plus price for every document of X [n, d], int32 [n].

        Each document on its own: batches, streams and machines agree, and documents like those of
        `fit` fill the capacities nearly. On the documents of an unweighted, exact `fit` this is
        labels_.
        """
        check_is_fitted(self)
        rows: Floats = validate_data(
            self, X, reset=False, dtype=[np.float64, np.float32], order="C"
        )
        with chunks.one_blas_thread():
            return nearest(self._costs(rows), self.prices_, self._threads())

    def assign(
        self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, exact: bool = True
    ) -> Labels:
        """Balanced labels int32 [n] of X [n, d] for the fitted centres, capacities in proportion;
        exact=False stops at prices learnt anew for X."""
        check_is_fitted(self)
        data = self._data(X, sample_weight, reset=False)
        with chunks.one_blas_thread():
            costs_kn = self._costs(data.X)
            return self._assign(costs_kn, data, exact).labels

    def _assign(self, costs_kn: Floats, data: starts.Data, exact: bool) -> Assignment:
        return assign(costs_kn, data.weights, data.capacities, self.prices_, exact, self._threads())

    def _costs(self, X: Floats) -> Floats:
        middle = self.cluster_centers_.astype(np.float64).mean(axis=0)
        return lloyd.costs(X, self.cluster_centers_, middle, self._threads())

    def _keep(self, clusters: lloyd.Clusters, weights: Float64 | None) -> None:
        self.cluster_centers_ = clusters.centers
        self.labels_ = clusters.labels
        self.prices_ = clusters.prices
        self.inertia_ = clusters.inertia
        self.n_iter_ = clusters.steps
        self.sizes_ = np.bincount(clusters.labels, weights=weights, minlength=self.n_clusters)

    def _data(
        self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None, reset: bool
    ) -> starts.Data:
        rows: Floats = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            order="C",
            ensure_min_samples=self.n_clusters,
        )
        return starts.Data(rows, self._weights(rows, sample_weight), self._shares())

    def _weights(self, X: Floats, sample_weight: npt.ArrayLike | None) -> Float64 | None:
        """None when all documents weigh the same: then sizes can be exact."""
        if sample_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if weights.sum() == 0:
            raise ValueError("sample_weight is zero for every document; give some a weight")
        return None if np.ptp(weights) == 0 else np.asarray(weights)

    def _shares(self) -> Float64:
        if self.capacities is None:
            return np.full(self.n_clusters, 1 / self.n_clusters)
        shares = np.asarray(self.capacities, dtype=np.float64)
        if shares.shape != (self.n_clusters,) or not (np.isfinite(shares) & (shares > 0)).all():
            raise ValueError(
                f"capacities must be {self.n_clusters} positive numbers, one for each cluster; "
                f"got {self.capacities!r}"
            )
        return np.asarray(shares / shares.sum())

    def _start(self, data: starts.Data, generator: np.random.RandomState) -> Floats:
        given = None if isinstance(self.init, str) else self._given_centers(data.X)
        return starts.best(data, given, self.n_init, self.search, generator, self._threads())

    def _given_centers(self, X: Floats) -> Floats:
        centers = np.array(self.init, dtype=X.dtype)
        if centers.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(
                f"init has shape {centers.shape}; {self.n_clusters} centres of "
                f"{X.shape[1]} features are needed"
            )
        return centers

    def _threads(self) -> int:
        if self.n_jobs is None:
            return 1
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return int(self.n_jobs) if self.n_jobs > 0 else max(1, (cores or 1) + 1 + self.n_jobs)
