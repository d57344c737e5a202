"""One spelling per language, and help for those who miss it."""

import pytest

from xelm.corpus import languages
from xelm.errors import UserError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("eng", "en"),
        ("EN", "en"),
        (" de ", "de"),
        ("zho", "zh"),
        ("cmn", "zh"),
        ("swh", "sw"),
        ("arb", "ar"),
        ("azj", "az"),
        ("iw", "he"),
        ("en_US", "en-US"),
        ("und", "und"),
    ],
)
def test_codes_take_one_form(given: str, expected: str) -> None:
    assert languages.canonical(given) == expected
    assert languages.canonical(expected) == expected


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("german", "de"),
        ("Deutsch", "de"),
        ("jp", "ja"),
        ("gr", "el"),
        ("swahilli", "sw"),
        ("xx", ""),
    ],
)
def test_an_unknown_code_suggests_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"{given!r}: unknown; .*{meant}"):
        languages.canonical(given)
    assert not languages.is_known(given)


def test_names_are_english() -> None:
    assert [languages.name(code) for code in ("sw", "zh")] == ["Swahili", "Chinese"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Straße 12!", {"Latin": 6}),
        ("Привет, ёж", {"Cyrillic": 8}),
        ("漢字とカナ", {"Han": 2, "Hiragana": 1, "Katakana": 2}),
        ("नमस्ते", {"Devanagari": 4}),
        ("سلام", {"Arabic": 4}),
        ("ＡＢ 한국", {"Latin": 2, "Hangul": 2}),
        ("", {}),
    ],
)
def test_scripts_of_letters(text: str, expected: dict[str, int]) -> None:
    assert languages.scripts(text) == expected
