"""The `prepare` stage: the user's text becomes the run's corpus folder, once.

Three passes over the text, none of which holds it: survey (what is there, is it fit), tokenizer
sample (if one is trained), token shards. The folder appears whole; a killed prepare starts over
and makes the same bytes; a finished one is recognised by its settings and returns at once.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xelm.corpus import building, sample
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.documents import Document
from xelm.corpus.settings import SAMPLE, CorpusSettings
from xelm.corpus.survey import Report, Source, Survey, silent
from xelm.errors import UserError
from xelm.storage import atomic, disk, manifest
from xelm.storage.lock import Lock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTES_PER_WORKER = 16_000_000  # below this, starting another process costs more than it saves
# Bytes of text a tokenizer is trained on: in all, and per language. BPE training takes 25 bytes of
# memory per byte of spaced text and 100 per byte of Japanese (measured), so it must not grow.
_SAMPLE, _SMALLEST_SAMPLE, _LARGEST_SAMPLE = 16_000_000, 100_000, 2_000_000


def prepare(
    settings: CorpusSettings,
    folder: Path,
    *,
    workers: int | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Make (or recognise) the corpus folder of a run; returns its stats.

    `report(stage, bytes done, bytes in all or 0)` is called as it goes, with the stages `survey`,
    `tokenizer`, `shards`. Raises UserError for every fault of the input, and when the folder was
    made with other settings or from files that have changed since.
    """
    folder = Path(folder)
    if folder.exists():  # finished: no lock, so that a run on a read-only disk can be used
        return recognise(settings, folder)
    with Lock(folder.parent / f".{folder.name}.lock"):
        if folder.exists():
            return recognise(settings, folder)
        return _make(settings, folder, workers, report)


def recognise(settings: CorpusSettings, folder: Path) -> dict[str, Any]:
    """The stats of a finished corpus; UserError naming what differs from `settings`."""
    manifest.verify(folder, hashes=False)
    stats: dict[str, Any] = atomic.read_json(Path(folder) / "stats.json")
    now, then = settings.model_dump(mode="json"), stats["settings"]
    for key in sorted(now.keys() | then.keys()):
        if now.get(key) != then.get(key):
            raise UserError(
                f"{folder}: was prepared with corpus.{key} = {then.get(key)!r}, now it is "
                f"{now.get(key)!r}; choose another --out, or set it back"
            )
    for name, size in stats["inputs"].items():
        path = Path(name)
        if path.is_file() and path.stat().st_size != size:
            raise UserError(
                f"{name}: has changed since {folder} was prepared ({size} bytes then, "
                f"{path.stat().st_size} now); choose another --out"
            )
    return stats


def _make(
    settings: CorpusSettings, folder: Path, workers: int | None, report: Report
) -> dict[str, Any]:
    source = Source(settings)
    inputs = source.inputs()
    survey = Survey(source, report)
    total = survey.total_bytes()
    disk.require(folder, _needed_bytes(survey, settings), "the token shards")
    tokenizer = _tokenizer(settings, survey, total, report)
    extra: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "inputs": inputs,
        "bad_lines": survey.bad_lines,
        "left_out": {},
    }
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + total // _BYTES_PER_WORKER)
    return building.build_pairs(
        _checked(survey, extra["left_out"]),
        tokenizer,
        folder,
        workers=workers,
        context=settings.context,
        extra=extra,
        progress=lambda done: report("shards", done, total),
    )


def _tokenizer(
    settings: CorpusSettings, survey: Survey, total: int, report: Report
) -> "PreTrainedTokenizerBase":
    report("tokenizer", 0, total)
    if settings.tokenizer is not None:
        chosen = settings.tokenizer
        loaded = tokenizers.load(sample.seed_folder() if chosen == SAMPLE else chosen)
        tokenizers.end_of_text(loaded)
        return loaded
    each = max(_SMALLEST_SAMPLE, min(_LARGEST_SAMPLE, _SAMPLE // len(survey.languages)))
    text = _train_text(survey)
    return tokenizers.train(text, settings.vocabulary, sample_bytes_per_language=each)


def _train_text(survey: Survey) -> Iterator[Document]:
    return (document for split, document in survey.kept() if split == "train")


def _checked(survey: Survey, left_out: dict[str, Any]) -> Iterator[tuple[str, Document]]:
    """The kept pairs; UserError if dropping leaks left a language without text."""
    seen: set[tuple[str, str]] = set()
    for split, document in survey.kept(left_out):
        seen.add((split, document.language))
        yield split, document
    for language in survey.languages:
        for split in ("train", "dev", "heldout"):
            if (split, language) not in seen:
                raise UserError(
                    f"language {language!r}: nothing is left of {split} once the documents that "
                    "repeat held-out paragraphs are dropped; add text, or leave it out"
                )


def _needed_bytes(survey: Survey, settings: CorpusSettings) -> int:
    """Room for the shards: a token is 2 or 4 bytes and stands for 2 bytes of text or more."""
    per_byte = 1 if settings.tokenizer is None and settings.vocabulary <= 1 << 16 else 2
    raw = sum(sum(survey.bytes[split].values()) for split in ("dev", "heldout"))
    documents = sum(sum(each.values()) for each in survey.documents.values())
    return survey.total_bytes() * per_byte + raw + documents * 150 + 10_000_000
