"""What an allocation method returns: which expert gets which documents, and what it wants kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xelm.allocation.embedding import Embedding

Documents = Mapping[str, NDArray[np.int64] | None]
"""Language -> sorted document indices of the train shards; None is all of them."""


@dataclass(frozen=True)
class Allocation:
    """The outcome of a method."""

    experts: Mapping[str, Documents]
    """Expert -> its documents; together they cover every document once."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Put into allocation.json as it is: tree, notes, what was learnt."""
    save: Callable[[Path], None] | None = None
    """Writes the method's own files (tree, picture) into the allocation's folder."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """What the method measured of itself; joins what is measured of every allocation."""
    embedding: "Embedding | None" = None
    """The embedding the method clustered by; None: one is fitted, for routers."""
    centers: NDArray[np.float64] | None = None
    """One point [k, dims] of it for each expert; None: the mean of each language's documents."""


def expert_name(number: int, languages: Sequence[str]) -> str:
    """`en-es` for up to four languages, else `expert-3`."""
    return "-".join(languages) if len(languages) <= 4 else f"expert-{number}"


def by_groups(groups: Sequence[Sequence[str]]) -> dict[str, Documents]:
    """One expert a group of languages, each with all documents of its languages."""
    return {
        expert_name(number, group): dict.fromkeys(sorted(group))
        for number, group in enumerate(groups)
    }


WHOLE = 0.8
"""Clusters seldom cut at languages: one that holds this part of some languages' documents, which
make up this part of its own, is named by them."""


def by_labels(labels: Mapping[str, NDArray[np.int64]], k: int) -> dict[str, Documents]:
    """One expert a label 0..k-1; `labels` gives the label of every document, by language."""
    experts: dict[str, Documents] = {}
    for label in range(k):
        held = {
            language: np.flatnonzero(of == label)
            for language, of in labels.items()
            if np.any(of == label)
        }
        whole = [one for one in held if len(held[one]) >= WHOLE * len(labels[one])]
        inside = sum(len(held[one]) for one in whole)
        named = whole and inside >= WHOLE * sum(map(len, held.values()))
        experts[expert_name(label, sorted(whole)) if named else f"expert-{label}"] = held
    return experts
