"""A new column: the mean embedding and the counts of the text, and bounds that let it in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import CONTEXT, text, text_file

from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.ensemble import manifest as manifests
from xelm.ensemble.mixing import document_weights
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import parse
from xelm.growth import columns
from xelm.growth.text import NewText
from xelm.growth.text import build as build_text


@pytest.fixture
def data(bundle: Path) -> RouterData:
    return RouterData.load(bundle / manifests.read(bundle).router.folder)


def corpus(folder: Path, pieces: Any, language: str, *more: str) -> Path:
    asked = NewText(language, [str(text_file(folder, language)), *more])
    build_text(asked, pieces, folder / "corpus", context=CONTEXT)
    return folder / "corpus"


def column(folder: Path, data: RouterData, language: str) -> columns.NewColumn:
    shards = TokenShards(folder, "train")
    return columns.fit(data, shards, language, TokenShards(folder, "dev"))


def test_counts_and_centroid_against_plain_sums(
    tmp_path: Path, pieces: Any, data: RouterData
) -> None:
    mixed = tmp_path / "mixed.pl.txt"  # so that the embedding sees some of its pieces
    mixed.write_text("\n\n".join(text("en", f"m{n}") for n in range(20)), encoding="utf-8")
    folder = corpus(tmp_path, pieces, "pl", str(mixed))
    made = column(folder, data, "pl")
    shards = TokenShards(folder, "train")
    documents = [shards.document("pl", n) for n in range(shards.count("pl"))]
    rows = np.stack([np.bincount(ids, minlength=400) for ids in documents])
    ends = len(documents)  # an end-of-text a document counts in the stream and says nothing
    cut = made.counts[0][1:] - rows.sum(0)[1:]  # of the same text cut anywhere
    assert (cut >= 0).all() and cut.sum() == pytest.approx((rows.sum() + ends) / 3, rel=0.1)
    embedded = data.embed(rows)
    known = np.linalg.norm(embedded, axis=1) > 0
    assert made.centroid is not None
    np.testing.assert_allclose(made.centroid[0], embedded[known].mean(0), atol=1e-6)
    assert data.tfidf is not None and made.blind is not None
    seen = np.abs(data.tfidf.rows).sum(1) > 0
    assert made.blind == pytest.approx(1 - rows[:, seen].sum() / rows.sum())


@pytest.mark.parametrize("language", ["pl", "he"])
def test_a_language_in_an_unseen_script_is_known_and_not_left_to_the_seed(
    tmp_path: Path, pieces: Any, data: RouterData, language: str
) -> None:
    folder = corpus(tmp_path, pieces, language)
    made = column(folder, data, language)
    grown = made.grow(data, language, 1000)
    ids = tokenizers.encode(pieces, [text(language, f"other-{n}") for n in range(5)])
    for kind in ("unigram", "tfidf") if made.blind != 1.0 else ("unigram",):
        routing = parse({"kind": kind})
        before = build(routing, data.with_fallback("seed"))
        after = build(routing, grown.with_fallback("seed"))
        for each in ids:
            assert after.experts[int(document_weights(after, each)[-1].argmax())] == language
        old = tokenizers.encode(pieces, [text("ru", "other")])[0]
        np.testing.assert_allclose(
            document_weights(after, old)[20:, after.experts.index("ru")],
            document_weights(before, old)[20:, before.experts.index("ru")],
            atol=1e-6,
        )


def test_bounds_of_few_documents_are_careful() -> None:
    assert columns._bound([]) is None
    assert columns._bound([float("inf")]) is None
    low = columns._bound([-5.0, -4.0])
    assert low is not None and low < -5.0
    many = columns._bound([-5.0 + 0.01 * n for n in range(100)])
    assert many is not None and -5.2 < many < -4.9
