"""The allocation method `typology`: languages alike in syntax share an expert.

    groups(["en", "es", "ja", "ko"], 2).groups      # (("en", "es"), ("ja", "ko"))
    nearest("pl", ["en", "de", "ru"])[0]            # ("ru", 0.223): the donor of a new language

Why the features of macro-languages, and what the three methods are for:
docs/allocation/typology.md.
"""

from collections.abc import Callable
from pathlib import Path

from xelm.allocation.result import Allocation, by_groups
from xelm.allocation.settings import AllocationSettings
from xelm.allocation.typology_groups import Grouping, groups, nearest
from xelm.allocation.typology_tree import newick
from xelm.corpus.shards import TokenShards
from xelm.storage import atomic

__all__ = ["Grouping", "allocate", "groups", "nearest", "newick"]


def allocate(
    shards: TokenShards, settings: AllocationSettings, say: Callable[[str], None]
) -> Allocation:
    """One expert a group; all documents of a language stay together."""
    assert settings.k is not None
    tokens = {language: float(len(shards.tokens(language))) for language in shards.languages}
    grouping = groups(
        shards.languages,
        settings.k,
        settings.pairing,
        tokens if settings.limit == "tokens" else None,
        settings.script_weight,
        settings.slack,
        settings.parents,
    )
    for note in grouping.notes:
        say(note)

    def save(folder: Path) -> None:
        atomic.write_text(folder / "tree.nwk", newick(grouping))

    return Allocation(by_groups(grouping.groups), {"typology": grouping.as_json()}, save)
