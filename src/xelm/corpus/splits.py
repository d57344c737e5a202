"""Train, dev and held-out apart: by group, never by line, and no paragraph in two of them.

A group's split is a function of its name alone, so a page that is held out in one language is held
out in all, on every machine, and however much text is added later.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.documents import Document

_FULL = float(1 << 64)
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_SHORTEST_PARAGRAPH = 25  # letters; shorter ones ("Chapter 1", "Thank you.") repeat by nature
_BINS = 1 << 16


def group_hash(group: str, purpose: bytes = b"") -> int:
    """64-bit hash of a group's name; one independent hash per purpose (at most 16 bytes)."""
    digest = blake2b(group.encode("utf-8", "replace"), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "little")


def split_of(group: str, dev_share: float, heldout_share: float) -> str:
    """`heldout`, `dev` or `train` by the group's hash; the shares are expected shares of groups."""
    position = group_hash(group, b"split") / _FULL
    if position < heldout_share:
        return "heldout"
    return "dev" if position < heldout_share + dev_share else "train"


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """(64-bit hash of the lower-cased letters, line) of each line with 25 letters or more."""
    for line in text.split("\n"):
        if len(line) >= _SHORTEST_PARAGRAPH:
            letters = _NOT_LETTERS.sub("", line).lower()
            if len(letters) >= _SHORTEST_PARAGRAPH:
                digest = blake2b(letters.encode("utf-8"), digest_size=8).digest()
                yield int.from_bytes(digest, "little"), line


class HeldBack:
    """Hashes of all dev and held-out paragraphs: 64 bits each, whatever their length."""

    def __init__(self) -> None:
        self._hashes: dict[str, set[int]] = {"heldout": set(), "dev": set()}

    def add(self, split: str, document: Document) -> None:
        """Remember the paragraphs of a dev or held-out document."""
        self._hashes[split].update(number for number, _ in paragraphs(document.text))

    def find(self, split: str, document: Document) -> tuple[str, str] | None:
        """(split it stands in, paragraph) of the first leak in a train or dev document.

        Train is checked against dev and held-out, dev against held-out.
        """
        against = {"train": ("heldout", "dev"), "dev": ("heldout",)}.get(split, ())
        held = [(name, self._hashes[name]) for name in against if self._hashes[name]]
        if held:
            for number, line in paragraphs(document.text):
                for name, hashes in held:
                    if number in hashes:
                        return name, line
        return None


class Histogram:
    """Bytes of one split and language over bins of a group hash, to find a prefix of given size.

    Constant memory: the groups of the lowest hashes are kept until the limit, whole bins without
    knowing the groups; the bin at the limit is filled document by document.
    """

    def __init__(self) -> None:
        self._bytes: NDArray[np.int64] = np.zeros(_BINS, dtype=np.int64)

    @staticmethod
    def _bin(group: str) -> int:
        return group_hash(group, b"order") >> 48

    def add(self, group: str, size: int) -> None:
        """Count `size` bytes of a document of this group."""
        self._bytes[self._bin(group)] += size

    def prefix(self, limit: int) -> "Prefix":
        """The choice of about `limit` bytes (beyond it by part of one document at most)."""
        total = np.cumsum(self._bytes)
        border = int(np.searchsorted(total, limit, side="right"))
        before = int(total[border - 1]) if border else 0
        return Prefix(border, limit - before)


class Prefix:
    """Which documents a limit keeps; make a new one for each pass over the corpus."""

    def __init__(self, border: int, room: int) -> None:
        self._border, self._room = border, room

    def keeps(self, group: str, size: int) -> bool:
        """Is this document (the next in reading order) within the limit?"""
        place = Histogram._bin(group)
        if place != self._border or self._room <= 0:
            return place < self._border
        self._room -= size
        return True
