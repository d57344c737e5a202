"""Shards hold every document exactly, the same bytes whatever the parallelism, never too much."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xelm.corpus import building, sample, tokenizer
from xelm.corpus.documents import Document
from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.storage import manifest

_SCRIPTS = ["en", "ru", "zh", "hi", "ar", "ja"]


@pytest.mark.parametrize("split", ["train", "dev", "heldout"])
def test_documents_come_back(corpus: Path, small_tokenizer: Any, split: Any) -> None:
    shards = TokenShards(corpus, split)
    assert shards.languages == sorted(_SCRIPTS)
    for language in shards.languages:
        documents = list(sample.documents(split, [language]))
        texts = [document.text for document in documents]
        expected = tokenizer.encode(small_tokenizer, texts)
        assert [shards.document(language, i).tolist() for i in range(len(texts))] == expected
        assert shards.ids(language) == [document.id for document in documents]
        assert shards.sources(language) == ["reader"] * len(texts)
        assert shards.bytes(language).tolist() == [len(text.encode()) for text in texts]
        starts = np.cumsum([0, *(len(ids) + 1 for ids in expected)])
        assert shards.starts(language).tolist() == starts.tolist()
        assert (shards.tokens(language)[starts[1:] - 1] == shards.end_of_text).all()
        assert len(shards.tokens(language)) == starts[-1] == shards.stats[language]["tokens"]
        assert shards.stats[language]["bytes"] == shards.bytes(language).sum()


def test_raw_text_is_kept_where_it_is_scored(corpus: Path) -> None:
    for split in ("dev", "heldout"):
        texts = list(TokenShards(corpus, split).texts("hi"))
        assert texts == [document.text for document in sample.documents(split, ["hi"])]  # type: ignore[arg-type]
    with pytest.raises(UserError, match="not train"):
        next(TokenShards(corpus, "train").texts("hi"))


def test_dtype_and_fingerprints(corpus: Path) -> None:
    stats = json.loads((corpus / "stats.json").read_text())
    train, dev = TokenShards(corpus, "train"), TokenShards(corpus, "dev")
    assert train.dtype == np.uint16 and train.tokens("en").dtype == np.uint16
    assert train.fingerprint == stats["fingerprints"]["train"] != dev.fingerprint
    assert (train.vocabulary, train.context, train.end_of_text) == (600, 256, 0)
    manifest.verify(corpus)


def test_a_missing_split_or_language_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no split 'test'"):
        TokenShards(corpus, "test")
    with pytest.raises(UserError, match="no language 'xx'"):
        TokenShards(corpus, "dev").starts("xx")
    with pytest.raises(UserError, match=r"stats\.json"):
        TokenShards(tmp_path, "train")


def _many(copies: int) -> Iterator[tuple[str, Document]]:
    for copy in range(copies):
        for language in _SCRIPTS:
            for document in sample.documents("train", [language]):
                yield "train", Document(document.text, language, f"{copy}", document.group, "many")


def test_workers_change_nothing(
    small_tokenizer: Any, tmp_path: Path, same_files: Callable[[Path, Path], bool]
) -> None:
    for workers in (1, 2):
        building.build_pairs(_many(4), small_tokenizer, tmp_path / str(workers), workers=workers)
    assert same_files(tmp_path / "1", tmp_path / "2")


@pytest.mark.parametrize("workers", [1, 2])
def test_reading_never_runs_far_ahead_of_writing(
    small_tokenizer: Any, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_BATCH_BYTES", 1 << 13)
    read = written = ahead = 0

    def watched() -> Iterator[tuple[str, Document]]:
        nonlocal read, ahead
        for pair in _many(8):
            read += len(pair[1].text.encode())
            ahead = max(ahead, read - written)
            yield pair

    def progress(done: int) -> None:
        nonlocal written
        written = done

    building.build_pairs(
        watched(), small_tokenizer, tmp_path / "c", workers=workers, progress=progress
    )
    assert written == read > 2_000_000
    batches = len(_SCRIPTS) + (workers * 4 + 1 if workers > 1 else 1)
    limit = batches * 3 * (building._BATCH_BYTES + 1000)  # three bytes a character at most
    assert ahead < limit < read / 3


def test_wide_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    class Wide:
        """A tokenizer without a fast backend and with large ids."""

        eos_token_id, bos_token_id, name_or_path = 70_000, None, "wide"

        def __len__(self) -> int:
            return 70_001

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            assert not add_special_tokens
            return {"input_ids": [ord(character) for character in text]}

        def save_pretrained(self, folder: Path) -> None:
            folder.mkdir()
            (folder / "tokenizer.json").write_text("{}")

    documents = {"train": [Document("aж漢\U00010348", "und", "1", "1", "s")]}
    building.build(documents, Wide(), tmp_path / "c", workers=2)  # type: ignore[arg-type]
    shards = TokenShards(tmp_path / "c", "train")
    assert shards.dtype == np.uint32
    assert shards.tokens("und").tolist() == [97, 1078, 28450, 66376, 70_000]


def test_an_error_in_the_source_leaves_nothing(small_tokenizer: Any, tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, Document]]:
        yield from _many(2)
        raise UserError("x.jsonl:7: broken")

    with pytest.raises(UserError, match=r"x\.jsonl:7"):
        building.build_pairs(broken(), small_tokenizer, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
