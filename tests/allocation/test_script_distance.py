"""Scripts of languages: named in the code, else the likely one, else unknown and far."""

import pytest

from xelm.allocation.script_distance import script_distance, scripts_of


@pytest.mark.parametrize(
    ("code", "scripts"),
    [
        ("en", {"Latn"}),
        ("sr", {"Cyrl"}),
        ("sr-Latn", {"Latn"}),
        ("ja", {"Hani", "Hira", "Kana"}),
        ("zh", {"Hani"}),
        ("zh-Hant", {"Hani"}),
        ("cmn", {"Hani"}),
        ("arb", {"Arab"}),
        ("ko", {"Hang"}),
        ("tlh", set()),
    ],
)
def test_scripts(code: str, scripts: set[str]) -> None:
    assert scripts_of(code) == scripts


def test_distances() -> None:
    assert script_distance("en", "vi") == 0
    assert script_distance("hi", "ur") == 1
    assert script_distance("ja", "zh") == pytest.approx(2 / 3)
    assert script_distance("tlh", "en") == script_distance("en", "tlh") == 1
