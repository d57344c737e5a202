"""Documents as counts of terms: sparse rows made from token shards, chunk by chunk.

Pieces (default): the tokenizer's own pieces; counting them needs no text, every script has them,
and a router can look them up token by token. Words: as published, by decoding the tokens: runs of
two or more word characters, lower-cased, that do not start with a digit (the published lists of
stop words for 15 languages are left out: idf does most of their work). Words lose text in scripts
whose vowel signs or lack of spaces the pattern does not know; that is measured, not mended.
"""

import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from xelm.corpus.shards import TokenShards

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOKENS_AT_ONCE = 500_000
"""Tokens of one chunk of documents: what bounds memory, however large the corpus."""
MOST_WORDS = 500_000
"""Words kept, the most frequent first, as published."""
WORD = re.compile(r"(?u)\b(?!\d)\w\w+\b")


@dataclass(frozen=True)
class Documents:
    """Some documents of one language: sorted indices [m]."""

    language: str
    indices: npt.NDArray[np.int64]


class Terms(Protocol):
    """What turns documents into counts."""

    kind: str

    @property
    def size(self) -> int:
        """How many terms there are."""
        ...

    def counts(self, shards: TokenShards, documents: Documents) -> "csr_matrix":
        """Counts [documents, terms], float32, sorted, without duplicates."""
        ...

    def name(self, term: int) -> str:
        """The term as a person reads it."""
        ...


def everything(shards: TokenShards, tokens: int = TOKENS_AT_ONCE) -> Iterator[Documents]:
    """All documents in chunks of at most `tokens` tokens (a longer document is a chunk)."""
    for language in shards.languages:
        yield from chunked(shards, Documents(language, np.arange(shards.count(language))), tokens)


def chunked(
    shards: TokenShards, documents: Documents, tokens: int = TOKENS_AT_ONCE
) -> Iterator[Documents]:
    """The same documents in order, at most `tokens` tokens at a time."""
    starts = shards.starts(documents.language)
    lengths = np.asarray(starts[documents.indices + 1] - starts[documents.indices])
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        room = (ends[first - 1] if first else 0) + tokens
        last = max(first + 1, int(np.searchsorted(ends, room, side="right")))
        yield Documents(documents.language, documents.indices[first:last])
        first = last


def token_rows(
    shards: TokenShards, documents: Documents
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The documents' token ids one after another without end-of-text, and their offsets [m + 1]."""
    tokens, starts = shards.tokens(documents.language), shards.starts(documents.language)
    indices = documents.indices
    if len(indices) and indices[-1] - indices[0] + 1 == len(indices):  # adjacent: one read
        ids = np.asarray(tokens[starts[indices[0]] : starts[indices[-1] + 1]], dtype=np.int32)
    elif len(indices):
        ids = np.concatenate([tokens[starts[i] : starts[i + 1]] for i in indices]).astype(np.int32)
    else:
        ids = np.zeros(0, dtype=np.int32)
    _forget(tokens)
    lengths = np.asarray(starts[indices + 1] - starts[indices])
    kept = ids != shards.end_of_text
    before = np.concatenate([[0], np.cumsum(kept)])
    offsets = before[np.concatenate([[0], np.cumsum(lengths)])]
    return ids[kept], offsets.astype(np.int64)


def _forget(tokens: npt.NDArray[Any]) -> None:
    """Drop the pages of a memory map read so far from this process: they stay in the system's
    cache, but the process does not grow with the corpus it has passed over."""
    mapped = getattr(tokens, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Pieces:
    """Terms are token ids; end-of-text never counts."""

    kind = "pieces"

    def __init__(self, shards: TokenShards):
        self.folder, self.vocabulary = shards.folder, shards.vocabulary

    @property
    def size(self) -> int:
        """The tokenizer's vocabulary."""
        return self.vocabulary

    def counts(self, shards: TokenShards, documents: Documents) -> "csr_matrix":
        """Counts [documents, vocabulary]."""
        ids, offsets = token_rows(shards, documents)
        return _count_rows(ids, offsets, self.vocabulary)

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizer(self.folder)

    def name(self, term: int) -> str:
        """The piece's text; bytes that are no text of their own show as U+FFFD."""
        return str(self._tokenizer.decode([term]))


class Words:
    """Terms are words of the published pattern, found in decoded text."""

    kind = "words"

    def __init__(self, shards: TokenShards, vocabulary: Sequence[str]):
        self.folder = shards.folder
        self.vocabulary = tuple(vocabulary)
        self.place = {word: number for number, word in enumerate(self.vocabulary)}

    @property
    def size(self) -> int:
        """How many words are kept."""
        return len(self.vocabulary)

    def counts(self, shards: TokenShards, documents: Documents) -> "csr_matrix":
        """Counts [documents, words]; words outside the vocabulary do not count."""
        columns: list[int] = []
        offsets = [0]
        for text in decoded(self._tokenizer, shards, documents):
            found = (self.place.get(word) for word in words(text))
            columns.extend(place for place in found if place is not None)
            offsets.append(len(columns))
        return _count_rows(np.array(columns, np.int32), np.array(offsets), self.size)

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizer(self.folder)

    def name(self, term: int) -> str:
        """The word itself."""
        return self.vocabulary[term]

    @classmethod
    def learn(
        cls, shards: TokenShards, sample: Sequence[Documents], most: int = MOST_WORDS
    ) -> "Words":
        """The `most` frequent words of a sample, in alphabetical order."""
        from collections import Counter

        counted: Counter[str] = Counter()
        reader = cls(shards, ())
        for documents in sample:
            for chunk in chunked(shards, documents):
                for text in decoded(reader._tokenizer, shards, chunk):
                    counted.update(words(text))
        kept = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most]
        return cls(shards, sorted(word for word, _ in kept))


def _count_rows(
    terms: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], size: int
) -> "csr_matrix":
    """How often row i, terms[offsets[i]:offsets[i+1]], holds each term: float32 [rows, size]."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(terms), dtype=np.float32)
    matrix = csr_matrix((ones, terms, offsets.astype(np.int32)), shape=(len(offsets) - 1, size))
    matrix = matrix.tocsc().tocsr()  # sorts the terms of each row in linear time
    matrix.sum_duplicates()
    return matrix


def words(text: str) -> list[str]:
    """Lower-cased words of two or more word characters that do not start with a digit."""
    return WORD.findall(text.lower())


def decoded(tokenizer: Any, shards: TokenShards, documents: Documents) -> list[str]:
    """The documents' text, decoded from their tokens."""
    ids, offsets = token_rows(shards, documents)
    rows = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    return list(tokenizer.batch_decode(rows, clean_up_tokenization_spaces=False))


def _tokenizer(corpus: Path) -> Any:
    from xelm.corpus import tokenizer

    return tokenizer.load(corpus / "tokenizer")
