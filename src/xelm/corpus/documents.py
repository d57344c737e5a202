"""The unit of everything upstream of tokens: one text with its language and where it came from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `group` is what must never be split between train and held-out (a book, a page)."""

    text: str
    language: str  # canonical code (`xelm.corpus.languages`), `und` when unknown
    id: str
    group: str
    source: str
