"""How far apart two writing systems are: 1 - shared scripts / all scripts of the two languages.

Small models learn a new language best from one in the same letters, kin or not, so script can be
weighed into the distance of languages. Scripts come from the language code (`sr-Latn`) or, where
it names none, from the likely script of the language (CLDR).
"""

from functools import lru_cache

from xelm.corpus import languages

_PARTS = {
    "Jpan": frozenset({"Hani", "Hira", "Kana"}),
    "Kore": frozenset({"Hang"}),  # modern text has hardly any Han characters
    "Hans": frozenset({"Hani"}),
    "Hant": frozenset({"Hani"}),
}


@lru_cache(maxsize=4096)
def scripts_of(language: str) -> frozenset[str]:
    """ISO 15924 codes of the scripts a language is written in; empty when nobody knows."""
    script = likely_script(language)
    return _PARTS.get(script, frozenset({script})) if script else frozenset()


def likely_script(language: str) -> str | None:
    """The script named in the code, else the likely one, else None."""
    import langcodes
    from langcodes.data_dicts import LIKELY_SUBTAGS

    for code in (language, languages.canonical(language)):  # `arb` is likely what `ar` is
        tag = langcodes.Language.get(code)
        if tag.script:
            return str(tag.script)
        if tag.language in LIKELY_SUBTAGS:  # langcodes would call all others Latin
            return str(tag.maximize().script)
    return None


def script_distance(one: str, other: str) -> float:
    """0 for the same scripts, 1 for none in common or none known."""
    a, b = scripts_of(one), scripts_of(other)
    return 1 - len(a & b) / len(a | b) if a and b else 1.0
