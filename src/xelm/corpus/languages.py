"""Language codes: one spelling per language, so that `eng`, `EN` and `en` are one stream.

Canonical is the shortest BCP-47 form with individual languages folded into their macro-language
(`cmn` -> `zh`, `swh` -> `sw`), because corpora label by macro-language and the typological tables
are fullest there. A region or script that was given is kept.
"""

import difflib
import unicodedata
from collections import Counter
from functools import lru_cache

from xelm.errors import UserError

UNKNOWN = "und"


@lru_cache(maxsize=4096)
def canonical(code: str) -> str:
    """The canonical form of a language code; UserError with the nearest known code if unknown."""
    import langcodes

    wanted = code.strip().replace("_", "-")
    try:
        if langcodes.tag_is_valid(wanted):
            return str(langcodes.standardize_tag(wanted, macro=True))
    except ValueError:
        pass
    near = _suggestion(wanted)
    hint = f"did you mean {near!r}?" if near else "use an ISO 639 code such as 'en'"
    raise UserError(f"language code {code!r}: unknown; {hint}")


def is_known(code: str) -> bool:
    """Would `canonical` accept it?"""
    try:
        canonical(code)
    except UserError:
        return False
    return True


def name(code: str) -> str:
    """English display name, e.g. `sw` -> `Swahili`; `und` -> `Unknown language`."""
    import langcodes

    return str(langcodes.Language.get(code).display_name())


def _suggestion(code: str) -> str | None:
    import langcodes
    from langcodes.data_dicts import LANGUAGE_ALPHA3

    try:
        return str(langcodes.find(code))  # a language name, in any language
    except LookupError:
        pass
    if len(code) == 2 and code.isalpha():  # a country's code: jp -> ja
        language = langcodes.Language.make(territory=code.upper()).maximize().language
        if language and language != "en":
            return str(language)
    names = {name(known).lower(): known for known in LANGUAGE_ALPHA3}
    close = difflib.get_close_matches(code.lower(), names, n=1, cutoff=0.75)
    if close:
        return str(names[close[0]])
    return next(iter(difflib.get_close_matches(code.lower()[:2], LANGUAGE_ALPHA3, 1, 0.5)), None)


def scripts(text: str) -> Counter[str]:
    """Letters per script (`Latin`, `Han`, `Devanagari`, ...); marks and digits are not counted.

    The script is read off the character's Unicode name, which the standard library has (it has no
    script property); Japanese text therefore counts as Han, Hiragana and Katakana.
    """
    counted = Counter[str]()
    for character, times in Counter(text).items():
        if character.isalpha():
            counted[_script(character)] += times
    return counted


_WIDTHS = {"FULLWIDTH", "HALFWIDTH"}


@lru_cache(maxsize=65536)
def _script(character: str) -> str:
    words = unicodedata.name(character, "UNKNOWN").split()
    word = words[1] if words[0] in _WIDTHS and len(words) > 1 else words[0]
    word = word.split("-")[0]
    return "Han" if word == "CJK" else word.capitalize()
