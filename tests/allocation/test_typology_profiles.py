"""Which features stand for a language: macro-language, itself, kin, script, or a parent by hand."""

from pathlib import Path

import numpy as np
import pytest

from xelm.allocation import typology_profiles
from xelm.allocation.typology_features import FeatureTable, families, syntax
from xelm.allocation.typology_profiles import profile
from xelm.errors import UserError


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("ar", "ara"),
        ("arb", "ara"),
        ("zh-Hant", "zho"),
        ("cmn", "zho"),
        ("swh", "swa"),
        ("azj", "aze"),
        ("pes", "fas"),
        ("hr", "hbs"),
        ("sh", "hbs"),
        ("nn", "nor"),
        ("fil", "tgl"),
        ("iw", "heb"),
        ("en-GB", "eng"),
        ("dwu", "duj"),  # the table still has the retired code
    ],
)
def test_the_row_of_a_code(code: str, row: str) -> None:
    assert profile(code).source == row


def test_the_table_is_the_published_one() -> None:
    table = syntax()
    assert len(table.names) == 103 and len(table.rows) > 7000
    known = table.values[np.isfinite(table.values)]
    assert known.min() == 0 and known.max() == 1
    assert table.row("azj") is None and table.row("xxx") is None
    assert [table.known(code) for code in ("ara", "arb", "zho", "cmn")] == [98, 66, 102, 94]


def test_a_script_of_the_same_name_does_not_hide_the_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lang2vec.py").write_text("raise RuntimeError")  # lang2vec installs one in bin/
    monkeypatch.syspath_prepend(tmp_path)
    syntax.cache_clear()
    assert syntax().known("ara") == 98


def test_kin_fill_the_gaps_of_few_features() -> None:
    found = profile("lld")  # Ladin: one feature known
    own = syntax().row("lld")
    assert own is not None
    known = np.isfinite(own)
    assert "only 1 of 103 features known; the mean of" in found.notes[0]
    assert "fills the gaps" in found.notes[0]
    assert (found.features[known] == own[known]).all()
    assert np.isfinite(found.features).sum() > 60
    assert "lld" not in found.notes[0].split("(")[1]


def test_few_features_without_kin_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typology_profiles, "by_family", lambda *_: None)
    assert profile("eo").notes == ("eo: only 26 of 103 features known, distances are shaky",)


def test_a_member_fuller_than_its_macro_language_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.full((2, 103), np.nan)
    values[0, :40], values[1, :60] = 1, 1
    table = FeatureTable(tuple(map(str, range(103))), {"zho": 0, "yue": 1}, values)
    monkeypatch.setattr(typology_profiles, "syntax", lambda: table)
    found = profile("zh")
    assert found.source == "zho"
    assert "zho knows 40 of 103 features, its member yue 60" in found.notes[0]
    assert "zh=yue" in found.notes[0]
    assert profile("zh", {"zh": "yue"}).source == "yue"


def test_kin_stand_in_for_a_language_without_features() -> None:
    found = profile("vec")
    assert (
        "mean of Northwestern Shifted Romance in script Latn (3: fra, hat, roh)" in found.notes[0]
    )
    codes, names, member = families()
    column = names.index("Northwestern Shifted Romance")
    assert all(member[codes[code], column] for code in ("vec", "fra", "hat", "roh"))
    rows = np.array([syntax().row(code) for code in ("fra", "hat", "roh")])
    wanted = np.nanmean(rows[:, np.isfinite(rows).any(axis=0)], axis=0)
    assert np.allclose(found.features[np.isfinite(found.features)], wanted)


def test_kin_in_the_same_script_come_first() -> None:
    assert "in script Cyrl" in profile("rue").notes[0]
    assert "in other scripts" in profile("iu").notes[0]  # Inuktitut syllabics: kin write Latin


def test_script_alone_when_there_is_no_kin() -> None:
    found = profile("qaa-Deva")  # a private code that names its script
    assert "the mean of script Deva (" in found.notes[0]


def test_nothing_known_needs_a_parent() -> None:
    with pytest.raises(UserError, match=r"give a parent, e\.g\. tlh=en"):
        profile("tlh")
    found = profile("tlh", {"tlh": "tr"})
    assert found.source == "tur" and found.notes == ("tlh: features of tr, given by hand",)
    assert "Romance" in profile("tlh", {"tlh": "vec"}).source
    assert profile("und", {"und": "en"}).source == "eng"


def test_a_parent_may_be_given_in_any_code() -> None:
    assert profile("pl", {"pol": "cs"}).source == "ces"
    with pytest.raises(UserError, match="klingonese"):
        profile("pl", {"pl": "klingonese"})
