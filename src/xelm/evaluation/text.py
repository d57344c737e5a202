"""The documents that are scored, in a fixed order that no source or file order shows through."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.shards import TokenShards


@dataclass(frozen=True)
class Documents:
    """The first documents of a language, in reading order."""

    index: NDArray[np.int64]
    """Positions in the shards [n]."""
    bytes: NDArray[np.int64]
    """Raw UTF-8 bytes [n]."""
    tokens: NDArray[np.int64]
    """Tokens [n], end-of-text not counted."""
    groups: NDArray[np.uint64]

    @property
    def count(self) -> int:
        """n."""
        return len(self.index)


def documents(shards: TokenShards, language: str, cap_bytes: int | None = None) -> Documents:
    """All documents, or the first ones in reading order within `cap_bytes` (at least one)."""
    index = reading_order(shards.folder, shards.split, language)
    sizes = np.asarray(shards.bytes(language))[index]
    if cap_bytes is not None:
        index = index[: max(1, int(np.searchsorted(np.cumsum(sizes), cap_bytes, side="right")))]
    starts = np.asarray(shards.starts(language))
    tokens = starts[index + 1] - starts[index] - 1
    groups = np.asarray(shards.groups(language))[index]
    return Documents(index, sizes[: len(index)], tokens, groups)


@lru_cache(maxsize=256)
def reading_order(corpus: Path, split: str, language: str) -> NDArray[np.int64]:
    """The documents' positions by the hash of their ids: fixed, and unlike the order of sources."""
    names = TokenShards(corpus, split).ids(language)
    keys = [blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array(sorted(range(len(names)), key=lambda i: (keys[i], i)), dtype=np.int64)
