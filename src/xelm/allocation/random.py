"""Documents at random: the control that must lose, because every expert still sees every language.

A document's expert depends on its language, index and the seed alone (a hash), then whole documents
are dealt so that every expert gets the same number of each language's, to within one.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xelm.allocation.result import Allocation, by_labels
from xelm.allocation.settings import AllocationSettings
from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.storage import fingerprint


def allocate(
    shards: TokenShards, settings: AllocationSettings, say: Callable[[str], None]
) -> Allocation:
    """Deal every language's documents to k experts."""
    assert settings.k is not None
    total = sum(shards.count(language) for language in shards.languages)
    if settings.k > total:
        raise UserError(f"k: {settings.k} experts for {total} documents; give a smaller k")
    labels: dict[str, NDArray[np.int64]] = {}
    dealt = 0  # goes on from language to language, so that experts' totals agree to within one
    for language in shards.languages:
        count = shards.count(language)
        labels[language] = (deal(language, count, settings.seed) + dealt) % settings.k
        dealt += count
    return Allocation(by_labels(labels, settings.k))


def deal(language: str, count: int, seed: int) -> NDArray[np.int64]:
    """Places 0..count-1 of a language's documents in the dealing, int64 [count]."""
    key = int(fingerprint.of_value([language, seed])[:16], 16)
    places: NDArray[np.int64] = np.random.Generator(np.random.Philox(key)).permutation(count)
    return places
