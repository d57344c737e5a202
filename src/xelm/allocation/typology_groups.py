"""Languages in groups, and a language's nearest: the answers of typology, without any corpus.

Distance is one minus the cosine of syntactic features with unknown counted as zero: the norm of a
language is over all that it knows itself, the product over what both know (arXiv 2401.10440, as
released). It is mixed with script distance by `script_weight`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from xelm.allocation.script_distance import script_distance, scripts_of
from xelm.allocation.typology_balanced import Limits, balanced, by_languages, by_tokens
from xelm.allocation.typology_linkage import Distances, Merge, average, cut, pairing
from xelm.allocation.typology_profiles import Profile, profile
from xelm.corpus.languages import canonical
from xelm.errors import UserError

Method = Literal["published", "average", "balanced"]
METHODS: tuple[Method, ...] = ("published", "average", "balanced")


@dataclass(frozen=True)
class Grouping:
    """Languages in k groups, and the tree they were cut from."""

    languages: tuple[str, ...]
    """Sorted; rows of `distances`, leaves 0..n-1 of `merges`."""
    groups: tuple[tuple[str, ...], ...]
    method: Method
    distances: Distances
    """[n, n]"""
    merges: tuple[Merge, ...]
    """n - 1 of them; merge t makes cluster n + t. The groups are the first n - k of them."""
    notes: tuple[str, ...]

    def distance(self, one: str, other: str) -> float:
        """Of two of the languages."""
        place = self.languages.index
        return float(self.distances[place(one), place(other)])

    def within(self, group: Sequence[str]) -> float:
        """Mean distance of the pairs of a group; 0 for a language alone."""
        pairs = [self.distance(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
        return float(np.mean(pairs)) if pairs else 0.0

    def as_json(self) -> dict[str, Any]:
        """`k`, `groups`, the mean `distances` inside each, those of all `pairs`, and `notes`."""
        names = self.languages
        return {
            "k": len(self.groups),
            "method": self.method,
            "groups": [list(group) for group in self.groups],
            "distances": [round(self.within(group), 6) for group in self.groups],
            "pairs": {
                one: {two: round(self.distance(one, two), 6) for two in names if two != one}
                for one in names
            },
            "notes": list(self.notes),
        }


def groups(
    languages: Sequence[str],
    k: int,
    method: Method = "published",
    tokens: Mapping[str, float] | None = None,
    script_weight: float = 0.0,
    slack: float = 0.1,
    parents: Mapping[str, str] | None = None,
) -> Grouping:
    """Put languages (any codes) into k groups; the same whatever their order.

    `tokens` and `slack` matter to `balanced`: a group then holds at most (1 + slack) / k of all
    tokens, else n / k languages to within one. UserError for unknown or repeated languages, or a k
    outside 1..n.
    """
    ordered = _checked(languages, k, method)
    distances, notes = measure(ordered, script_weight, parents)
    if method == "balanced":
        merges, more = balanced(distances, k, _limits(ordered, k, tokens, slack))
        notes += more
    else:
        merges = pairing(distances) if method == "published" else average(distances)
    found = cut(len(ordered), merges, k)
    return Grouping(
        languages=tuple(ordered),
        groups=tuple(tuple(ordered[i] for i in group) for group in found),
        method=method,
        distances=distances,
        merges=tuple(merges),
        notes=tuple(notes),
    )


def nearest(
    language: str,
    seen: Sequence[str],
    script_weight: float = 0.0,
    parents: Mapping[str, str] | None = None,
) -> list[tuple[str, float]]:
    """The seen languages with their distances, nearest first: the first is the donor."""
    others = [code for code in dict.fromkeys(seen) if canonical(code) != canonical(language)]
    if not others:
        raise UserError(f"nearest to {language}: give at least one other language")
    distances, _ = measure([language, *others], script_weight, parents)
    return sorted(
        zip(others, distances[0, 1:].tolist(), strict=True), key=lambda pair: (pair[1], pair[0])
    )


def measure(
    languages: Sequence[str], script_weight: float = 0.0, parents: Mapping[str, str] | None = None
) -> tuple[Distances, list[str]]:
    """Distances [n, n] of languages, and what is to be told about them."""
    if not 0 <= script_weight <= 1:
        raise UserError(f"script_weight {script_weight}: must be between 0 and 1")
    profiles = [profile(language, parents) for language in languages]
    notes = [note for one in profiles for note in one.notes] + _twins(profiles)
    distances = _syntactic(profiles)
    if script_weight:
        scripts = [[script_distance(one, other) for other in languages] for one in languages]
        distances = (1 - script_weight) * distances + script_weight * np.asarray(scripts)
        np.fill_diagonal(distances, 0.0)
        notes += [f"{one}: script unknown" for one in languages if not scripts_of(one)]
    return distances, notes


def _checked(languages: Sequence[str], k: int, method: str) -> list[str]:
    if method not in METHODS:
        raise UserError(f"method {method!r}: must be one of {', '.join(METHODS)}")
    once: dict[str, str] = {}
    for language in languages:
        other = once.setdefault(canonical(language), language)
        if other != language:
            raise UserError(f"{other} and {language} are one language; give it once")
    if not 1 <= k <= len(once):
        raise UserError(f"k = {k}: must be between 1 and the number of languages, {len(once)}")
    return sorted(once.values())


def _limits(
    languages: Sequence[str], k: int, tokens: Mapping[str, float] | None, slack: float
) -> Limits:
    if tokens is None:
        return by_languages(len(languages), k)
    if slack < 0:
        raise UserError(f"slack {slack}: must not be negative")
    known = {canonical(language): count for language, count in tokens.items()}
    missing = [language for language in languages if canonical(language) not in known]
    if missing:
        raise UserError(f"tokens: none given for {', '.join(missing)}; give them for each language")
    return by_tokens([known[canonical(language)] for language in languages], k, slack)


def _syntactic(profiles: Sequence[Profile]) -> Distances:
    values = np.stack([np.nan_to_num(one.features) for one in profiles])
    norms = np.linalg.norm(values, axis=1)
    unit = values / np.where(norms > 0, norms, 1)[:, None]
    distances: Distances = np.clip(1 - unit @ unit.T, 0, 1)
    distances = (distances + distances.T) / 2  # equal to the last bit, whatever the BLAS did
    distances[distances < 1e-12] = 0.0  # a language to itself, or to one of the same row
    return distances


def _twins(profiles: Sequence[Profile]) -> list[str]:
    """Languages that share a row look identical: told, as it is no finding."""
    by_source: dict[str, list[str]] = {}
    for one in profiles:
        by_source.setdefault(one.source, []).append(one.language)
    return [
        f"{', '.join(twins)}: one row of features ({source}), so their distance is 0; a parent by "
        f"hand ({twins[0]}=ISO 639-3 code) sets them apart"
        for source, twins in by_source.items()
        if len(twins) > 1
    ]
