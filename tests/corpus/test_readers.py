"""What is in the files comes out, nothing else; every fault is named by file and line."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from xelm.corpus import readers
from xelm.corpus.documents import Document
from xelm.errors import UserError

_LETTER = {"text": "Guten Tag, wie geht es?", "lang": "deu", "id": 7, "group": "b", "source": "s"}


def _jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def test_fields_of_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "sw.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + _jsonl(_LETTER, {"text": "Habari"}, {"text": " \n"}) + b"\n")
    assert list(readers.read([path])) == [
        Document("Guten Tag, wie geht es?", "de", "7", "b", "s"),
        Document("Habari", "sw", "sw.jsonl:2", "sw.jsonl:2", "sw.jsonl"),
    ]


def test_language_field_has_a_second_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_jsonl({"text": "x", "language": "EN"}, {"text": "y"}))
    assert [d.language for d in readers.read([tmp_path])] == ["en", "und"]


def test_paragraphs_of_txt_are_documents(tmp_path: Path) -> None:
    path = tmp_path / "wiki.en.txt"
    path.write_bytes(b"One\r\ntwo \r\n\r\n \nthree\n\n\n")
    assert list(readers.read([path])) == [
        Document("One\ntwo ", "en", "wiki.en.txt:1", "wiki#0", "wiki.en.txt"),
        Document("three", "en", "wiki.en.txt:5", "wiki#0", "wiki.en.txt"),
    ]


def test_neighbouring_paragraphs_share_a_group(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("\n\n".join(f"p{i}" for i in range(25)))
    assert Counter(d.group for d in readers.read([tmp_path])) == {"#0": 10, "#1": 10, "#2": 5}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("en.txt", ("", "en")),
        ("wiki.eng.jsonl.zst", ("wiki", "en")),
        ("a.b.zh_Hant.txt.gz", ("a.b", "zh-Hant")),
        ("notes.txt", ("notes", "und")),
        ("my.corpus.txt", ("my.corpus", "und")),
    ],
)
def test_language_of_a_name(name: str, expected: tuple[str, str]) -> None:
    assert readers.language_of_name(Path(name)) == expected


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compression_changes_nothing(tmp_path: Path, suffix: str) -> None:
    data = _jsonl(*({"text": f"{i} ж漢", "lang": "ru"} for i in range(2000)))
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    half = len(_jsonl(*({"text": f"{i} ж漢", "lang": "ru"} for i in range(1000))))
    (tmp_path / f"x.jsonl{suffix}").write_bytes(pack(data[:half]) + pack(data[half:]))
    assert [d.text for d in readers.read([tmp_path])] == [f"{i} ж漢" for i in range(2000)]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damaged_compression_names_the_file(tmp_path: Path, suffix: str) -> None:
    pack = gzip.compress if suffix == ".gz" else zstandard.compress
    path = tmp_path / f"x.jsonl{suffix}"
    whole = pack(_jsonl(_LETTER, _LETTER))
    for data in (whole[:-5], whole[: len(whole) // 2], b"no such thing"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"x\.jsonl\{suffix}"):
            list(readers.read([path], skip_bad=True))


_BAD_LINES = [
    (b'{"text": "half', "broken JSON"),
    (b'{"text": "\xff"}', "invalid UTF-8"),
    (b'{"text": "\\ud800"}', "surrogate"),
    (b'{"lang": "en"}', "no field 'text'"),
    (b'{"text": 3}', "no field 'text'"),
    (b"[1]", "not a JSON object"),
    (b'{"text": "x", "lang": "german"}', "'german': unknown; did you mean 'de'"),
]


@pytest.mark.parametrize(("line", "words"), _BAD_LINES)
def test_a_bad_line_is_named_or_skipped_and_counted(
    tmp_path: Path, line: bytes, words: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(_jsonl(_LETTER) + line + b"\n" + _jsonl(_LETTER))
    with pytest.raises(UserError, match=rf"x\.jsonl:2: .*{words}"):
        list(readers.read([path]))
    bad: Counter[str] = Counter()
    assert len(list(readers.read([path], skip_bad=True, bad=bad))) == 2
    assert bad == {str(path): 1}


def test_invalid_utf8_in_txt(tmp_path: Path) -> None:
    path = tmp_path / "ru.txt"
    path.write_bytes("да\n".encode() + "нет\n".encode("cp1251") + b"ok\n")
    with pytest.raises(UserError, match=r"ru\.txt:2: invalid UTF-8"):
        list(readers.read([path]))
    bad: Counter[str] = Counter()
    assert [d.text for d in readers.read([path], skip_bad=True, bad=bad)] == ["да\nok"]
    assert bad.total() == 1


@pytest.mark.parametrize("pattern", ["nowhere", "nowhere/*.txt", "folder", "picture.png"])
def test_missing_paths_are_named(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(UserError, match=pattern.replace("*", r"\*")):
        list(readers.read([tmp_path / pattern]))


def test_files_come_sorted_and_once(tmp_path: Path) -> None:
    for name in ("b/de.txt", "a.en.txt", "b/c/fr.txt", "b/readme.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = readers.files([tmp_path / "**" / "*.txt", tmp_path, tmp_path / "a.en.txt"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "a.en.txt",
        "b/c/fr.txt",
        "b/de.txt",
    ]


def test_languages_filter(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        _jsonl({"text": "x", "lang": "en"}, {"text": "y", "lang": "fra"})
    )
    assert [d.text for d in readers.read([tmp_path], languages=["fr"])] == ["y"]


_FIELD = st.text(min_size=1).filter(lambda text: not text.isspace())


@given(st.lists(st.tuples(_FIELD, st.sampled_from(["en", "ja", "ar"]), _FIELD), max_size=8))
def test_any_text_survives_jsonl(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_bytes(_jsonl(*({"text": t, "lang": c, "group": g} for t, c, g in rows)))
    assert [(d.text, d.language, d.group) for d in readers.read([path])] == rows


_LINE = st.text(st.characters(exclude_categories=["Cs", "Zl", "Zp", "Cc"]), min_size=1).filter(
    lambda line: bool(line.strip()) and not line.startswith("\ufeff")
)


@given(
    st.lists(st.lists(_LINE, min_size=1, max_size=3), max_size=6), st.sampled_from(["\n", "\r\n"])
)
def test_any_paragraphs_survive_txt(
    tmp_path_factory: pytest.TempPathFactory, paragraphs: list[list[str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.txt"
    path.write_bytes((end * 2).join(end.join(lines) for lines in paragraphs).encode())
    assert [d.text for d in readers.read([path])] == ["\n".join(lines) for lines in paragraphs]
