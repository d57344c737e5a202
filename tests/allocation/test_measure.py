"""What is measured of an allocation, on hand-made tables and on the stage's output."""

import numpy as np
import pytest

from xelm.allocation.measure import summary, typical
from xelm.allocation.routing_file import JSON, TENSORS, RoutingFile
from xelm.allocation.settings import AllocationSettings
from xelm.allocation.stage import allocate
from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.storage import atomic, manifest


def test_purity_and_concentration() -> None:
    documents = np.array([[8, 0], [1, 1], [0, 10]])
    found = summary(["a", "b", "c"], ["x", "y"], documents, documents * 100)
    assert found["purity"] == pytest.approx(18 / 20)
    assert found["concentration"] == pytest.approx(19 / 20)
    assert found["concentration_by_language"] == {"a": 1.0, "b": 0.5, "c": 1.0}
    assert found["documents"] == {"x": 9, "y": 11}
    assert found["largest_over_mean"]["tokens"] == pytest.approx(1.1)
    assert found["documents_by_language"]["x"] == {"a": 8, "b": 1}


def test_typical_terms_are_those_the_others_lack() -> None:
    counts = np.array([[50, 50, 0, 0], [50, 0, 30, 20]])
    assert typical(counts) == [[1], [2, 3]]


@pytest.mark.parametrize("method", ["tfidf", "typology", "random", "language"])
def test_every_method_leaves_what_routers_and_people_read(reader, tmp_path, method) -> None:
    k = None if method == "language" else 4
    value = allocate(AllocationSettings(method=method, k=k), reader, tmp_path / "a")
    manifest.verify(tmp_path / "a")
    shards = TokenShards(reader, "train")
    saved = RoutingFile.load(tmp_path / "a")
    assert len(saved.columns) == len(saved.centroids)
    assert {column.expert for column in saved.columns} == set(value["experts"])
    assert sum(column.tokens for column in saved.columns) == sum(
        len(shards.tokens(code)) for code in shards.languages
    )
    assert value["measured"] == atomic.read_json(tmp_path / "a" / "measured.json")
    assert (tmp_path / "a" / "languages.png").read_bytes().startswith(b"\x89PNG")
    assert all(value["measured"]["top_terms"].values())


def test_the_nearest_centroid_knows_a_held_out_language(reader, tmp_path) -> None:
    """One router serves every allocation: typology's centroids, text it never saw."""
    allocate(AllocationSettings(method="typology", k=4), reader, tmp_path / "a")
    saved = RoutingFile.load(tmp_path / "a")
    heldout = TokenShards(reader, "heldout")
    for code in heldout.languages:
        for index in range(heldout.count(code)):
            total = saved.term_vectors[heldout.document(code, index)].sum(axis=0)
            point = total / np.linalg.norm(total)
            best = ((saved.centroids - point) ** 2).sum(axis=1).argmin()
            assert saved.columns[best].language == code


def test_words_are_saved_by_name(reader, tmp_path) -> None:
    settings = AllocationSettings(method="tfidf", k=2, terms="words", dimensions=10)
    allocate(settings, reader, tmp_path / "a")
    saved = RoutingFile.load(tmp_path / "a")
    assert saved.words is not None and len(saved.words) == len(saved.idf) == len(saved.rows)


@pytest.mark.parametrize("damage", ["json", "format", "tensors", "missing"])
def test_a_damaged_embedding_is_refused_by_name(reader, tmp_path, damage) -> None:
    folder = tmp_path / "a"
    allocate(AllocationSettings(method="language"), reader, folder)
    if damage == "json":
        (folder / JSON).write_text("{")
    elif damage == "format":
        atomic.write_json(folder / JSON, {"format": 99})
    elif damage == "tensors":
        (folder / TENSORS).write_bytes(b"short")
    else:
        (folder / TENSORS).unlink()
    with pytest.raises(UserError, match="embedding"):
        RoutingFile.load(folder)
