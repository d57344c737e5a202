"""Which windows a step reads: a pure function of (order seed, share fingerprint, step).

A job consumes a fixed number of windows of each source (a share with its temperature). Languages
get exact quotas ~ size^alpha, spread over the job by a stateless permutation; within a language an
epoch is finished before the next begins, each in an order of its own. So a checkpoint needs to
hold a step number only, and `dense-matched` can read the windows of all experts of an allocation
in one global order and still consume exactly what they did.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from xelm.training.permutation import permute, permute_one


class ShareLike(Protocol):
    """What an order needs of `xelm.corpus.share.Share`."""

    languages: list[str]

    def window_count(self, language: str, context: int) -> int: ...


@dataclass(frozen=True)
class Source:
    """The windows a job takes from one share."""

    share: ShareLike
    fingerprint: str
    """Of the share as it is at home (a packed one is stored in another way)."""
    windows: int
    alpha: float
    order_seed: int


class Pick(NamedTuple):
    """One window: which source, which language of it, which window of that language's stream."""

    source: int
    language: str
    window: int


def quotas(sizes: Sequence[int], alpha: float, total: int) -> np.ndarray:
    """int64 counts that sum to `total`, proportional to sizes^alpha by largest remainder."""
    there = np.asarray(sizes, dtype=np.float64)
    weights = np.where(there > 0, there**alpha, 0.0)
    exact = weights / weights.sum() * total
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(-(exact - counts), kind="stable")
    counts[by_remainder[: total - int(counts.sum())]] += 1
    assert counts.sum() == total
    return counts


class _Interleaving:
    """Positions 0..n-1 dealt to groups of given sizes: (group, how many of it came before)."""

    def __init__(self, counts: np.ndarray, key: str) -> None:
        total = int(counts.sum())
        places = permute(np.arange(total), total, key)
        kind = np.uint8 if len(counts) < 256 else np.int32
        self.groups = np.searchsorted(np.cumsum(counts), places, side="right").astype(kind)
        self.ranks = np.empty(total, dtype=np.int32 if total < 2**31 else np.int64)
        by_group = np.argsort(self.groups, kind="stable")
        starts = np.cumsum(counts) - counts
        self.ranks[by_group] = np.arange(total) - np.repeat(starts, counts)


class _SourceOrder:
    """The order of one source's windows."""

    def __init__(self, source: Source, context: int) -> None:
        self.languages = list(source.share.languages)
        self.sizes = [source.share.window_count(code, context) for code in self.languages]
        self.counts = quotas(self.sizes, source.alpha, source.windows)
        self.key = f"{source.order_seed}/{source.fingerprint}"
        self.dealt = _Interleaving(self.counts, f"{self.key}/languages")

    def pick(self, position: int) -> tuple[str, int]:
        number = int(self.dealt.groups[position])
        language, size = self.languages[number], self.sizes[number]
        epoch, place = divmod(int(self.dealt.ranks[position]), size)
        return language, permute_one(place, size, f"{self.key}/{language}/{epoch}")


class Order:
    """All windows of a job, by position; step s of batch b reads positions s*b .. s*b+b-1."""

    def __init__(self, sources: Sequence[Source], context: int, order_seed: int) -> None:
        self._sources = [_SourceOrder(source, context) for source in sources]
        self.total = sum(source.windows for source in sources)
        """Windows in all; the last step of a job may hold fewer than a batch."""
        self._among: _Interleaving | None = None
        if len(sources) > 1:
            counts = np.array([source.windows for source in sources])
            self._among = _Interleaving(counts, f"{order_seed}/sources")

    def picks(self, start: int, stop: int) -> list[Pick]:
        """The windows at positions start .. stop-1 (cut at the total)."""
        return [self._pick(position) for position in range(start, min(stop, self.total))]

    def _pick(self, position: int) -> Pick:
        number = 0
        if self._among is not None:
            number = int(self._among.groups[position])
            position = int(self._among.ranks[position])
        language, index = self._sources[number].pick(position)
        return Pick(number, language, index)

    def windows_by_language(self) -> dict[str, int]:
        """Language -> windows consumed by the whole job."""
        return self._by_language(lambda source: source.counts.tolist())

    def epochs_by_language(self) -> dict[str, float]:
        """Language -> windows consumed over windows there are, in all sources together."""
        consumed = self.windows_by_language()
        there = self._by_language(lambda source: source.sizes)
        return {
            language: consumed[language] / there[language]
            for language in consumed
            if there[language]
        }

    def _by_language(self, counts: Callable[["_SourceOrder"], Sequence[int]]) -> dict[str, int]:
        sums: dict[str, int] = {}
        for source in self._sources:
            for language, count in zip(source.languages, counts(source), strict=True):
                sums[language] = sums.get(language, 0) + int(count)
        return dict(sorted(sums.items()))
