"""The relatives of a language, whose mean stands in for features that nobody has recorded.

Relatives are the languages of the narrowest family (Glottolog's, as URIEL has it) in which any has
enough features; of these, those in the same script if there are. A language without known family
has the languages of its script, which says little, and is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xelm.allocation.script_distance import likely_script
from xelm.allocation.typology_features import Features, families, syntax
from xelm.corpus import languages

ENOUGH = 20
"""A relative needs so many known features to count."""


@dataclass(frozen=True)
class Kin:
    """Languages that stand in together."""

    name: str
    """Family and script."""
    codes: tuple[str, ...]
    """ISO 639-3"""

    @property
    def features(self) -> Features:
        """Mean [features] of what they know, NaN where none does."""
        table = syntax()
        rows = table.values[[table.rows[code] for code in self.codes]]
        known = np.isfinite(rows)
        counts = known.sum(axis=0)
        means = np.where(known, rows, 0).sum(axis=0) / np.maximum(counts, 1)
        return np.where(counts > 0, means, np.nan)

    def __str__(self) -> str:
        shown = ", ".join(self.codes[:5]) + (", ..." if len(self.codes) > 5 else "")
        return f"the mean of {self.name} ({len(self.codes)}: {shown})"


def by_family(language: str, rows: Sequence[str]) -> Kin | None:
    """Relatives of a language, without the rows (ISO 639-3) that are itself."""
    family, kin = _closest(rows)
    script = likely_script(language)
    same = [code for code in kin if script and _script(code) == script]
    if same:
        return Kin(f"{family} in script {script}", tuple(same))
    return Kin(f"{family} in other scripts" if script else family, tuple(kin)) if kin else None


def by_script(language: str) -> Kin | None:
    """All languages of the script of a language."""
    script = likely_script(language)
    same = [code for code in _well_known() if script and _script(code) == script]
    return Kin(f"script {script}", tuple(same)) if same else None


def _closest(of: Sequence[str]) -> tuple[str, list[str]]:
    """The narrowest family in which others have features, and those languages."""
    rows, names, member = families()
    row = next((rows[code] for code in of if code in rows and member[rows[code]].any()), None)
    if row is None:
        return "", []
    own = np.flatnonzero(member[row])
    narrowest_first = own[np.argsort(member[:, own].sum(axis=0), kind="stable")]
    others = [code for code in _well_known() if code not in of]
    for family in narrowest_first:
        kin = [code for code in others if member[rows[code], family]]
        if kin:
            return names[family], kin
    return "", []


def _well_known() -> list[str]:
    table = syntax()
    return sorted(code for code in table.rows if table.known(code) >= ENOUGH)


def _script(code: str) -> str | None:
    return likely_script(code) if languages.is_known(code) else None
