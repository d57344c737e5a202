"""The corpus as token ids on disk, one stream per language and split, read through memory maps.

Layout of `corpus/<split>/<language>/`: `tokens.bin` (uint16 or uint32, little endian; after the
pieces of every document ONE end-of-text), `starts.npy` (int64 [n+1], token offsets), `bytes.npy`
(int64 [n], raw UTF-8 bytes), `groups.npy` (uint64 [n], hash of the group), `ids.jsonl`; dev and
held-out also keep the text (`documents.jsonl`), so that any model can be scored on it.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.building import build
from xelm.errors import UserError
from xelm.storage import atomic

__all__ = ["SPLITS", "TokenShards", "build"]

SPLITS = ("train", "dev", "heldout")


class TokenShards:
    """The reading side of one split; arrays are memory-mapped, opening costs nothing."""

    def __init__(self, folder: Path, split: str) -> None:
        """`folder` is `runs/<name>/corpus`; UserError when it holds no such split."""
        stats = atomic.read_json(Path(folder) / "stats.json")
        if split not in stats["splits"]:
            raise UserError(
                f"{folder}: has no split {split!r}; it has {', '.join(stats['splits'])}"
            )
        self.folder = Path(folder)
        self.split = split
        self.stats: dict[str, dict[str, int]] = stats["splits"][split]
        self.languages: list[str] = sorted(self.stats)
        self.context: int = stats["context"]
        self.vocabulary: int = stats["vocabulary"]
        self.dtype: np.dtype[Any] = np.dtype(stats["dtype"])
        self.end_of_text: int = stats["end_of_text"]
        self.fingerprint: str = stats["fingerprints"][split]
        self._map = lru_cache(maxsize=None)(self._open)

    def _place(self, language: str) -> Path:
        if language not in self.stats:
            raise UserError(f"{self.folder / self.split}: holds no language {language!r}")
        return self.folder / self.split / language

    def _open(self, language: str, name: str) -> NDArray[Any]:
        path = self._place(language) / name
        try:
            if name == "tokens.bin":
                return np.memmap(path, dtype=self.dtype, mode="r")
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: missing or damaged ({error}); run prepare in a new folder"
            ) from error
        return array

    def tokens(self, language: str) -> NDArray[Any]:
        """All token ids of a language [tokens], of `dtype`, memory-mapped."""
        return self._map(language, "tokens.bin")

    def starts(self, language: str) -> NDArray[np.int64]:
        """Offsets [n+1]: document i is tokens[starts[i]:starts[i+1]], its end-of-text included."""
        return self._map(language, "starts.npy")

    def bytes(self, language: str) -> NDArray[np.int64]:
        """Raw UTF-8 bytes of each document [n]."""
        return self._map(language, "bytes.npy")

    def groups(self, language: str) -> NDArray[np.uint64]:
        """Hash of each document's group [n]."""
        return self._map(language, "groups.npy")

    def count(self, language: str) -> int:
        """Number of documents."""
        return len(self.starts(language)) - 1

    def document(self, language: str, index: int) -> NDArray[Any]:
        """Ids of one document without the final end-of-text."""
        starts = self.starts(language)
        return self.tokens(language)[starts[index] : starts[index + 1] - 1]

    def ids(self, language: str) -> list[str]:
        """The documents' ids, in order."""
        return [str(row["id"]) for row in self._rows(language, "ids.jsonl")]

    def sources(self, language: str) -> list[str]:
        """The documents' sources, in order."""
        return [str(row["source"]) for row in self._rows(language, "ids.jsonl")]

    def texts(self, language: str) -> Iterator[str]:
        """The documents' raw text, in order (dev and held-out only)."""
        if self.split == "train":
            raise UserError(f"{self.folder}: raw text is kept for dev and heldout only, not train")
        for row in self._rows(language, "documents.jsonl"):
            yield row["text"]

    def _rows(self, language: str, name: str) -> Iterator[dict[str, Any]]:
        with (self._place(language) / name).open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
