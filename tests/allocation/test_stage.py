"""The stage on real token shards of the reader: shares cover the corpus, and it is done once."""

from pathlib import Path

import numpy as np
import pytest

from xelm.allocation.settings import AllocationSettings
from xelm.allocation.stage import allocate, owners
from xelm.corpus.prepare import prepare
from xelm.corpus.settings import CorpusSettings
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError

LANGUAGES = ["en", "hi", "ru", "zh"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "corpus"
    settings = CorpusSettings(train="sample", languages=LANGUAGES, vocabulary=400, context=32)
    prepare(settings, folder, workers=1)
    return folder


@pytest.mark.parametrize("method", ["random", "language"])
def test_shares_cover_the_corpus_once(corpus: Path, tmp_path: Path, method: str) -> None:
    settings = AllocationSettings(method=method, k=3 if method == "random" else None)  # type: ignore[arg-type]
    value = allocate(settings, corpus, tmp_path / "a")
    shards = TokenShards(corpus, "train")
    shares = [Share.load(p, shards) for p in sorted((tmp_path / "a" / "shares").glob("*.json"))]
    assert len(shares) == value["k"] == (3 if method == "random" else 4)
    for language in LANGUAGES:
        every = np.concatenate([s.documents(language) for s in shares if language in s.languages])
        assert sorted(every) == list(range(shards.count(language)))
        tokens = sum(s.token_count(language) for s in shares if language in s.languages)
        assert tokens == len(shards.tokens(language))


def test_random_is_even_by_language_and_follows_its_seed(corpus: Path, tmp_path: Path) -> None:
    first = allocate(AllocationSettings(method="random", k=3), corpus, tmp_path / "a")
    other = allocate(AllocationSettings(method="random", k=3, seed=1), corpus, tmp_path / "b")
    again = allocate(AllocationSettings(method="random", k=3), corpus, tmp_path / "c")
    assert first == again
    assert first["experts"] != other["experts"]
    sizes = [about["documents"] for about in first["experts"].values()]
    assert max(sizes) - min(sizes) <= 1
    assert all(set(about["languages"]) == set(LANGUAGES) for about in first["experts"].values())


def test_it_is_done_once_and_other_settings_are_refused(corpus: Path, tmp_path: Path) -> None:
    settings = AllocationSettings(method="random", k=2)
    allocate(settings, corpus, tmp_path / "a")
    before = (tmp_path / "a" / "allocation.json").stat().st_mtime_ns
    allocate(settings, corpus, tmp_path / "a")
    assert (tmp_path / "a" / "allocation.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="k = 2, now it is 3"):
        allocate(AllocationSettings(method="random", k=3), corpus, tmp_path / "a")


def test_too_many_experts(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"5 experts for 4 languages \(en, hi, ru, zh\)"):
        allocate(AllocationSettings(method="typology", k=5), corpus, tmp_path / "a")
    with pytest.raises(UserError, match=r"k: 1000 experts for \d+ documents"):
        allocate(AllocationSettings(method="random", k=1000), corpus, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_setting_of_another_method_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="`terms` is no setting of the method typology"):
        AllocationSettings(method="typology", k=2, terms="words")
    with pytest.raises(ValueError, match="`k`"):
        AllocationSettings(method="random")


def test_the_owner_has_most_of_a_language() -> None:
    tokens = {"b": {"en": 5, "de": 5}, "a": {"en": 5, "de": 1}, "c": {"ru": 1}}
    assert owners(tokens) == {"de": "b", "en": "a", "ru": "c"}
