"""The reader: short original texts, parallel in twenty languages, so that a demo needs no network.

`reader/<language>.txt` holds passages as `[id]` on a line, the text, and a blank line between.
Fixed ids are dev and held-out in every language; the text is CC0 (reader/LICENSE says so).
Four languages are the demo's newcomers: no seed of ours has seen them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from xelm.corpus.documents import Document
from xelm.errors import UserError

UNSEEN = ("az", "he", "pl", "sv")
DEV = ("lighthouse-keeper", "bread-oven", "lost-key", "rain-gutter", "museum-closed")
HELDOUT = (
    "river-otter",
    "letter-to-landlord",
    "lentil-soup",
    "way-to-station",
    "how-locks-work",
    "school-garden",
    "night-train",
    "two-friends-chess",
    "bridge-reopens",
    "why-leaves-turn",
    "grandmother-radio",
    "market-haggling",
    "bicycle-repair",
    "fog-harbour",
    "clay-pot",
)
_LANGUAGES = (
    *("ar", "bg", "de", "el", "en", "es", "fr", "hi"),
    *("ja", "ko", "ru", "sw", "tr", "ur", "vi", "zh"),
)
_HERE = Path(__file__).parent

Split = Literal["train", "dev", "heldout"]


def languages() -> list[str]:
    """The sixteen languages of the method's paper, sorted; `UNSEEN` are not among them."""
    return list(_LANGUAGES)


def split_of(passage: str) -> Split:
    """Which split a passage id belongs to, in every language."""
    if passage in HELDOUT:
        return "heldout"
    return "dev" if passage in DEV else "train"


def documents(split: Split, languages: Sequence[str] | None = None) -> Iterator[Document]:
    """The passages of a split, by language (default: the sixteen); id and group are the same."""
    for language in _LANGUAGES if languages is None else languages:
        for passage, text in passages(language).items():
            if split_of(passage) == split:
                yield Document(text, language, passage, passage, "reader")


def passages(language: str) -> dict[str, str]:
    """Passage id -> text of one language, in the order of the file."""
    path = _HERE / "reader" / f"{language}.txt"
    if not path.is_file():
        known = ", ".join([*_LANGUAGES, *UNSEEN])
        raise UserError(f"the sample has no language {language!r}; it has {known}")
    found: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            assert line[1:-1] not in found, f"{path}:{number}: {line} stands twice"
            current = found.setdefault(line[1:-1], [])
        elif line:
            current.append(line)
    return {passage: "\n".join(lines) for passage, lines in found.items()}


def seed_folder() -> Path:
    """The sample's small multilingual seed, a Hugging Face folder inside the package."""
    folder = _HERE / "seed"
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: this build of xelm carries no sample seed; train one")
    return folder
