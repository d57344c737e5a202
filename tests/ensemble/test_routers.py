"""Routers against re-embedding every prefix, against Bayes by hand, and against themselves."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from xelm.allocation.terms import words
from xelm.corpus import sample
from xelm.ensemble.mixing import document_weights
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.columns import Column
from xelm.ensemble.routers.constant import Fixed, Language
from xelm.ensemble.routers.data import RouterData, TfidfData
from xelm.ensemble.routers.posterior import Posterior
from xelm.ensemble.routers.tfidf import Tfidf
from xelm.ensemble.routers.words import piece_bytes
from xelm.ensemble.routing import Routing
from xelm.errors import UserError

LANGUAGES = sample.languages()


class Reference:
    """scikit-learn's own TF-IDF and SVD over token ids; routes one prefix at a time."""

    def __init__(self, documents: list[np.ndarray], languages: list[str], vocabulary: int) -> None:
        self.vectorizer = TfidfVectorizer(
            analyzer=lambda ids: [int(i) for i in ids],
            lowercase=False,
            vocabulary=dict(zip(range(vocabulary), range(vocabulary), strict=True)),
        )
        matrix = self.vectorizer.fit_transform(documents)
        self.svd = TruncatedSVD(24, random_state=0).fit(matrix)
        self.svd.components_ = self.svd.components_.astype(np.float32).astype(np.float64)
        embedded = normalize(self.svd.transform(matrix))
        self.centroids = np.stack(
            [embedded[[x == code for x in languages]].mean(0) for code in LANGUAGES]
        )

    def weights(self, prefixes: list[Any], temperature: float, exponent: int) -> np.ndarray:
        """One row of weights a prefix, each embedded from scratch."""
        embedded = normalize(self.svd.transform(self.vectorizer.transform(prefixes)))
        distance = np.linalg.norm(embedded[:, None] - self.centroids, axis=-1) ** exponent
        weights = np.exp(-(distance - distance.min(1, keepdims=True)) / temperature)
        result: np.ndarray = weights / weights.sum(1, keepdims=True)
        return result

    def data(self) -> TfidfData:
        columns = tuple(Column(code, code, 1) for code in LANGUAGES)
        rows = np.ascontiguousarray(self.svd.components_.T.astype(np.float32))
        return TfidfData(columns, self.vectorizer.idf_, rows, self.centroids)


@pytest.fixture(scope="module")
def reference(encode: Any, tokenizer: Any) -> Reference:
    found = list(sample.documents("train"))
    ids = encode([document.text for document in found])
    return Reference(ids, [document.language for document in found], len(tokenizer))


@pytest.mark.parametrize(("temperature", "exponent"), [(0.02, 2), (0.1, 4)])
def test_tfidf_equals_reembedding_every_prefix(
    reference: Reference, encode: Any, temperature: float, exponent: int
) -> None:
    data = RouterData(
        tuple(LANGUAGES), {code: {code: 1} for code in LANGUAGES}, tfidf=reference.data()
    )
    router = build(Routing(kind="tfidf", temperature=temperature, exponent=exponent), data)
    for document in sample.documents("heldout"):
        if document.id != "river-otter":
            continue
        ids = encode([document.text])[0][:100]
        found = router.weights(torch.tensor(ids)[None])[0].numpy()
        prefixes = [ids[: n + 1] for n in range(len(ids))]
        expected = reference.weights(prefixes, temperature, exponent)
        assert np.abs(found - expected).max() < 1e-6, document.language


def test_unigram_is_bayes(router_data: Any, encode: Any, texts: Any) -> None:
    data = router_data({"en-es": ("en", "es"), "de": ("de",), "ru": ("ru",)})
    router = build(Routing(kind="unigram", smoothing=0.5), data)
    ids = encode([texts["de"][0]])[0][:30]
    counts = data.unigram.counts.astype(np.float64)
    p = (counts + 0.5) / (counts + 0.5).sum(1, keepdims=True)
    posterior = np.array([0.25] * 4) * np.exp(np.cumsum(np.log(p[:, ids]), 1)).T
    posterior /= posterior.sum(1, keepdims=True)
    expected = np.stack([posterior[:, :2].sum(1), posterior[:, 2], posterior[:, 3]], 1)
    found = router.weights(torch.tensor(ids)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["tfidf", "unigram", "uniform"])
def test_steps_padding_and_reordering(router_data: Any, encode: Any, texts: Any, kind: str) -> None:
    router = build(Routing(kind=kind), router_data({"a": ("en",), "b": ("ru",), "c": ("zh", "ja")}))  # type: ignore[arg-type]
    first, second = (torch.tensor(encode([texts[c][0]])[0][:40]) for c in ("en", "ja"))
    whole = [router.weights(ids[None])[0] for ids in (first, second)]
    ids = torch.zeros(2, 50, dtype=torch.long)
    mask = torch.zeros(2, 50, dtype=torch.long)
    ids[0, 10:], mask[0, 10:] = first, 1
    ids[1, 10:], mask[1, 10:] = second, 1
    state, found = router.start(2), []
    for start, stop in ((0, 5), (5, 12), (12, 13), (13, 30)):
        weights, state = router.step(state, ids[:, start:stop], mask[:, start:stop])
        found.append(weights)
    state = state.select(torch.tensor([1, 1, 0]))
    weights, state = router.step(state, ids[[1, 1, 0], 30:])
    for row, expected in ((0, whole[1]), (1, whole[1]), (2, whole[0])):
        assert torch.allclose(weights[row], expected[20:], atol=1e-12)
    prefix = torch.cat(found, 1)
    assert torch.allclose(prefix[:, :10], router.prior.expand(2, 10, -1))
    assert torch.allclose(prefix[0, 10:], whole[0][:20], atol=1e-12)


def test_nothing_read_gives_the_prior(router_data: Any) -> None:
    data = router_data({"en-es": ("en", "es"), "de": ("de",)})
    for kind in ("tfidf", "unigram"):
        router = build(Routing(kind=kind), data)  # type: ignore[arg-type]
        ends = torch.zeros(1, 3, dtype=torch.long)  # end-of-text says nothing
        expected = torch.tensor([2 / 3, 1 / 3], dtype=torch.float64)
        assert torch.allclose(router.weights(ends), expected.expand(1, 3, 2))


def test_weights_of_a_document_never_see_the_token_they_score(
    router_data: Any, encode: Any, texts: Any
) -> None:
    router = build(Routing(), router_data({"en": ("en",), "ru": ("ru",)}))
    ids = encode([texts["ru"][0]])[0][:20]
    weights = document_weights(router, ids)
    assert weights.shape == (20, 2)
    np.testing.assert_array_equal(weights[0], router.prior.numpy())
    for position in (1, 7, 19):
        changed = ids.copy()
        changed[position:] = 5
        np.testing.assert_array_equal(
            document_weights(router, changed)[position], weights[position]
        )


def test_posterior_accumulates_exactly() -> None:
    logs = -5 * torch.rand(3, 500, 4, generator=torch.Generator().manual_seed(0))
    router = Posterior("abcd", torch.tensor([0.4, 0.3, 0.2, 0.1]))
    found, _ = router.step_likelihood(router.start(3), logs)
    sums = np.cumsum(logs.numpy().astype(np.longdouble), 1) + np.log(router.prior.numpy())
    expected = np.exp(sums - sums.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(found.numpy(), expected.astype(np.float64), atol=1e-12)


def test_a_router_stays_exact_in_a_half_precision_model(router_data: Any) -> None:
    router = build(Routing(kind="tfidf"), router_data({"en": ("en",), "ru": ("ru",)}))
    assert isinstance(router.half(), Tfidf)
    assert all(buffer.dtype == torch.float64 for buffer in router.buffers())


def test_growing_and_shrinking_leave_old_columns_alone(
    router_data: Any, counts: Any, encode: Any, texts: Any
) -> None:
    small, large = router_data({"en": ("en",)}), router_data({"en": ("en",), "ru": ("ru",)})
    ru = large.unigram.counts[1:]
    grown = small.with_columns("ru", {"ru": int(ru.sum())}, counts=ru, centroids=small.embed(ru))
    assert grown.experts == ("en", "ru")
    np.testing.assert_array_equal(grown.unigram.counts, large.unigram.counts)
    assert grown.languages == large.languages
    shrunk = grown.without("ru")
    assert shrunk.experts == small.experts and shrunk.languages == small.languages
    np.testing.assert_array_equal(shrunk.tfidf.centroids, small.tfidf.centroids)


def test_data_survives_the_disk(router_data: Any, tmp_path: Any) -> None:
    data = router_data({"en": ("en",), "ru": ("ru",)})
    data.save(tmp_path)
    loaded = RouterData.load(tmp_path)
    assert loaded.experts == data.experts and loaded.languages == data.languages
    np.testing.assert_array_equal(loaded.unigram.counts, data.unigram.counts)
    np.testing.assert_array_equal(loaded.tfidf.rows, data.tfidf.rows)
    assert loaded.unigram.columns == data.unigram.columns


def test_mistakes_name_the_setting(router_data: Any) -> None:
    data = router_data({"en": ("en",), "ru": ("ru",)})
    with pytest.raises(UserError, match=r"language 'sw'.*en, ru"):
        Language(data.experts, data.languages, "sw")
    with pytest.raises(UserError, match="no expert 'fr'"):
        Fixed(data.experts, {"fr": 1.0})
    with pytest.raises(UserError, match="not be negative"):
        Fixed(data.experts, {"en": -1.0})
    with pytest.raises(UserError, match=r"give router\.weights"):
        build(Routing(kind="fixed"), data)
    with pytest.raises(UserError, match="holds no data"):
        build(Routing(kind="tfidf"), RouterData(("a",), {}))
    with pytest.raises(UserError, match="temperature"):
        Routing().override(temperature=-1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(-8, 8), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from([2, 4]),
    st.floats(0.02, 1.0),
)
def test_tfidf_weights_are_a_distribution(
    vectors: list[list[float]], exponent: int, temperature: float
) -> None:
    columns = [Column("x", "a", 1), Column("y", "b", 1), Column("z", "a", 1)]
    centroids = torch.tensor([[1.0, 0, 0], [0, 0.9, 0.1], [0, 0, 1]])
    router = Tfidf(
        "ab",
        columns,
        torch.tensor(vectors),
        centroids,
        temperature=temperature,
        exponent=exponent,
    )
    weights = router.weights(torch.arange(len(vectors))[None])
    assert torch.allclose(weights.sum(-1), torch.ones(1, dtype=torch.float64))
    assert (weights >= 0).all()


def test_words_equal_reembedding_every_prefix(tokenizer: Any, encode: Any) -> None:
    """Words are found in the decoded text of each prefix: unfinished words, cut characters."""
    texts = [document.text for document in sample.documents("train")]
    languages = [document.language for document in sample.documents("train")]
    vectorizer = TfidfVectorizer(analyzer=words)
    matrix = vectorizer.fit_transform(texts)
    svd = TruncatedSVD(24, random_state=0).fit(matrix)
    rows = np.ascontiguousarray(svd.components_.T.astype(np.float32))
    svd.components_ = rows.T.astype(np.float64)
    embedded = normalize(svd.transform(matrix))
    centroids = np.stack([embedded[[x == c for x in languages]].mean(0) for c in LANGUAGES])
    about = TfidfData(
        tuple(Column(code, code, 1) for code in LANGUAGES),
        vectorizer.idf_,
        rows,
        centroids,
        tuple(vectorizer.get_feature_names_out()),
        tuple(piece_bytes(tokenizer)),
    )
    data = RouterData(tuple(LANGUAGES), {}, tfidf=about)
    router = build(Routing(kind="tfidf", temperature=0.02), data)
    hard = "Ο ΟΔΟΣ'Σ του İSTANBUL x1 1x naïve—ÉCOLE, 3,5 中文：你好。ok"
    found = [d.text[:160] for d in sample.documents("heldout") if d.id == "river-otter"]
    for text in [hard, *found]:
        ids = encode([text])[0][:100]
        weights = router.weights(torch.tensor(ids)[None])[0].numpy()
        prefixes = [tokenizer.decode(ids[: n + 1]) for n in range(len(ids))]
        points = normalize(svd.transform(vectorizer.transform(prefixes)))
        squared = ((points[:, None] - centroids[None]) ** 2).sum(-1)
        expected = np.exp(-(squared - squared.min(1, keepdims=True)) / 0.02)
        expected /= expected.sum(1, keepdims=True)
        silent = ~(points != 0).any(1)
        expected[silent] = 1 / len(LANGUAGES)
        np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_words_go_on_token_by_token(tokenizer: Any, encode: Any, tmp_path: Any) -> None:
    about = TfidfData(
        (Column("en", "en", 1), Column("de", "de", 1)),
        np.ones(3),
        np.eye(3, 2, dtype=np.float32),
        np.eye(2),
        ("house", "haus", "und"),
        tuple(piece_bytes(tokenizer)),
    )
    RouterData(("en", "de"), {}, silent=(0,), tfidf=about).save(tmp_path)
    router = build(Routing(kind="tfidf"), RouterData.load(tmp_path))
    ids = torch.tensor(encode(["the house und Haus, house"])[0])[None]
    whole = router.weights(ids)
    state, found = router.start(1), []
    for column in range(ids.shape[1]):
        weights, state = router.step(state, ids[:, column : column + 1])
        found.append(weights)
    assert torch.equal(torch.cat(found, 1), whole)
