"""From a language code to its features: macro-language first, then itself, then its kin.

Rows of macro-languages (`ara`, `zho`, `swa`, `aze`) are fuller than those of their members (`arb`,
`cmn`, ...) nearly everywhere, and the published groups come out with them only. What is not plain
(a fuller member, few features, a stand-in) is told in `notes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xelm.allocation.typology_features import Features, syntax
from xelm.allocation.typology_kin import by_family, by_script
from xelm.corpus import languages
from xelm.errors import UserError

FEW = 30
"""With fewer features known of 103, kin fill the gaps."""


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
    candidates = _candidates(language)
    for code in candidates:
        row = syntax().row(code)
        if row is not None:
            return _filled(Profile(language, row, code, _fuller_member(language, code)), candidates)
    kin = by_family(language, candidates) or by_script(language)
    if kin is None:
        raise UserError(
            f"language {language!r}: no features, relatives or script known; "
            f"give a parent, e.g. {language}=en"
        )
    note = f"{language}: not in the database; {kin} stands in"
    return Profile(language, kin.features, kin.name, (note,))


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


def _filled(found: Profile, candidates: Sequence[str]) -> Profile:
    """The profile with the gaps filled by kin where few features are known, and that told."""
    known, total = int(np.isfinite(found.features).sum()), len(found.features)
    if known >= FEW:
        return found
    told = f"{found.language}: only {known} of {total} features known"
    kin = by_family(found.language, candidates)
    if kin is None:
        return replace(found, notes=(*found.notes, f"{told}, distances are shaky"))
    return replace(
        found,
        features=np.where(np.isfinite(found.features), found.features, kin.features),
        source=f"{found.source} and {kin.name}",
        notes=(*found.notes, f"{told}; {kin} fills the gaps"),
    )


def _fuller_member(language: str, code: str) -> tuple[str, ...]:
    """A note if a member of the macro-language has more features."""
    table = syntax()
    known, total = table.known(code), len(table.names)
    fuller = [member for member in _members(code) if table.known(member) > known]
    if not fuller:
        return ()
    best = max(fuller, key=lambda member: (table.known(member), member))
    return (
        f"{language}: the row of {code} knows {known} of {total} features, its member {best} "
        f"{table.known(best)}; a parent by hand ({language}={best}) would use that",
    )


def _members(code: str) -> list[str]:
    from langcodes.data_dicts import MACROLANGUAGES

    return sorted({_iso3(one) for one, macro in MACROLANGUAGES.items() if _iso3(macro) == code})
