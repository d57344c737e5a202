"""Counting terms from token shards, against plain counting of the text."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from xelm.allocation.terms import Documents, Pieces, Words, chunked, everything, token_rows, words
from xelm.corpus import sample
from xelm.corpus.shards import TokenShards


@pytest.fixture(scope="module")
def shards(reader: Path) -> TokenShards:
    return TokenShards(reader, "train")


@pytest.mark.parametrize("indices", [[0, 1, 2, 3], [1, 7, 8, 30], [5], []])
def test_counts_of_pieces_equal_counting_each_document(shards: TokenShards, indices) -> None:
    documents = Documents("hi", np.array(indices, dtype=np.int64))
    matrix = Pieces(shards).counts(shards, documents)
    assert matrix.shape == (len(indices), shards.vocabulary)
    for row, index in enumerate(indices):
        expected = Counter(shards.document("hi", index).tolist())
        found = matrix[row].tocoo()
        assert (
            dict(zip(found.col.tolist(), found.data.astype(int).tolist(), strict=True)) == expected
        )


def test_end_of_text_is_no_term(shards: TokenShards) -> None:
    ids, offsets = token_rows(shards, Documents("zh", np.arange(shards.count("zh"))))
    assert shards.end_of_text not in ids
    assert np.diff(offsets).tolist() == [
        len(shards.document("zh", i)) for i in range(len(offsets) - 1)
    ]


@pytest.mark.parametrize("tokens", [1, 300, 10**9])
def test_chunks_hold_every_document_once_within_the_limit(shards: TokenShards, tokens: int) -> None:
    seen: dict[str, list[int]] = {}
    for part in everything(shards, tokens):
        seen.setdefault(part.language, []).extend(part.indices.tolist())
        lengths = np.diff(shards.starts(part.language))[part.indices]
        assert len(lengths) == 1 or lengths.sum() <= tokens
    assert seen == {lang: list(range(shards.count(lang))) for lang in shards.languages}


def test_chunks_of_chosen_documents(shards: TokenShards) -> None:
    chosen = Documents("en", np.array([2, 3, 11]))
    parts = list(chunked(shards, chosen, tokens=1))
    assert [part.indices.tolist() for part in parts] == [[2], [3], [11]]


def test_words_by_the_published_pattern() -> None:
    assert words("The 3rd cat's x_1, 12 Öfen!") == ["the", "cat", "x_1", "öfen"]
    assert words("我们在河边。吃") == [
        "我们在河边"
    ]  # a clause is one word: the weakness pieces lack
    assert "हिन्दी" not in words("हिन्दी")  # and vowel signs break words apart


@pytest.mark.parametrize("language", ["en", "ru", "ar"])
def test_counts_of_words_equal_counting_the_original_text(shards: TokenShards, language) -> None:
    texts = [one.text for one in sample.documents("train", [language])]
    learnt = Words.learn(shards, [Documents(language, np.arange(len(texts)))])
    matrix = learnt.counts(shards, Documents(language, np.arange(len(texts))))
    for row, text in enumerate(texts):
        found = matrix[row].tocoo()
        counted = {learnt.name(c): int(v) for c, v in zip(found.col, found.data, strict=True)}
        assert counted == Counter(words(text))


def test_the_most_frequent_words_are_kept(shards: TokenShards) -> None:
    everyone = [Documents("en", np.arange(shards.count("en")))]
    few = Words.learn(shards, everyone, most=3)
    assert (
        few.size == 3 and "the" in few.vocabulary and list(few.vocabulary) == sorted(few.vocabulary)
    )


def test_pieces_have_names(shards: TokenShards) -> None:
    pieces = Pieces(shards)
    ids = shards.document("ru", 0)[:8]
    assert "".join(pieces.name(int(term)) for term in ids).strip() != ""
