"""The text of a new language as a small corpus: split by group, tokenised, its kin beside it.

The corpus of an addition holds the new language (train, dev, held-out) and, where there is text of
the donor's languages, their train split: from files, or linked from the corpus of the run that the
bundle came from. The bundle itself carries no text.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xelm.corpus import languages as codes
from xelm.corpus import readers, sample
from xelm.corpus.building import build_pairs
from xelm.corpus.documents import Document
from xelm.corpus.settings import SAMPLE
from xelm.corpus.splits import HeldBack, group_hash
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint

DEV_PART, HELDOUT_PART = 0.05, 0.1  # of the bytes, when the user gives no files of their own
_SPLITS: tuple[sample.Split, ...] = ("heldout", "dev", "train")


@dataclass(frozen=True)
class NewText:
    """Where the text of a new language is (files, folders or globs), and that of its donor.

    The one word `sample` as train text stands for the reader inside the package, with its splits.
    """

    language: str
    train: Sequence[str]
    dev: Sequence[str] | None = None
    heldout: Sequence[str] | None = None
    donor: Sequence[str] | None = None
    """Text of old languages to train on beside the new one."""

    def sizes(self) -> dict[str, int]:
        """Size of every input file, to know a repeated command by."""
        given = [self.train, self.dev or [], self.heldout or [], self.donor or []]
        wanted = [some for some in given if some and list(some) != [SAMPLE]]
        files = [path for patterns in wanted for path in readers.files(patterns)]
        return {str(path): path.stat().st_size for path in files}


def documents(patterns: Sequence[str], language: str) -> Iterator[Document]:
    """Documents of `language`; text without a language is taken to be in it.

    Raises:
        UserError: the files hold other languages only.
    """
    others, found = Counter[str](), False
    for document in readers.read(patterns):
        if document.language in (language, codes.UNKNOWN):
            found = True
            yield Document(document.text, language, document.id, document.group, document.source)
        else:
            others[document.language] += 1
    if not found:
        held = ", ".join(sorted(others)) or "no text at all"
        raise UserError(
            f"{' '.join(map(str, patterns))}: nothing in {language!r}, but {held}; "
            "give other files, or name the language they are in"
        )


def build(text: NewText, tokenizer: Any, folder: Path, *, context: int) -> dict[str, Any]:
    """Write (or find) the corpus of `text` at `folder`; returns its stats.

    stats.json says besides what was left out: `leaks` counts train documents that repeated a dev
    or held-out paragraph.
    """
    folder = Path(folder)
    if not folder.exists():
        extra: dict[str, Any] = {"leaks": {}}
        pairs = _without_leaks(_pairs(text), extra["leaks"])
        build_pairs(pairs, tokenizer, folder, context=context, extra=extra)
    stats: dict[str, Any] = atomic.read_json(folder / "stats.json")
    for split in _SPLITS:
        if text.language not in stats["splits"].get(split, {}):
            shutil.rmtree(folder)
            raise UserError(
                f"{text.language}: nothing is left of {split} once documents that repeat "
                "held-out paragraphs are dropped; give more text"
            )
    return stats


def _pairs(text: NewText) -> Iterator[tuple[str, Document]]:
    """(split, document), held-back text first, so that leaks show as train is read."""
    if list(text.train) == [SAMPLE]:
        yield from _sample(text)
    else:
        yield from _files(text)
    if text.donor:
        for document in readers.read(text.donor):
            if document.language not in (text.language, codes.UNKNOWN):
                yield "train", document


def _sample(text: NewText) -> Iterator[tuple[str, Document]]:
    if text.dev or text.heldout:
        raise UserError("--text sample: has its own splits; leave --dev and --heldout out")
    for split in _SPLITS:
        for document in sample.documents(split, [text.language]):
            yield split, document


def _files(text: NewText) -> Iterator[tuple[str, Document]]:
    own = {"heldout": text.heldout, "dev": text.dev}
    for split, patterns in own.items():
        if patterns:
            for document in documents(patterns, text.language):
                yield split, document
    split_of = _choose(text, [split for split, patterns in own.items() if not patterns])
    for split in _SPLITS:
        for document in documents(text.train, text.language):
            if split_of(document) == split:
                yield split, document


def _choose(text: NewText, wanted: Sequence[str]) -> Callable[[Document], str]:
    """Which split a document of the train files belongs to, by its group.

    Groups are taken in the order of the hash that splits corpora everywhere, so what is held out
    here would be held out there; whole groups until the part is reached, and one at the least.
    Where there are too few groups, each document is its own.
    """
    if not wanted:
        return lambda document: "train"
    by_group, by_document = Counter[str](), Counter[str]()
    for document in documents(text.train, text.language):
        size = len(document.text.encode("utf-8"))
        by_group[document.group] += size
        by_document[document.id] += size
    if len(by_group) > len(wanted):
        groups = _deal(by_group, wanted)
        return lambda document: groups[document.group]
    if len(by_document) <= len(wanted):
        raise UserError(
            f"{' '.join(map(str, text.train))}: {len(by_document)} document(s) cannot be split "
            f"into train, {' and '.join(wanted)}; separate paragraphs by blank lines, or give "
            "--dev and --heldout files"
        )
    names = _deal(by_document, wanted)
    return lambda document: names[document.id]


def _deal(sizes: Counter[str], wanted: Sequence[str]) -> dict[str, str]:
    ordered = sorted(sizes, key=lambda group: (group_hash(group, b"split"), group))
    total, chosen, place = sum(sizes.values()), dict[str, str](), 0
    for number, split in enumerate(wanted):
        part = HELDOUT_PART if split == "heldout" else DEV_PART
        reached, spare = 0, len(ordered) - (len(wanted) - number)
        while place < spare and (not reached or reached < part * total):
            chosen[ordered[place]] = split
            reached, place = reached + sizes[ordered[place]], place + 1
    return chosen | dict.fromkeys(ordered[place:], "train")


def _without_leaks(
    pairs: Iterator[tuple[str, Document]], dropped: dict[str, int]
) -> Iterator[tuple[str, Document]]:
    held_back, seen = HeldBack(), defaultdict[str, int](int)
    for split, document in pairs:
        if held_back.find(split, document) is not None:
            seen[document.language] += 1
            dropped.update(seen)
            continue
        if split != "train":
            held_back.add(split, document)
        yield split, document


def join(own: Path, run_corpus: Path | None, folder: Path) -> Path:
    """A corpus folder of `own` and, by symbolic links, the train text of `run_corpus`.

    Nothing is copied: this is a place to work in, never published. Languages that both hold are
    taken from `own`. Raises UserError when the tokenizers differ.
    """
    folder = Path(folder)
    if folder.exists():
        return folder
    if run_corpus is not None:
        require_same_tokenizer(own / "tokenizer", run_corpus / "tokenizer")
    atomic.remove_leftovers(folder.parent)
    with atomic.folder(folder) as inside:
        stats = atomic.read_json(Path(own) / "stats.json")
        kin = _train_of(run_corpus, set(stats["splits"]["train"]))
        for split, languages in stats["splits"].items():
            for language in languages:
                _link(Path(own, split, language), inside / split / language)
        for language in kin:
            assert run_corpus is not None
            _link(run_corpus / "train" / language, inside / "train" / language)
        _link(Path(own) / "tokenizer", inside / "tokenizer")
        stats["splits"]["train"] |= kin
        stats["fingerprints"]["train"] = fingerprint.of_value(
            {"own": stats["fingerprints"]["train"], "kin": _train_name(run_corpus)}
        )
        stats["fingerprint"] = fingerprint.of_value(stats["fingerprints"])
        atomic.write_json(inside / "stats.json", stats)
    return folder


def _train_of(corpus: Path | None, without: set[str]) -> dict[str, Any]:
    if corpus is None:
        return {}
    splits = atomic.read_json(corpus / "stats.json")["splits"]
    return {code: n for code, n in splits["train"].items() if code not in without}


def _train_name(corpus: Path | None) -> str | None:
    if corpus is None:
        return None
    return str(atomic.read_json(corpus / "stats.json")["fingerprints"]["train"])


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve(), target_is_directory=True)


def require_same_tokenizer(one: Path, other: Path) -> None:
    """UserError naming the file in which two tokenizer folders differ."""
    name = "tokenizer.json"
    if not (one / name).is_file() or not (other / name).is_file():
        return  # a tokenizer of another kind: the vocabulary check of training has to do
    if fingerprint.of_file(one / name) != fingerprint.of_file(other / name):
        raise UserError(
            f"{one / name}: differs from {other / name}; experts of one bundle share one tokenizer"
        )
