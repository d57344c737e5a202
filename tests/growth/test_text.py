"""The new language's text: split by group, labelled, nothing held out in train."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import CONTEXT, text, text_file

from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.growth.text import DEV_PART, HELDOUT_PART, NewText, _deal, build, documents, join
from xelm.storage import atomic


def rows(folder: Path, name: str, found: list[dict[str, Any]]) -> str:
    path = folder / f"{name}.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    return str(path)


class TestLanguage:
    def test_text_without_a_language_is_taken_to_be_in_it(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("jeden\n\ndwa", encoding="utf-8")
        assert [(d.text, d.language) for d in documents([str(path)], "pl")] == [
            ("jeden", "pl"),
            ("dwa", "pl"),
        ]

    def test_other_languages_of_a_file_are_left_out(self, tmp_path: Path) -> None:
        mixed = rows(tmp_path, "mixed", [{"text": "a", "lang": "de"}, {"text": "b", "lang": "pol"}])
        assert [d.text for d in documents([mixed], "pl")] == ["b"]

    def test_files_of_another_language_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="nothing in 'pl', but he"):
            list(documents([str(text_file(tmp_path, "he"))], "pl"))


class TestSplits:
    def test_a_text_file_becomes_three_splits(self, tmp_path: Path, pieces: Any) -> None:
        path = text_file(tmp_path, "pl", 60)
        stats = build(NewText("pl", [str(path)]), pieces, tmp_path / "corpus", context=CONTEXT)
        there = {split: found["pl"]["bytes"] for split, found in stats["splits"].items()}
        total = sum(there.values())
        assert there["heldout"] >= HELDOUT_PART * total and there["dev"] >= DEV_PART * total
        assert there["train"] > total / 2
        held = set(TokenShards(tmp_path / "corpus", "heldout").texts("pl"))
        assert held.isdisjoint(TokenShards(tmp_path / "corpus", "dev").texts("pl"))

    def test_own_files_win_and_leaks_are_dropped(self, tmp_path: Path, pieces: Any) -> None:
        train = [{"text": text("pl", f"x{n}"), "lang": "pl", "group": f"g{n}"} for n in range(9)]
        asked = NewText(
            "pl",
            [rows(tmp_path, "train", train)],
            heldout=[rows(tmp_path, "heldout", train[:2])],
            dev=[rows(tmp_path, "dev", [{"text": text("pl", "dev"), "lang": "pl"}])],
        )
        stats = build(asked, pieces, tmp_path / "corpus", context=CONTEXT)
        counts = {split: found["pl"]["documents"] for split, found in stats["splits"].items()}
        assert counts == {"train": 7, "dev": 1, "heldout": 2}
        assert stats["leaks"] == {"pl": 2}

    def test_donor_text_stands_beside(self, tmp_path: Path, pieces: Any) -> None:
        asked = NewText(
            "pl", [str(text_file(tmp_path, "pl"))], donor=[str(text_file(tmp_path, "ru"))]
        )
        stats = build(asked, pieces, tmp_path / "corpus", context=CONTEXT)
        assert set(stats["splits"]["train"]) == {"pl", "ru"}
        assert set(stats["splits"]["heldout"]) == {"pl"}

    def test_too_little_to_split(self, tmp_path: Path, pieces: Any) -> None:
        path = text_file(tmp_path, "pl", 2)
        with pytest.raises(UserError, match=r"2 document\(s\) cannot be split"):
            build(NewText("pl", [str(path)]), pieces, tmp_path / "corpus", context=CONTEXT)

    def test_one_text_repeated_leaves_nothing(self, tmp_path: Path, pieces: Any) -> None:
        path = tmp_path / "pl.txt"
        path.write_text("\n\n".join([text("pl", "same")] * 40), encoding="utf-8")
        with pytest.raises(UserError, match="nothing is left of"):
            build(NewText("pl", [str(path)]), pieces, tmp_path / "corpus", context=CONTEXT)
        assert not (tmp_path / "corpus").exists()


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(1, 10**6), min_size=3),
    st.sampled_from([["heldout"], ["dev"], ["heldout", "dev"]]),
)
def test_every_split_gets_whole_groups_and_its_part(
    sizes: dict[str, int], wanted: list[str]
) -> None:
    found = _deal(Counter(sizes), wanted)
    assert set(found) == set(sizes) and set(found.values()) == {*wanted, "train"}
    total = sum(sizes.values())
    for split in wanted:
        groups = [sizes[group] for group, where in found.items() if where == split]
        part = HELDOUT_PART if split == "heldout" else DEV_PART
        others = [group for group, where in found.items() if where == "train"]
        assert sum(groups) >= part * total or len(others) == 1 or len(sizes) <= 4


def test_join_refuses_another_tokenizer(run: Path, tmp_path: Path) -> None:
    from xelm.corpus import tokenizer

    others = tokenizer.train(documents([str(text_file(tmp_path, "pl"))], "pl"), 300)
    asked = NewText("pl", [str(tmp_path / "pl.txt")])
    build(asked, others, tmp_path / "text", context=CONTEXT)
    with pytest.raises(UserError, match=r"tokenizer\.json: differs from"):
        join(tmp_path / "text", run / "corpus", tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    alone = join(tmp_path / "text", None, tmp_path / "corpus")
    assert atomic.read_json(alone / "stats.json")["splits"]["train"].keys() == {"pl"}
