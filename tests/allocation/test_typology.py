"""The published typology to the letter, and typology as an allocation of real token shards."""

from pathlib import Path

import pytest

from xelm.allocation.settings import AllocationSettings
from xelm.allocation.stage import allocate
from xelm.allocation.typology import groups, nearest
from xelm.storage import atomic

CODES = "en es de el ja ko hi ur bg ru fr ar tr zh vi sw"
PUBLISHED = CODES.split()
GROUPS = {
    16: " / ".join(PUBLISHED),
    8: "en es / de el / ja ko / hi ur / bg ru / fr ar / tr zh / vi sw",
    4: "en es bg ru / ja ko tr zh / de el fr ar / hi ur vi sw",
    2: "en es bg ru de el fr ar / ja ko tr zh hi ur vi sw",
}
PAIRS = {
    "en es": 0.150,
    "ja ko": 0.190,
    "de el": 0.191,
    "hi ur": 0.241,
    "bg ru": 0.256,
    "fr ar": 0.291,
    "tr zh": 0.435,
    "vi sw": 0.537,
}
DONORS = {"he": ("ar", 0.218), "sv": ("en", 0.203), "pl": ("ru", 0.223), "az": ("tr", 0.233)}


@pytest.mark.parametrize("k", GROUPS)
def test_published_groups(k: int) -> None:
    found = groups(PUBLISHED, k)
    wanted = {frozenset(group.split()) for group in GROUPS[k].split(" / ")}
    assert {frozenset(group) for group in found.groups} == wanted
    assert found.notes == ()


@pytest.mark.parametrize("pair", PAIRS)
def test_published_distances(pair: str) -> None:
    found = groups(PUBLISHED, 8)
    assert round(found.distance(*pair.split()), 3) == PAIRS[pair]
    assert round(found.within(pair.split()), 3) == PAIRS[pair]


@pytest.mark.parametrize("language", DONORS)
def test_published_donors(language: str) -> None:
    donor, distance = nearest(language, PUBLISHED)[0]
    assert (donor, round(distance, 3)) == DONORS[language]


@pytest.mark.parametrize("codes", ["639-3 macro", "639-3 members", "BCP-47"])
def test_codes_of_any_kind_are_the_same_languages(codes: str) -> None:
    spelt = {
        "639-3 macro": "eng spa jpn kor ara swa zho aze",
        "639-3 members": "eng spa jpn kor arb swh cmn azj",
        "BCP-47": "en-GB es-419 ja-JP ko-KR ar-EG sw-TZ zh-Hant az-Latn-AZ",
    }[codes].split()
    plain = ["en", "es", "ja", "ko", "ar", "sw", "zh", "az"]
    back = dict(zip(spelt, plain, strict=True))
    for k in (2, 4):
        found = {frozenset(back[one] for one in group) for group in groups(spelt, k).groups}
        assert found == {frozenset(group) for group in groups(plain, k).groups}


def test_allocation_of_a_corpus(reader: Path, tmp_path: Path) -> None:
    value = allocate(AllocationSettings(method="typology", k=4), reader, tmp_path / "a")
    languages = ["ar", "bg", "de", "en", "hi", "ja", "ru", "zh"]
    assert {name: list(about["languages"]) for name, about in value["experts"].items()} == {
        "-".join(group): list(group) for group in groups(languages, 4).groups
    }
    assert value["typology"]["pairs"]["bg"]["ru"] == pytest.approx(0.256, abs=5e-4)
    assert (tmp_path / "a" / "tree.nwk").read_text().count(",") == len(languages) - 1
    assert atomic.read_json(tmp_path / "a" / "allocation.json") == value


def test_balanced_by_the_tokens_of_a_corpus(reader: Path, tmp_path: Path) -> None:
    settings = AllocationSettings(method="typology", k=3, pairing="balanced", limit="tokens")
    value = allocate(settings, reader, tmp_path / "a")
    held = [about["tokens"] for about in value["experts"].values()]
    assert max(held) <= 1.1 * sum(held) / 3
