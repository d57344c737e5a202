"""A smaller corpus with only the documents that a job reads, in the order they had."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.storage import atomic, fingerprint

_TOKENS_AT_ONCE = 1 << 22

Chosen = NDArray[np.int64]


def documents(shards: TokenShards, shares: Sequence[Share], folder: Path) -> dict[str, Chosen]:
    """Write the train split of `shares`' documents to `folder`; language -> sorted indices [n]."""
    chosen: dict[str, Chosen] = {}
    for share in shares:
        for language in share.languages:
            before = chosen.get(language, np.zeros(0, dtype=np.int64))
            chosen[language] = np.union1d(before, share.documents(language))
    counts = {
        language: _language(shards, language, indices, folder / "train" / language)
        for language, indices in chosen.items()
    }
    stats = {
        "context": shards.context,
        "vocabulary": shards.vocabulary,
        "dtype": shards.dtype.name,
        "end_of_text": shards.end_of_text,
        "splits": {"train": counts},
        "fingerprints": {"train": fingerprint.of_folder(folder / "train")},
    }
    atomic.write_json(folder / "stats.json", stats)
    return chosen


def renumbered(share: Share, language: str, chosen: Chosen) -> Chosen:
    """The share's documents of a language, counted within `chosen`."""
    found: Chosen = np.searchsorted(chosen, share.documents(language)).astype(np.int64)
    return found


def _language(shards: TokenShards, language: str, indices: Chosen, folder: Path) -> dict[str, int]:
    folder.mkdir(parents=True)
    starts = shards.starts(language)
    first, last = np.asarray(starts[indices]), np.asarray(starts[indices + 1])
    with (folder / "tokens.bin").open("wb") as file:
        for begin, end in _runs(first, last):
            for at in range(begin, end, _TOKENS_AT_ONCE):
                file.write(shards.tokens(language)[at : min(at + _TOKENS_AT_ONCE, end)].tobytes())
    new_starts = np.concatenate([[0], np.cumsum(last - first)]).astype("<i8")
    sizes = np.asarray(shards.bytes(language)[indices])
    np.save(folder / "starts.npy", new_starts)
    np.save(folder / "bytes.npy", sizes.astype("<i8"))
    np.save(folder / "groups.npy", np.asarray(shards.groups(language)[indices]).astype("<u8"))
    return {
        "documents": len(indices),
        "bytes": int(sizes.sum()),
        "tokens": int(new_starts[-1]),
    }


def _runs(first: Chosen, last: Chosen) -> list[tuple[int, int]]:
    """Token ranges of adjacent documents joined into one."""
    breaks = np.flatnonzero(first[1:] != last[:-1]) + 1
    begins = first[np.concatenate([[0], breaks]).astype(int)] if len(first) else first
    ends = last[np.concatenate([breaks - 1, [len(last) - 1]]).astype(int)] if len(last) else last
    return [(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)]
