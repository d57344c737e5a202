"""Windows of a share equal those of the plainly concatenated documents."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError

LANGUAGE = "zh"


def _concatenated(shards: TokenShards, indices: list[int]) -> list[int]:
    stream: list[int] = []
    for index in indices:
        stream.extend(shards.document(LANGUAGE, index).tolist())
        stream.append(shards.end_of_text)
    return stream


@settings(deadline=None)
@given(st.sets(st.integers(0, 44), max_size=45), st.integers(8, 3000))
def test_windows_equal_a_plain_concatenation(
    train_shards: TokenShards, chosen: set[int], context: int
) -> None:
    indices = sorted(chosen)
    stream = _concatenated(train_shards, indices)
    share = Share.of(train_shards, {LANGUAGE: np.array(indices, dtype=np.int64)})
    assert share.token_count(LANGUAGE) == len(stream)
    expected = max(1, (len(stream) - 1) // context) if stream else 0
    assert share.window_count(LANGUAGE, context) == expected
    for index in range(min(expected, 50)):
        window = share.window(LANGUAGE, index, context)
        wanted = [stream[(index * context + i) % len(stream)] for i in range(context + 1)]
        assert window.dtype == np.int64 and window.tolist() == wanted


def test_everything_is_all_documents(train_shards: TokenShards) -> None:
    share = Share.everything(train_shards)
    assert share.languages == train_shards.languages
    every = np.arange(train_shards.count(LANGUAGE))
    spelled = Share.of(train_shards, {**dict.fromkeys(train_shards.languages), LANGUAGE: every})
    assert spelled.fingerprint == share.fingerprint
    assert (share.documents(LANGUAGE) == every).all()


def test_fingerprints_tell_shares_apart(train_shards: TokenShards) -> None:
    shares = [
        Share.of(train_shards, {LANGUAGE: None}),
        Share.of(train_shards, {"en": None}),
        Share.of(train_shards, {LANGUAGE: np.array([0, 2])}),
        Share.of(train_shards, {LANGUAGE: np.array([0, 3])}),
    ]
    assert len({share.fingerprint for share in shares}) == 4


def test_a_share_is_saved_and_loaded(train_shards: TokenShards, tmp_path: Path) -> None:
    share = Share.of(train_shards, {"en": None, LANGUAGE: np.array([5, 1, 9])})
    share.save(tmp_path / "en-zh.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["en-zh.json", "en-zh.zh.npy"]
    loaded = Share.load(tmp_path / "en-zh.json", train_shards)
    assert loaded.fingerprint == share.fingerprint
    assert loaded.documents(LANGUAGE).tolist() == [1, 5, 9]
    assert (loaded.window(LANGUAGE, 1, 64) == share.window(LANGUAGE, 1, 64)).all()


def test_a_share_of_another_corpus_is_refused(
    train_shards: TokenShards, corpus: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    Share.of(train_shards, {LANGUAGE: np.array([1])}).save(path)
    with pytest.raises(UserError, match=r"a\.json: was made from another corpus"):
        Share.load(path, TokenShards(corpus, "heldout"))
    (tmp_path / "a.zh.npy").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"a\.zh\.npy"):
        Share.load(path, train_shards)
