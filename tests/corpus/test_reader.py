"""The reader is what it claims: parallel, in the right languages, varied, nothing copied about."""

import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from xelm.corpus import languages, sample
from xelm.errors import UserError

ALL = [*sample.languages(), *sample.UNSEEN]
UNSPACED = ("ja", "zh")  # written without spaces: characters stand in for words
_FOLDER = Path(sample.__file__).parent / "reader"
_SENTENCE_END = re.compile(r"(?<=[.!?…;։۔؟।॥])\s+|(?<=[。！？])")
_SCRIPTS = {
    "bg": {"Cyrillic"},
    "ru": {"Cyrillic"},
    "ar": {"Arabic"},
    "ur": {"Arabic"},
    "el": {"Greek"},
    "he": {"Hebrew"},
    "hi": {"Devanagari"},
    "ja": {"Han", "Hiragana", "Katakana"},
    "ko": {"Hangul"},
    "zh": {"Han"},
}


@cache
def _words(language: str, text: str) -> tuple[str, ...]:
    """Lower-cased words (with their combining marks), or letters where words are not separated."""
    if language in UNSPACED:
        return tuple(character for character in text if character.isalpha())
    bare = (word.strip("—–-…।۔،؛؟.,;:!?\"'()[]«»„“”‘’‹›׳״") for word in text.lower().split())
    return tuple(word for word in bare if any(character.isalpha() for character in word))


def _sentences(text: str) -> list[str]:
    parts = [part.strip() for line in text.split("\n") for part in _SENTENCE_END.split(line)]
    return [part for part in parts if sum(map(str.isalpha, part)) >= 8]


def test_every_language_has_every_id() -> None:
    ids = set(sample.passages("en"))
    assert len(ids) >= 60
    assert ids >= {*sample.DEV, *sample.HELDOUT}
    assert (len(sample.DEV), len(sample.HELDOUT)) == (5, 15)
    for language in ALL:
        assert set(sample.passages(language)) == ids, language


def test_splits_are_by_id_and_disjoint() -> None:
    for split, expected in (("dev", sample.DEV), ("heldout", sample.HELDOUT)):
        found = defaultdict(set)
        for document in sample.documents(split, ALL):  # type: ignore[arg-type]
            found[document.language].add(document.id)
        assert dict(found) == {language: set(expected) for language in ALL}
    train = {document.id for document in sample.documents("train")}
    assert len(train) >= 40 and not train & {*sample.DEV, *sample.HELDOUT}
    assert {d.language for d in sample.documents("train")} == set(sample.languages())
    assert len(sample.languages()) == 16 and not set(sample.UNSEEN) & set(sample.languages())


def test_an_absent_language_is_named() -> None:
    with pytest.raises(UserError, match="no language 'th'"):
        list(sample.documents("train", ["th"]))


def test_files_are_small_plain_utf8() -> None:
    paths = sorted(_FOLDER.glob("*.txt"))
    assert [path.stem for path in paths] == sorted(ALL)
    assert sum(path.stat().st_size for path in paths) < 2_000_000
    for path in paths:
        text = path.read_bytes().decode("utf-8")
        for wrong in ("\ufeff", "\ufffd", "\r", "\t", "\u200b"):
            assert wrong not in text, f"{path.name}: holds {wrong!r}"


@pytest.mark.parametrize("language", ALL)
def test_passages_are_in_their_script(language: str) -> None:
    for passage, text in sample.passages(language).items():
        counts = languages.scripts(text)
        own = sum(counts[script] for script in _SCRIPTS.get(language, {"Latin"}))
        assert own >= 0.97 * counts.total(), (language, passage, counts)


@pytest.mark.parametrize("language", ALL)
def test_passages_are_of_a_length(language: str) -> None:
    # 60 to 120 words; Vietnamese writes syllables apart, Japanese and Chinese nothing
    for passage, text in sample.passages(language).items():
        count = len(_words(language, text))
        low, high = {"ja": (200, 350), "zh": (150, 250), "vi": (90, 160)}.get(language, (60, 120))
        assert low <= count <= high, f"{language} {passage}: {count}"


@pytest.mark.parametrize("language", ALL)
def test_no_translation_is_cut_short(language: str) -> None:
    """A passage's length against English stays near its language's usual ratio."""
    own, english = sample.passages(language), sample.passages("en")
    ratios = {passage: len(own[passage]) / len(english[passage]) for passage in own}
    usual = sorted(ratios.values())[len(ratios) // 2]
    odd = {p: round(r / usual, 2) for p, r in ratios.items() if not 0.75 < r / usual < 1.33}
    assert not odd, f"{language}: {odd} times the usual length"


@pytest.mark.parametrize("language", ALL)
def test_no_sentence_stands_in_two_passages(language: str) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for passage, text in sample.passages(language).items():
        for sentence in _sentences(text):
            seen[sentence.lower()].add(passage)
    shared = {sentence: where for sentence, where in seen.items() if len(where) > 1}
    assert not shared


@pytest.mark.parametrize("language", ALL)
def test_no_five_words_stand_in_more_than_two_passages(language: str) -> None:
    size = 10 if language in UNSPACED else 5  # five words of Chinese or Japanese: ten characters
    counts: Counter[tuple[str, ...]] = Counter()
    for text in sample.passages(language).values():
        words = _words(language, text)
        counts.update({words[i : i + size] for i in range(len(words) - size + 1)})
    assert not {" ".join(gram): n for gram, n in counts.items() if n > 2}


@pytest.mark.parametrize("language", ALL)
def test_the_vocabulary_is_rich(language: str) -> None:
    distinct = {w for text in sample.passages(language).values() for w in _words(language, text)}
    floor = 600 if language in UNSPACED else 1500
    assert len(distinct) >= floor, f"{language}: {len(distinct)}"


def test_language_identification_agrees() -> None:
    """An independent identifier (lingua, all its languages) on every passage; >= 99 % agree."""
    lingua = pytest.importorskip("lingua")
    detector = lingua.LanguageDetectorBuilder.from_all_languages().build()
    wrong = []
    total = 0
    for language in ALL:
        for passage, text in sample.passages(language).items():
            found = detector.detect_language_of(text)
            code = found.iso_code_639_1.name.lower() if found else "none"
            total += 1
            if code != language:
                wrong.append(f"{language}/{passage} -> {code}")
    assert len(wrong) <= 0.01 * total, f"{len(wrong)} of {total}: {', '.join(wrong)}"
