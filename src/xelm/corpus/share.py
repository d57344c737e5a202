"""The documents of one expert, as one virtual token stream per language, cut into windows.

Nothing is copied: a share is a list of document indices into the train shards. A window is looked
up by its number alone, which is what lets the order of training be a pure function.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Stream:
    """Runs of adjacent documents: run r holds corpus tokens first[r] .. and starts at at[r]."""

    first: NDArray[np.int64]  # [runs] offset in the language's tokens
    at: NDArray[np.int64]  # [runs + 1] offset in the virtual stream; the last is its length


class Share:
    """A choice of documents per language (None = all of them) over one split's shards."""

    def __init__(self, shards: TokenShards, documents: Mapping[str, Indices | None]) -> None:
        self._shards = shards
        self._documents = {
            language: _checked(shards, language, documents[language])
            for language in sorted(documents)
        }
        self._streams = {
            language: _runs(shards.starts(language), chosen)
            for language, chosen in self._documents.items()
        }
        self.languages: list[str] = list(self._documents)
        self.fingerprint: str = fingerprint.of_value(
            {
                "corpus": shards.fingerprint,
                "languages": {
                    language: "all" if chosen is None else _hash(chosen)
                    for language, chosen in self._documents.items()
                },
            }
        )

    @classmethod
    def everything(cls, shards: TokenShards) -> "Share":
        """All documents of all languages."""
        return cls(shards, dict.fromkeys(shards.languages))

    @classmethod
    def of(cls, shards: TokenShards, documents: Mapping[str, Indices | None]) -> "Share":
        """The given documents per language; indices are sorted, None stands for all."""
        return cls(shards, documents)

    def documents(self, language: str) -> Indices:
        """Sorted indices [n] of this share's documents of a language."""
        chosen = self._documents[language]
        return np.arange(self._shards.count(language)) if chosen is None else chosen

    def token_count(self, language: str) -> int:
        """Tokens of a language in this share, every document's end-of-text included."""
        return int(self._streams[language].at[-1])

    def window_count(self, language: str, context: int) -> int:
        """Windows of `context` targets that the stream holds; a short stream wraps into one."""
        tokens = self.token_count(language)
        return max(1, (tokens - 1) // context) if tokens else 0

    def window(self, language: str, index: int, context: int) -> NDArray[np.int64]:
        """Ids [context + 1] from index * context on: inputs are [:-1], targets are [1:]."""
        length = self.token_count(language)
        assert 0 <= index < self.window_count(language, context), (language, index)
        start = index * context
        window = np.empty(context + 1, dtype=np.int64)
        filled = 0
        while filled < len(window):
            part = self._read(language, (start + filled) % length, len(window) - filled)
            window[filled : filled + len(part)] = part
            filled += len(part)
        return window

    def _read(self, language: str, start: int, count: int) -> NDArray[Any]:
        """At most `count` tokens from `start` of the stream, as far as one run goes."""
        stream = self._streams[language]
        run = int(np.searchsorted(stream.at, start, side="right")) - 1
        count = min(count, int(stream.at[run + 1]) - start)
        first = int(stream.first[run]) + start - int(stream.at[run])
        return self._shards.tokens(language)[first : first + count]

    def save(self, path: Path) -> None:
        """Write `<expert>.json` and beside it `<expert>.<language>.npy` per partial language."""
        path = Path(path)
        languages: dict[str, Any] = {}
        for language, chosen in self._documents.items():
            file = "all" if chosen is None else f"{path.stem}.{language}.npy"
            if chosen is not None:
                atomic.write_bytes(path.parent / file, _npy(chosen))
            languages[language] = {"documents": file, "tokens": self.token_count(language)}
        atomic.write_json(
            path,
            {"expert": path.stem, "languages": languages, "fingerprint": self.fingerprint},
        )

    @classmethod
    def load(cls, path: Path, shards: TokenShards) -> "Share":
        """Read a saved share; UserError when it was made from another corpus or is damaged."""
        path = Path(path)
        stored = atomic.read_json(path)
        documents: dict[str, Indices | None] = {}
        for language, entry in stored["languages"].items():
            if language not in shards.languages:
                raise UserError(
                    f"{path}: language {language!r} is not in {shards.folder}; "
                    "the share belongs to another corpus; run allocate again"
                )
            name = entry["documents"]
            documents[language] = None if name == "all" else _load_npy(path.parent / name)
        share = cls(shards, documents)
        if share.fingerprint != stored["fingerprint"]:
            raise UserError(
                f"{path}: was made from another corpus than {shards.folder} "
                "(fingerprints differ); run allocate again"
            )
        return share


def _checked(shards: TokenShards, language: str, chosen: Indices | None) -> Indices | None:
    count = shards.count(language)
    if chosen is None:
        return None
    ordered = np.unique(np.asarray(chosen, dtype=np.int64))
    assert len(ordered) == len(chosen), f"{language}: a document twice in one share"
    assert not len(ordered) or (ordered[0] >= 0 and ordered[-1] < count), f"{language}: no such"
    return None if len(ordered) == count else ordered


def _runs(starts: NDArray[np.int64], chosen: Indices | None) -> _Stream:
    if chosen is None:
        chosen_first = np.zeros(1, dtype=np.int64)
        lengths = np.asarray(starts[-1:], dtype=np.int64)
        return _Stream(chosen_first, np.concatenate([[0], lengths]))
    if not len(chosen):
        return _Stream(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(chosen) != 1) + 1
    heads = chosen[np.concatenate([[0], breaks])]
    tails = chosen[np.concatenate([breaks - 1, [len(chosen) - 1]])]
    first, last = np.asarray(starts[heads]), np.asarray(starts[tails + 1])
    return _Stream(first, np.concatenate([[0], np.cumsum(last - first)]))


def _hash(chosen: Indices) -> str:
    from hashlib import sha256

    return sha256(chosen.astype("<i8").tobytes()).hexdigest()


def _npy(array: Indices) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _load_npy(path: Path) -> Indices:
    try:
        array: Indices = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: missing or damaged ({error}); run allocate again") from error
    return array
