"""Text files to documents, one at a time: the corpus is never in memory.

`.jsonl` has one document a line with the fields `text`, `lang` (or `language`) and optionally
`id`, `group`, `source`; `.txt` has one document per paragraph (blank line between), its language
in the file's name (`en.txt`, `wiki.en.txt`). Either may be compressed (`.gz`, `.zst`).
Every fault of the input is a UserError that names file and line.
"""

import glob
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xelm.corpus import languages as codes
from xelm.corpus.compressed import lines
from xelm.corpus.documents import Document
from xelm.errors import UserError

_KINDS = (".jsonl", ".txt")
_PACKINGS = ("", ".gz", ".zst")
# Neighbouring paragraphs of a .txt file mostly belong to one text, so they share a group.
_PARAGRAPHS_PER_GROUP = 10


class BadLine(UserError):
    """One line that `skip_bad` may skip."""


def read(
    patterns: Sequence[str | Path],
    *,
    skip_bad: bool = False,
    bad: Counter[str] | None = None,
    languages: Sequence[str] | None = None,
) -> Iterator[Document]:
    """Documents of all files of the patterns, in sorted order of file and line.

    `skip_bad` leaves bad lines out and counts them in `bad` by file. `languages` keeps only those
    (canonical codes). Raises UserError for a missing path, damaged compression or a bad line
    (broken JSON, invalid UTF-8, no text, unknown language code).
    """
    wanted = set(languages) if languages is not None else None
    for path in files(patterns):
        for document in _read_file(path, skip_bad, Counter() if bad is None else bad):
            if wanted is None or document.language in wanted:
                yield document


def files(patterns: Sequence[str | Path]) -> list[Path]:
    """The files that files, folders (searched below) and globs stand for, sorted, each once."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        for path in _expand(str(pattern)):
            found[path] = None
    return list(found)


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.is_file() and _kind(each))
        if not inside:
            raise UserError(f"{pattern}: no .jsonl or .txt file (.gz, .zst) in this folder")
        return inside
    if path.exists():
        if not _kind(path):
            raise UserError(f"{pattern}: not .jsonl or .txt (.gz, .zst); convert or rename it")
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    matches = [match for match in matches if match.is_file() and _kind(match)]
    if not matches:
        raise UserError(f"{pattern}: no such file or folder; check the path")
    return matches


def _kind(path: Path) -> str | None:
    for kind in _KINDS:
        if any(path.name.lower().endswith(kind + packing) for packing in _PACKINGS):
            return kind
    return None


def _bare_name(path: Path) -> str:
    name = path.name
    for suffix in (".gz", ".zst", *_KINDS):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name


def language_of_name(path: Path) -> tuple[str, str]:
    """(`stem`, language) of a file's name: `wiki.en.txt` -> ("wiki", "en"); `und` if not told."""
    stem, _, last = _bare_name(path).rpartition(".")
    if 2 <= len(last.replace("_", "-").split("-")[0]) <= 3 and codes.is_known(last):
        return stem, codes.canonical(last)
    return _bare_name(path), codes.UNKNOWN


def _read_file(path: Path, skip_bad: bool, bad: Counter[str]) -> Iterator[Document]:
    read_one = _jsonl if _kind(path) == ".jsonl" else _txt
    for found in read_one(path):
        if isinstance(found, Document):
            yield found
        elif skip_bad:
            bad[str(path)] += 1
        else:
            raise found


def _decode(line: bytes, path: Path, number: int) -> str | BadLine:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadLine(
            f"{path}:{number}: invalid UTF-8 (byte {error.start + 1} of the line); "
            "convert the file to UTF-8, or skip such lines with skip_bad"
        )


def _jsonl(path: Path) -> Iterator[Document | BadLine]:
    named = language_of_name(path)[1]
    for number, line in lines(path):
        if line.isspace():
            continue
        decoded = _decode(line, path, number)
        if isinstance(decoded, BadLine):
            yield decoded
            continue
        try:
            document = _from_fields(json.loads(decoded), path, number, named)
        except ValueError as error:
            wrong = error if isinstance(error, UserError) else f"broken JSON ({error})"
            yield BadLine(f"{path}:{number}: {wrong}; mend it, or skip such lines with skip_bad")
            continue
        if document.text and not document.text.isspace():
            yield document


def _from_fields(fields: Any, path: Path, number: int, named: str) -> Document:
    if not isinstance(fields, dict):
        raise UserError("not a JSON object with a field 'text'")
    text = fields.get("text")
    if not isinstance(text, str):
        raise UserError("no field 'text' that is a string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError("the text holds half a surrogate pair, which is not UTF-8") from None
    code = fields.get("lang") or fields.get("language")
    own = str(fields.get("id") or f"{path.name}:{number}")
    return Document(
        text=text,
        language=codes.canonical(str(code)) if code else named,
        id=own,
        group=str(fields.get("group") or own),
        source=str(fields.get("source") or path.name),
    )


def _txt(path: Path) -> Iterator[Document | BadLine]:
    stem, language = language_of_name(path)
    paragraph: list[str] = []
    count = start = 0
    for number, line in lines(path):
        decoded = _decode(line, path, number)
        if isinstance(decoded, BadLine):
            yield decoded
            continue
        if decoded.strip():
            start = start if paragraph else number
            paragraph.append(decoded.rstrip("\r\n"))
        elif paragraph:
            yield _paragraph(paragraph, path, stem, language, start, count)
            paragraph, count = [], count + 1
    if paragraph:
        yield _paragraph(paragraph, path, stem, language, start, count)


def _paragraph(
    rows: list[str], path: Path, stem: str, language: str, start: int, count: int
) -> Document:
    return Document(
        text="\n".join(rows),
        language=language,
        id=f"{path.name}:{start}",
        group=f"{stem}#{count // _PARAGRAPHS_PER_GROUP}",
        source=path.name,
    )
