"""Names of experts: by their languages where they have few and have them nearly whole."""

import numpy as np
import pytest

from xelm.allocation.result import by_groups, by_labels


def test_groups_of_more_than_four_languages_are_numbered() -> None:
    names = list(by_groups([["es", "en"], ["ar", "de", "fr", "hi", "ja"]]))
    assert names == ["es-en", "expert-1"]


@pytest.mark.parametrize(
    ("en", "fr", "name"),
    [
        ([0] * 10, [0] * 8 + [1] * 2, "en-fr"),  # both nearly whole
        ([0] * 10, [0] * 2 + [1] * 8, "en"),  # a few strangers
        ([0] * 10, [0] * 7 + [1] * 3, "expert-0"),  # many strangers
        ([0] * 5 + [1] * 5, [1] * 10, "expert-0"),  # half of a language
    ],
)
def test_clusters_are_named_by_languages_nearly_whole(en: list[int], fr: list[int], name: str):
    experts = by_labels({"en": np.array(en), "fr": np.array(fr)}, 2)
    assert next(iter(experts)) == name
    assert sum(len(held) for by in experts.values() for held in by.values()) == 20
    assert len(experts) == 2
