"""The embedding against scikit-learn's own TF-IDF and SVD, and what routers rely on."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize

from xelm.allocation.embedding import draw_sample, fit, informative, smooth_idf
from xelm.allocation.terms import Documents, Pieces, everything
from xelm.corpus.shards import TokenShards


@pytest.fixture(scope="module")
def shards(reader: Path) -> TokenShards:
    return TokenShards(reader, "train")


def all_counts(shards: TokenShards):
    from scipy.sparse import vstack

    return vstack([Pieces(shards).counts(shards, part) for part in everything(shards)], "csr")


def test_idf_is_scikit_learns_smooth_one(shards: TokenShards) -> None:
    counts = all_counts(shards)
    reference = TfidfTransformer().fit(counts)
    assert np.allclose(smooth_idf(counts), reference.idf_)


def test_documents_lie_as_with_an_exact_svd(shards: TokenShards) -> None:
    counts = all_counts(shards)
    weighted = TfidfTransformer().fit_transform(counts)
    exact = TruncatedSVD(20, algorithm="arpack", random_state=0).fit(weighted)
    expected = normalize(exact.transform(weighted))
    learnt = fit(shards, dims=20)
    found = np.concatenate([learnt.embed(shards, part) for part in everything(shards)])
    assert found.dtype == np.float32 and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.abs(found @ found.T - expected @ expected.T).mean() < 0.01
    kept = [np.linalg.norm(weighted @ rows) for rows in (learnt.rows, exact.components_.T)]
    assert kept[0] > 0.999 * kept[1]  # the randomised solver loses next to nothing


def test_a_text_is_the_sum_of_its_term_vectors(shards: TokenShards) -> None:
    learnt = fit(shards, dims=30)
    ids = shards.document("ja", 4)
    total = learnt.term_vectors[ids].astype(np.float64).sum(axis=0)
    embedded = learnt.embed(shards, Documents("ja", np.array([4])))[0]
    assert np.allclose(embedded, total / np.linalg.norm(total), atol=1e-6)


def test_the_same_seed_the_same_embedding(shards: TokenShards) -> None:
    one = fit(shards, dims=20, most=100, seed=3)
    assert fit(shards, dims=20, most=100, seed=3) is one  # kept for the next allocation
    other = fit(shards, dims=20, most=100, seed=4)
    two = fit(shards, dims=20, most=100, seed=3)
    assert two is not one
    assert np.array_equal(one.rows, two.rows) and not np.array_equal(one.rows, other.rows)


def test_more_dimensions_than_documents_are_fewer(odd: Path) -> None:
    shards = TokenShards(odd, "train")
    learnt = fit(shards, dims=100)
    assert learnt.rows.shape == (shards.vocabulary, shards.count("en"))


def test_empty_documents_say_so(odd: Path) -> None:
    shards = TokenShards(odd, "train")
    learnt = fit(shards, dims=5)
    embedded = learnt.embed(shards, Documents("en", np.arange(shards.count("en"))))
    assert np.flatnonzero(~informative(embedded)).tolist() == [9, 11]


def test_a_sample_is_spread_over_all_languages(shards: TokenShards) -> None:
    whole = draw_sample(shards, 10**6, 0)
    assert [len(part.indices) for part in whole] == [shards.count(x) for x in shards.languages]
    few = draw_sample(shards, 100, 0)
    assert sum(len(part.indices) for part in few) == 100
    assert all((np.diff(part.indices) > 0).all() for part in few)
    assert len(few) == len(shards.languages)


def test_words_embed_too(shards: TokenShards) -> None:
    learnt = fit(shards, terms="words", dims=20)
    english = learnt.embed(shards, Documents("en", np.arange(20)))
    russian = learnt.embed(shards, Documents("ru", np.arange(20)))
    assert (english @ russian.T).mean() < 0.05 < (english @ english.T).mean()
