"""One cheap pass over all text before anything heavy: what is there, and is it fit to be used?

Every fault of the user's files is found here, before a tokenizer is trained or a model loaded.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from xelm.corpus import readers, sample
from xelm.corpus.documents import Document
from xelm.corpus.settings import SAMPLE, CorpusSettings
from xelm.corpus.splits import HeldBack, Histogram, Prefix, split_of
from xelm.errors import UserError

Report = Callable[[str, int, int], None]  # stage, bytes of text done, bytes in all (0: not known)
Pairs = Iterator[tuple[str, Document]]
_REPORT_EVERY = 4_000_000


def silent(stage: str, done: int, total: int) -> None:
    """A report that goes nowhere."""


class Source:
    """The documents a user's settings name, each with its split; may be read again and again."""

    def __init__(self, settings: CorpusSettings) -> None:
        self.settings = settings
        self.bad = Counter[str]()  # bad lines per file of the latest pass

    def pairs(self) -> Pairs:
        """(split, document): own held-out and dev first, so that leaks show as train is read."""
        self.bad = Counter()
        settings = self.settings
        for split, own in (("heldout", settings.heldout), ("dev", settings.dev)):
            if own is not None:
                yield from ((split, document) for document in self._read(split, own))
        for document in self._read("train", settings.train):
            yield self._split(document), document

    def _split(self, document: Document) -> str:
        settings = self.settings
        dev = 0.0 if settings.dev is not None else settings.dev_share
        heldout = 0.0 if settings.heldout is not None else settings.heldout_share
        return split_of(document.group, dev, heldout) if dev or heldout else "train"

    def _read(self, split: str, patterns: list[str] | str) -> Iterator[Document]:
        settings = self.settings
        if patterns == SAMPLE:
            assert split in ("train", "dev", "heldout")
            return sample.documents(split, settings.languages)  # type: ignore[arg-type]
        read = readers.read(
            list(patterns),
            skip_bad=settings.skip_bad,
            bad=self.bad,
            languages=settings.languages,
        )
        if settings.sources is None:
            return read
        kept = frozenset(settings.sources)
        return (document for document in read if document.source in kept)

    def inputs(self) -> dict[str, int]:
        """Size in bytes of every input file, to notice later that one has changed."""
        settings = self.settings
        named = [each for each in (settings.train, settings.dev, settings.heldout) if each]
        files = [path for each in named if each != SAMPLE for path in readers.files(list(each))]
        return {str(path): path.stat().st_size for path in files}

    def refuses(self, split: str) -> bool:
        """Is a leak from this split (dev, heldout) an error, or is the other document dropped?"""
        if self.settings.leaks == "auto":
            return getattr(self.settings, split) is not None
        return self.settings.leaks == "refuse"

    def surveyed_for_leaks(self) -> bool:
        """Has the survey found all leaks already? Yes, when it read all held-back text first."""
        own = self.settings.dev is not None and self.settings.heldout is not None
        return own and self.refuses("dev") and self.refuses("heldout")


class Survey:
    """Counts per split and language, the hashes of held-back paragraphs, and the limits."""

    def __init__(self, source: Source, report: Report) -> None:
        self.source = source
        self.held_back = HeldBack()
        self.documents: dict[str, Counter[str]] = defaultdict(Counter)
        self.bytes: dict[str, Counter[str]] = defaultdict(Counter)
        self._histograms: dict[tuple[str, str], Histogram] = {}
        self.limits = source.settings.max_bytes_per_language.model_dump()
        self._read(report)
        self.languages = self._languages()
        self._require_enough()
        self.bad_lines = dict(sorted(source.bad.items()))

    def _read(self, report: Report) -> None:
        check = any(self.source.refuses(split) for split in ("dev", "heldout"))
        done = reported = 0
        for split, document in self.source.pairs():
            size = len(document.text.encode("utf-8"))
            self.documents[split][document.language] += 1
            self.bytes[split][document.language] += size
            if self.limits[split] is not None:
                key = (split, document.language)
                self._histograms.setdefault(key, Histogram()).add(document.group, size)
            if split != "train":
                self.held_back.add(split, document)
            if check:
                self.leaks(split, document)
            done += size
            if done - reported >= _REPORT_EVERY:
                report("survey", done, 0)
                reported = done

    def leaks(self, split: str, document: Document) -> bool:
        """Must this document be dropped? Raises UserError where a leak is not tolerated."""
        found = self.held_back.find(split, document)
        if found is None:
            return False
        where, line = found
        if self.source.refuses(where):
            raise UserError(
                f"{document.source}, document {document.id} ({document.language}): {where} text "
                f"found in {split}: {line[:60]!r}; remove it, or set corpus.leaks: drop"
            )
        return True

    def _languages(self) -> list[str]:
        found = self.documents["train"]
        if not found:
            raise UserError(
                f"corpus.train: no text in {self.source.settings.train}"
                + (
                    f" for {self.source.settings.languages}"
                    if self.source.settings.languages
                    else ""
                )
                + "; check the files and the languages"
            )
        return self.source.settings.languages or sorted(set(found) | self._lost_to_our_split())

    def _lost_to_our_split(self) -> set[str]:
        """Languages whose few documents all fell into a split that we made of train."""
        settings = self.source.settings
        ours = {"dev": settings.dev is None, "heldout": settings.heldout is None}
        return {code for split, made in ours.items() if made for code in self.documents[split]}

    def _require_enough(self) -> None:
        for language in self.languages:
            for split in ("train", "dev", "heldout"):
                if not self.documents[split][language]:
                    raise UserError(_too_little(language, split, self.source.settings))
            if self.bytes["train"][language] <= self.source.settings.context:
                raise UserError(
                    f"language {language!r}: {self.bytes['train'][language]} bytes of train text "
                    "do not fill one window; add text, or leave it out of corpus.languages"
                )

    def total_bytes(self) -> int:
        """Raw bytes that will be tokenised, limits applied."""
        return sum(
            min(self.bytes[split][language], self.limits[split] or self.bytes[split][language])
            for split in self.bytes
            for language in self.languages
        )

    def kept(self, left_out: dict[str, Any] | None = None) -> Pairs:
        """The pairs that survive language choice, limits and the leak check; counts the others."""
        prefixes: dict[tuple[str, str], Prefix] = {
            key: histogram.prefix(self.limits[key[0]])
            for key, histogram in self._histograms.items()
        }
        wanted = set(self.languages)
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        check = not self.source.surveyed_for_leaks()
        for split, document in self.source.pairs():
            key = (split, document.language)
            if document.language not in wanted:
                counted["other_languages"][f"{split}/{document.language}"] += 1
            elif key in prefixes and not self._fits(prefixes[key], document):
                counted["over_limit"][f"{split}/{document.language}"] += 1
            elif check and self.leaks(split, document):
                counted["leaks"][f"{split}/{document.language}"] += 1
            else:
                yield split, document
        if left_out is not None:
            left_out.update(
                {reason: dict(sorted(each.items())) for reason, each in counted.items()}
            )

    @staticmethod
    def _fits(prefix: Prefix, document: Document) -> bool:
        return prefix.keeps(document.group, len(document.text.encode("utf-8")))


def _too_little(language: str, split: str, settings: CorpusSettings) -> str:
    if split == "train":
        return (
            f"language {language!r}: no train text; add some, or leave it out of corpus.languages"
        )
    if getattr(settings, split) is not None:
        return (
            f"language {language!r}: no text in the {split} files; add some, or leave it out of "
            "corpus.languages"
        )
    return (
        f"language {language!r}: too little text for its splits, no group fell to {split}; add "
        f"text, raise corpus.{split}_share, or leave it out of corpus.languages"
    )
