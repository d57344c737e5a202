"""BalancedKMeans: scikit-learn's contract, exact balance, optimality, determinism, odd inputs."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from xelm.allocation import BalancedKMeans, chunks

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": (
        "weights are sizes here: one document of weight 3 cannot be split among clusters, three "
        "documents can"
    )
}


@parametrize_with_checks([BalancedKMeans(n_init=2)], expected_failed_checks=lambda _: EXPECTED)
def test_the_estimator_contract(estimator, check):
    check(estimator)


def test_clone_keeps_parameters_and_drops_what_was_fitted(blobs):
    model = BalancedKMeans(3, capacities=[1, 2, 3], random_state=5).fit(blobs(60))
    twin = clone(model)
    assert twin.get_params() == model.get_params() and not hasattr(twin, "labels_")


@pytest.mark.parametrize("n", [8, 9, 1000, 1001, 20_001])
def test_sizes_differ_by_at_most_one(n, blobs):
    model = BalancedKMeans(8, n_init=2, random_state=0).fit(blobs(n))
    assert np.ptp(np.bincount(model.labels_, minlength=8)) <= 1
    assert model.sizes_.sum() == n


def test_capacities_in_proportion(blobs):
    model = BalancedKMeans(3, capacities=[2, 1, 1], random_state=0, n_init=1).fit(blobs(400))
    assert model.sizes_.tolist() == [200, 100, 100]
    labels = model.assign(blobs(800, seed=1))
    assert np.bincount(labels).tolist() == [400, 200, 200]


def test_sizes_in_tokens_differ_by_at_most_the_largest_document(blobs):
    weights = np.random.default_rng(0).lognormal(5, 1.2, 5000)
    model = BalancedKMeans(6, random_state=0).fit(blobs(5000), sample_weight=weights)
    held = np.bincount(model.labels_, weights=weights)
    assert np.allclose(held, model.sizes_) and np.ptp(held) <= weights.max()


def test_equal_weights_mean_documents(blobs):
    X = blobs(301)
    plain = BalancedKMeans(4, random_state=0).fit(X)
    weighted = BalancedKMeans(4, random_state=0).fit(X, sample_weight=np.full(301, 7.0))
    assert np.array_equal(plain.labels_, weighted.labels_)


def test_inertia_is_that_of_the_labels_and_centres(blobs):
    X = blobs(3000)
    model = BalancedKMeans(5, random_state=1).fit(X)
    expected = ((X.astype(np.float64) - model.cluster_centers_[model.labels_]) ** 2).sum()
    assert model.inertia_ == pytest.approx(expected, rel=1e-5)


def test_final_inertia_keeps_up_with_k_means_constrained(blobs):
    reference = pytest.importorskip("k_means_constrained").KMeansConstrained
    X = blobs(2000, noise=1.0).astype(np.float64)
    centers = X[np.random.default_rng(3).choice(2000, 6, replace=False)]
    theirs = reference(6, 333, 334, init=centers, n_init=1, max_iter=10, tol=0).fit(X)
    ours = BalancedKMeans(6, init=centers, max_iter=10, tol=0).fit(X)
    assert ours.inertia_ <= theirs.inertia_ * 1.005


def test_more_steps_never_cost(blobs):
    X = blobs(4000, noise=1.0)
    inertia = [
        BalancedKMeans(6, init=X[:6], max_iter=steps, tol=0).fit(X).inertia_
        for steps in (0, 1, 2, 5, 20)
    ]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(inertia))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predict_on_the_fitted_documents_gives_the_labels(dtype, blobs):
    X = blobs(3001).astype(dtype)
    model = BalancedKMeans(7, random_state=0).fit(X)
    assert (model.predict(X) == model.labels_).mean() >= 0.999


def test_prices_alone_balance_unseen_documents(blobs):
    X = blobs(60_000, noise=1.0)
    model = BalancedKMeans(8, n_init=1, max_iter=5, random_state=0).fit(X[:30_000])
    held = np.bincount(model.predict(X[30_000:]), minlength=8)
    assert np.abs(held / 3750 - 1).max() < 0.05


@given(st.integers(0, 1000), st.integers(2, 6))
@settings(deadline=None, max_examples=30)
def test_permuting_documents_permutes_labels(seed, k):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(90, 4))
    order = generator.permutation(90)
    first = BalancedKMeans(k, init=X[:k], max_iter=10).fit(X)
    second = BalancedKMeans(k, init=X[:k], max_iter=10).fit(X[order])
    assert np.array_equal(first.labels_[order], second.labels_)


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_duplicates_go_together_unless_capacity_forbids(seed):
    generator = np.random.default_rng(seed)
    distinct = generator.normal(size=(40, 3))
    X = np.repeat(distinct, 3, axis=0)
    labels = BalancedKMeans(4, init=distinct[:4], max_iter=10).fit(X).labels_.reshape(40, 3)
    torn = (labels != labels[:, :1]).any(axis=1).sum()
    assert torn <= 3  # 30 documents a cluster: a border cuts at most one trio per pair of a tree


def test_the_same_result_on_any_number_of_threads(blobs):
    X = blobs(40_000, noise=1.0)
    models = []
    for jobs, blas in [(1, 1), (2, 4), (4, 2), (-1, 4)]:
        with threadpool_limits(blas):
            model = BalancedKMeans(5, n_init=1, max_iter=4, random_state=3, n_jobs=jobs)
            models.append(model.fit(X))
    for other in models[1:]:
        assert np.array_equal(models[0].labels_, other.labels_)
        assert np.array_equal(models[0].cluster_centers_, other.cluster_centers_)
        assert np.array_equal(models[0].prices_, other.prices_)


def test_data_far_from_the_origin_lose_nothing(blobs):
    X = blobs(2000).astype(np.float64)
    near = BalancedKMeans(4, init=X[:4], max_iter=10).fit(X)
    far = BalancedKMeans(4, init=X[:4] + 1e4, max_iter=10).fit(X + 1e4)
    assert np.array_equal(near.labels_, far.labels_)


def test_as_many_clusters_as_documents():
    X = np.random.default_rng(0).normal(size=(12, 3))
    model = BalancedKMeans(12, random_state=0).fit(X)
    assert sorted(model.labels_) == list(range(12)) and model.inertia_ == pytest.approx(0, abs=1e-9)


def test_one_document_and_one_cluster(blobs):
    assert BalancedKMeans(1).fit([[1.0, 2.0]]).labels_.tolist() == [0]
    model = BalancedKMeans(1).fit(blobs(50))
    assert set(model.labels_) == {0} and model.predict(blobs(5)).tolist() == [0] * 5


def test_identical_documents_are_dealt_out():
    model = BalancedKMeans(4, random_state=0).fit(np.ones((1001, 5), dtype=np.float32))
    assert np.ptp(model.sizes_) <= 1 and model.inertia_ == pytest.approx(0)


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        ({"n_clusters": 5}, np.eye(4), "minimum of 5"),
        ({"n_clusters": 0}, np.eye(4), "n_clusters"),
        ({"n_clusters": 2, "capacities": [1, 2, 3]}, np.eye(4), "2 positive numbers"),
        ({"n_clusters": 2, "capacities": [1, 0]}, np.eye(4), "positive"),
        ({"n_clusters": 2, "init": np.eye(3)}, np.eye(4), "shape"),
        ({"n_clusters": 2, "init": "random"}, np.eye(4), "init"),
        ({"n_clusters": 2}, [[1.0, np.nan]] * 3, "NaN"),
    ],
)
def test_wrong_input_says_what_is_wrong(parameters, X, message):
    with pytest.raises(ValueError, match=message):
        BalancedKMeans(**parameters).fit(X)


def test_chunks_are_the_same_for_any_number_of_threads():
    assert chunks.slices(5, 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    ends = chunks.run(lambda chunk: chunk.stop, 3 * chunks.ROWS + 1, threads=3)
    assert ends == [chunks.ROWS, 2 * chunks.ROWS, 3 * chunks.ROWS, 3 * chunks.ROWS + 1]


def test_searched_starts_end_alike_and_lower():
    """Groups with nothing in common pack into clusters in many ways; the seed must not decide."""
    sizes = [400, 350, 300, 300, 250, 250, 200, 200, 150, 150, 120, 110, 110, 110]
    X = np.eye(14).repeat(sizes, axis=0).astype(np.float32)
    X += 0.05 * np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    plain = [BalancedKMeans(6, n_init=1, random_state=seed).fit(X) for seed in range(4)]
    searched = [
        BalancedKMeans(6, search=True, n_init=3, random_state=seed).fit(X) for seed in range(4)
    ]
    found, before = [m.inertia_ for m in searched], [m.inertia_ for m in plain]
    assert np.ptp(found) < 0.001 * found[0] and max(found) < 0.99 * min(before)


def test_searched_starts_with_tokens_and_capacities(blobs):
    X, weights = blobs(2000), np.random.default_rng(0).lognormal(5, 1, 2000)
    model = BalancedKMeans(4, capacities=[3, 1, 1, 1], search=True, n_init=1, random_state=0).fit(
        X, sample_weight=weights
    )
    assert np.ptp(model.sizes_ - weights.sum() * np.array([3, 1, 1, 1]) / 6) <= weights.max()
