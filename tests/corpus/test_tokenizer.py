"""Every byte comes back, every script is served, and no text turns into a control token."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from xelm.corpus import sample, tokenizer
from xelm.corpus.documents import Document
from xelm.errors import UserError


def _document(text: str, language: str = "en", own: str = "1") -> Document:
    return Document(text, language, own, own, "test")


@pytest.mark.parametrize("language", ["en", "el", "ru", "ar", "ur", "hi", "ja", "ko", "zh", "tr"])
def test_reader_text_of_every_script_comes_back(small_tokenizer: Any, language: str) -> None:
    texts = list(sample.passages(language).values())
    encoded = tokenizer.encode(small_tokenizer, texts)
    assert [small_tokenizer.decode(ids) for ids in encoded] == texts


@given(st.text())
def test_any_text_comes_back(small_tokenizer: Any, text: str) -> None:
    [ids] = tokenizer.encode(small_tokenizer, [text])
    assert small_tokenizer.decode(ids) == text
    assert tokenizer.end_of_text(small_tokenizer) not in ids


def test_text_that_looks_like_a_special_token_is_text(small_tokenizer: Any) -> None:
    text = f"before{tokenizer.END_OF_TEXT}after"
    [ids] = tokenizer.encode(small_tokenizer, [text])
    assert 0 not in ids
    assert small_tokenizer.decode(ids) == text


def test_it_saves_and_loads_as_a_hugging_face_tokenizer(
    small_tokenizer: Any, tmp_path: Path
) -> None:
    small_tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == len(small_tokenizer) == 600
    assert (loaded.eos_token_id, loaded.bos_token_id, loaded.pad_token_id) == (0, 0, 0)
    text = sample.passages("hi")["river-otter"]
    assert tokenizer.encode(loaded, [text]) == tokenizer.encode(small_tokenizer, [text])
    assert loaded(text)["input_ids"] == tokenizer.encode(loaded, [text])[0]
    assert tokenizer.end_of_text(tokenizer.load(tmp_path)) == 0


def test_words_keep_their_combining_marks(small_tokenizer: Any) -> None:
    splitter = small_tokenizer.backend_tokenizer.pre_tokenizer
    words = [word for word, _ in splitter.pre_tokenize_str("हिन्दी की किताब")]
    assert len(words) == 3


@pytest.mark.parametrize("joiner", [" ", "\n", "", "  "])
def test_long_documents_are_cut_without_changing_tokens(
    small_tokenizer: Any, joiner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*sample.passages("en").values(), *sample.passages("zh").values()]
    text = joiner.join(texts).replace("\n", joiner)
    [whole] = tokenizer.encode(small_tokenizer, [text])
    monkeypatch.setattr(tokenizer, "_LONGEST_TEXT", 1000)
    [cut] = tokenizer.encode(small_tokenizer, [text])
    assert small_tokenizer.decode(cut) == text
    if joiner.strip(" ") == "" and joiner != "":
        latin = sum(map(len, sample.passages("en").values())) // 4
        assert cut[:latin] == whole[:latin]


def test_a_document_of_many_megabytes(small_tokenizer: Any) -> None:
    text = sample.passages("ru")["river-otter"] * 1500
    [ids] = tokenizer.encode(small_tokenizer, [text])
    assert len(text.encode()) > 1_500_000
    assert small_tokenizer.decode(ids) == text


def test_the_sample_is_balanced_deterministic_and_free_of_order() -> None:
    many = [_document(f"{i:03d} " + "x" * 96, "en", str(i)) for i in range(300)]
    few = [_document(f"{i:03d} " + "y" * 96, "sw", str(i)) for i in range(10)]
    texts = tokenizer.balanced_sample([*many, *few], 5_000)
    english = sum("x" in text for text in texts)
    swahili = sum("y" in text for text in texts)
    assert english == swahili == 50
    assert texts == tokenizer.balanced_sample([*reversed(few), *reversed(many)], 5_000)


def test_training_is_deterministic() -> None:
    first, second = (
        tokenizer.train(sample.documents("train", ["en", "hi"]), 400).get_vocab() for _ in "12"
    )
    assert first == second


def test_mistakes_are_named(tmp_path: Path, small_tokenizer: Any) -> None:
    with pytest.raises(UserError, match="no text"):
        tokenizer.train([], 400)
    with pytest.raises(UserError, match="below 257"):
        tokenizer.train([_document("x")], 100)
    with pytest.raises(UserError, match=str(tmp_path)):
        tokenizer.load(tmp_path)
    with pytest.raises(UserError, match="600 entries but the model only 599"):
        tokenizer.require_fit(small_tokenizer, 599, "some/seed")
    tokenizer.require_fit(small_tokenizer, 640, "some/seed")
