"""One expert a language: the finest allocation there is, and the one without any choice."""

from collections.abc import Callable

from xelm.allocation.result import Allocation, by_groups
from xelm.allocation.settings import AllocationSettings
from xelm.corpus.shards import TokenShards


def allocate(
    shards: TokenShards, settings: AllocationSettings, say: Callable[[str], None]
) -> Allocation:
    """Every language's documents go to an expert of its own."""
    return Allocation(by_groups([[language] for language in shards.languages]))
