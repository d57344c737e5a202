"""From a language code to its features: macro-language first, then itself, then its kin.

Rows of macro-languages (`ara`, `zho`, `swa`, `aze`) are fuller than those of their members (`arb`,
`cmn`, ...) nearly everywhere, and the published groups come out with them only. What is not plain
(a fuller member, few features, a stand-in) is told in `notes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xelm.allocation.script_distance import likely_script
from xelm.allocation.typology_features import Features, families, syntax
from xelm.corpus import languages
from xelm.errors import UserError

FEW = 30
"""Below so many known features of 103 a distance is shaky, and that is told."""
ENOUGH = 20
"""A relative needs so many to count in the mean of its family."""


@dataclass(frozen=True)
class Profile:
    """What is known of one language."""

    language: str
    features: Features
    source: str
    """ISO 639-3 code of the row, or words for a mean."""
    notes: tuple[str, ...] = ()


def profile(language: str, parents: Mapping[str, str] | None = None) -> Profile:
    """Features of a language given by any code of ISO 639-1, 639-3 or BCP-47.

    `parents` gives languages whose features stand in. UserError for unknown codes, for `und`, and
    where neither features, kin nor script are known.
    """
    parent = _by_hand(language, parents or {})
    if parent is not None:
        return parent
    if languages.canonical(language) == languages.UNKNOWN:
        raise UserError(
            "language `und`: typology needs to know the language of every document; "
            "label them, give a parent (und: en), or use method tfidf"
        )
    for code in _candidates(language):
        row = syntax().row(code)
        if row is not None:
            return Profile(language, row, code, tuple(_doubts(language, code)))
    return _mean_of_kin(language)


def _by_hand(language: str, parents: Mapping[str, str]) -> Profile | None:
    given = {languages.canonical(key): value for key, value in parents.items()}
    parent = given.get(languages.canonical(language))
    if parent is None:
        return None
    row = syntax().row(parent)  # an ISO 639-3 code of the table is meant as it is
    source = parent
    if row is None:
        found = profile(parent)
        row, source = found.features, found.source
    return Profile(language, row, source, (f"{language}: features of {parent}, given by hand",))


def _candidates(language: str) -> list[str]:
    """ISO 639-3 codes to look under: of the macro-language, of the canonical form, its own, and
    retired ones, which the table still has."""
    import langcodes
    from langcodes.data_dicts import LANGUAGE_REPLACEMENTS, MACROLANGUAGES

    own = langcodes.Language.get(language).language
    plain = langcodes.Language.get(languages.canonical(language)).language
    macro = MACROLANGUAGES.get(own) or MACROLANGUAGES.get(plain)
    retired = sorted(old for old, new in LANGUAGE_REPLACEMENTS.items() if new in (own, plain))
    return list(dict.fromkeys(_iso3(tag) for tag in (macro, plain, own, *retired) if tag))


def _iso3(tag: str) -> str:
    from langcodes.data_dicts import LANGUAGE_ALPHA3

    if tag == "fil":
        return "tgl"  # the table knows Filipino as Tagalog
    return "hbs" if tag == "sh" else str(LANGUAGE_ALPHA3.get(tag, tag))


def _doubts(language: str, code: str) -> list[str]:
    table = syntax()
    known, total = table.known(code), len(table.names)
    notes = []
    fuller = [member for member in _members(code) if table.known(member) > known]
    if fuller:
        best = max(fuller, key=lambda member: (table.known(member), member))
        notes.append(
            f"{language}: the row of {code} knows {known} of {total} features, its member {best} "
            f"{table.known(best)}; a parent by hand ({language}={best}) would use that"
        )
    if known < FEW:
        notes.append(f"{language}: only {known} of {total} features known, distances are shaky")
    return notes


def _members(code: str) -> list[str]:
    from langcodes.data_dicts import MACROLANGUAGES

    return sorted({_iso3(one) for one, macro in MACROLANGUAGES.items() if _iso3(macro) == code})


def _mean_of_kin(language: str) -> Profile:
    """The mean of the closest relatives with features, those in the same script if there are."""
    script = likely_script(language)
    family, kin = _closest_kin(_candidates(language))
    same = [code for code in kin if script and _script(code) == script]
    if same:
        return _mean(language, same, f"{family} in script {script}")
    if kin:
        return _mean(language, kin, f"{family}, in other scripts,")
    same = [code for code in _well_known() if script and _script(code) == script]
    if same:
        return _mean(language, same, f"script {script}")
    raise UserError(
        f"language {language!r}: no features, relatives or script known; "
        f"give a parent, e.g. {language}=en"
    )


def _mean(language: str, codes: Sequence[str], of: str) -> Profile:
    table = syntax()
    rows = table.values[[table.rows[code] for code in codes]]
    known = np.isfinite(rows)
    sums = np.where(known, rows, 0).sum(axis=0)
    counts = known.sum(axis=0)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    shown = ", ".join(codes[:5]) + (", ..." if len(codes) > 5 else "")
    note = f"{language}: not in the database; the mean of {of} stands in ({len(codes)}: {shown})"
    return Profile(language, mean, f"mean of {of}", (note,))


def _closest_kin(candidates: Sequence[str]) -> tuple[str, list[str]]:
    """The smallest family with languages that have features, and those languages."""
    rows, names, member = families()
    row = next((rows[code] for code in candidates if code in rows and member[rows[code]].any()), -1)
    if row < 0:
        return "", []
    of_row = np.flatnonzero(member[row])
    smallest_first = of_row[np.argsort(member[:, of_row].sum(axis=0), kind="stable")]
    well_known = _well_known()
    for column in smallest_first:
        kin = [code for code in well_known if member[rows[code], column]]
        if kin:
            return names[column], kin
    return "", []


def _well_known() -> list[str]:
    table = syntax()
    return sorted(code for code in table.rows if table.known(code) >= ENOUGH)


def _script(code: str) -> str | None:
    return likely_script(code) if languages.is_known(code) else None
