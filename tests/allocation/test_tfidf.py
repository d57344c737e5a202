"""The allocation method tfidf on real text, and on documents that say nothing."""

from pathlib import Path

import numpy as np
import pytest

from xelm.allocation import tfidf
from xelm.allocation.embedding import fit
from xelm.allocation.result import Allocation
from xelm.allocation.settings import AllocationSettings
from xelm.corpus.shards import TokenShards
from xelm.errors import UserError


def run(corpus: Path, said: list[str] | None = None, **settings) -> Allocation:
    shards = TokenShards(corpus, "train")
    chosen = AllocationSettings(method="tfidf", **settings)
    return tfidf.allocate(shards, chosen, (said if said is not None else []).append)


def sizes(outcome: Allocation) -> list[int]:
    return [sum(len(held) for held in by.values()) for by in outcome.experts.values()]


def test_languages_stay_together_and_sizes_are_equal(reader: Path) -> None:
    outcome = run(reader, k=8, dimensions=30)
    assert np.ptp(sizes(outcome)) <= 1
    assert all(len(languages) == 1 for languages in outcome.experts.values())
    assert outcome.measured["inertia"] == pytest.approx(outcome.measured["inertia_unbalanced"])


def test_related_scripts_go_together(reader: Path) -> None:
    outcome = run(reader, k=4, dimensions=30)
    groups = {frozenset(languages) for languages in outcome.experts.values()}
    assert {frozenset({"bg", "ru"}), frozenset({"ja", "zh"})} <= groups
    assert {"bg-ru", "ja-zh"} <= outcome.experts.keys()


def test_balance_in_tokens(reader: Path) -> None:
    shards = TokenShards(reader, "train")
    outcome = run(reader, k=3, dimensions=30, balance="tokens")
    lengths = {code: np.diff(shards.starts(code)) for code in shards.languages}
    held = [
        sum(lengths[code][chosen].sum() for code, chosen in by.items())
        for by in outcome.experts.values()
    ]
    assert np.ptp(held) <= max(each.max() for each in lengths.values())


def test_the_same_settings_the_same_shares(reader: Path) -> None:
    one, two = run(reader, k=5, seed=2), run(reader, k=5, seed=2)
    for expert, held in one.experts.items():
        assert held.keys() == two.experts[expert].keys()
        assert all(np.array_equal(held[code], two.experts[expert][code]) for code in held)


def test_a_sample_allocates_the_rest(reader: Path) -> None:
    outcome = run(reader, k=8, dimensions=30, sample=150)
    assert np.ptp(sizes(outcome)) <= 1 and outcome.centers is not None
    assert all(len(languages) <= 2 for languages in outcome.experts.values())


def test_documents_without_information_go_by_their_id(odd: Path) -> None:
    said: list[str] = []
    outcome = run(odd, said, k=2, dimensions=5)
    assert outcome.measured["uninformative"] == {"en": 2} and "2 documents of en" in said[0]
    assert np.ptp(sizes(outcome)) <= 1
    for index in (9, 11):
        expected = tfidf._hash(f"d{index}") % 2
        assert index in outcome.experts[f"expert-{expected}"]["en"]


def test_hashing_overfull_leaves_room(odd: Path) -> None:
    labels = np.zeros(10, dtype=np.int32)
    kept = np.zeros(10, dtype=bool)
    kept[8:] = True
    room = tfidf._room(np.ones(10), labels, kept, 2)
    assert room.sum() == pytest.approx(2) and (room > 0).all()


def test_as_many_clusters_as_documents(odd: Path) -> None:
    count = TokenShards(odd, "train").count("en")
    assert sizes(run(odd, k=count, dimensions=5)) == [1] * count


def test_costs_are_squared_distances(reader: Path) -> None:
    shards = TokenShards(reader, "train")
    settings = AllocationSettings(method="tfidf", k=3, dimensions=20)
    embedding = fit(shards, dims=20)
    model = tfidf.cluster(shards, embedding, settings)
    from xelm.allocation.terms import Documents

    first = embedding.embed(shards, Documents(shards.languages[0], np.arange(5)))
    expected = ((first[None] - model.cluster_centers_[:, None]) ** 2).sum(axis=2)
    found = tfidf.all_costs(shards, embedding, model).costs_kn[:, :5]
    assert np.allclose(found, expected, atol=1e-5)


def test_no_terms_at_all_is_told(tmp_path: Path) -> None:
    from xelm.corpus import shards, tokenizer
    from xelm.corpus.documents import Document

    text = [Document("some words", "en", "1", "1", "t")]
    empty = [Document("", "en", "1", "1", "t")]
    learnt = tokenizer.train(text, 260)
    shards.build({"train": empty, "dev": text, "heldout": text}, learnt, tmp_path / "c", workers=1)
    with pytest.raises(UserError, match="no document has any term"):
        run(tmp_path / "c", k=1)
